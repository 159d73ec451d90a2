/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Session files, base64 or not, and the platform's side of them. What must hold for any input: a session never opens with a key that it
 * was not made for. */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "attest-session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const uint8_t shared[48] = { 1, 2, 3 };
        _cleanup_free_ char *error = NULL;
        uint8_t blob[SEV_SESSION_SIZE];
        SevKeys keys = {};
        bool binary;

        if (sev_session_read(data, size, blob, &binary, &error) < 0) {
                assert(error);
                return 0;
        }
        assert(!binary || size == SEV_SESSION_SIZE);
        assert(sev_session_unwrap(shared, sizeof(shared), blob, 3, &keys, &error) < 0);
        return 0;
}
