/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* IGVM files. Once as they are, once with the checksum made right, so that mutations reach what follows it. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "firmware-igvm.h"
#include "macro.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t crc32_of(uint32_t crc, const uint8_t *p, size_t n) {
        for (; n > 0; n--) {
                crc ^= *p++;
                for (unsigned i = 0; i < 8; i++)
                        crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
        return crc;
}

/* As igvm_open() wants it; leaves alone what is too odd for that. */
static void mend(uint8_t *data, size_t size) {
        size_t fixed, offset, length;

        if (size < 24)
                return;
        fixed = le32_read(data + 4) == 2 ? 32 : 24;
        offset = le32_read(data + 8);
        length = le32_read(data + 12);
        if (size < fixed || offset > size || length > size - offset)
                return;
        le32_write(data + 16, (uint32_t) size);
        le32_write(data + 20, 0);
        le32_write(data + 20, ~crc32_of(crc32_of(UINT32_MAX, data, fixed), data + offset, length));
}

static void walk(const uint8_t *data, size_t size) {
        _cleanup_free_ char *error = NULL;
        IgvmDirective d;
        IgvmFile f;
        uint8_t sum = 0;
        uint32_t mask;
        int r;

        r = igvm_open(data, size, &f, &error);
        if (r >= 0)
                (void) !igvm_platform_mask(&f, IGVM_PLATFORM_SEV_SNP, &mask, NULL);
        while (r >= 0 && (r = igvm_next(&f, &d, &error)) > 0)
                if (d.data)
                        sum ^= d.data[0] ^ d.data[d.n_pages * 4096 - 1];
        if ((r < 0) != (error != NULL))
                abort();
        (void) sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ uint8_t *copy = malloc(size ?: 1);

        if (!copy)
                abort();
        walk(data, size);
        if (size > 0)
                memcpy(copy, data, size);
        mend(copy, size);
        walk(copy, size);
        return 0;
}
