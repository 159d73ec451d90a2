/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a prediction of RTMR0 and RTMR1 reads: the first byte chooses between a variable store, a PE image and SMBIOS tables. */

#include <stdint.h>
#include <stdlib.h>

#include "firmware-variables.h"
#include "macro.h"
#include "measure-pe.h"
#include "measure-smbios.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *error = NULL;
        uint8_t digest[SHA384_SIZE];
        int r = 0;

        if (size == 0)
                return 0;
        if (data[0] % 3 == 0)
                variables(data + 1, size - 1);
        else if (data[0] % 3 == 1)
                r = pe_digest(data + 1, size - 1, digest, &error);
        else
                r = smbios_digest(data + 1, size - 1, "a,b,c", digest, &error);
        if (r < 0 && !error)
                abort();
        return 0;
}
