/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a prediction of RTMR0 to RTMR2 reads: the first byte chooses between a variable store, a PE image (a unified kernel image among them) and SMBIOS
 * tables. */

#include <stdint.h>
#include <stdlib.h>

#include "firmware-variables.h"
#include "macro.h"
#include "measure-pe.h"
#include "measure-smbios.h"
#include "measure-stub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void variables(const uint8_t *data, size_t size) {
        static const Guid vendor = GUID_INIT(
                        0x8be4df61, 0x93ca, 0x11d2, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c);
        _cleanup_free_ char *error = NULL;
        FirmwareVariable v;

        if (firmware_variable_parse(data, size, &vendor, "PK", &v, &error) < 0) {
                if (!error)
                        abort();
        } else if (v.data && (v.data < data || v.data + v.size > data + size))
                abort();
}

static void stub(const uint8_t *data, size_t size) {
        _cleanup_free_ char *error = NULL, *text = NULL;
        StubImage image = {};
        int r = stub_image_parse(data, size, &image, &error);

        if ((r < 0) != !!error || (r > 0) != !!image.kind)
                abort();
        if (r <= 0)
                return;
        FOREACH_ARRAY(p, image.parts, _STUB_SECTION_MAX)
                if (p->data && (p->size == 0 || p->data < data || p->data + p->size > data + size))
                        abort();
        if (image.parts[STUB_CMDLINE].data &&
                        stub_command_line(image.parts + STUB_CMDLINE, &text, &error) < 0 && !error)
                abort();
}

static void strings(const uint8_t *data, size_t size) {
        _cleanup_free_ char *error = NULL;
        size_t at = 0, n = 0;
        const uint8_t *p;

        while (smbios_next(data, size, &at, &p, &n, &error) > 0)
                if (p < data || p + n > data + size || n < 4)
                        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *error = NULL;
        uint8_t digest[SHA384_SIZE];
        int r = 0;

        if (size == 0)
                return 0;
        if (data[0] % 3 == 0)
                variables(data + 1, size - 1);
        else if (data[0] % 3 == 1) {
                stub(data + 1, size - 1);
                r = pe_digest(data + 1, size - 1, digest, &error);
        } else {
                strings(data + 1, size - 1);
                r = smbios_digest(data + 1, size - 1, "a,b,c", digest, &error);
        }
        if (r < 0 && !error)
                abort();
        return 0;
}
