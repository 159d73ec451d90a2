/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Signed JSON and the key that signed it: an envelope, a NUL and a public key. What opens is what the envelope holds. */

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crypto-dsse.h"
#include "encode.h"

/* The same as text: what that reader accepts with the key's signature, the other one opens, too. */
static void open_text(const char *text, size_t size, const void *key, size_t key_size) {
        DsseKey keys[2] = { { "key", key, key_size }, { "again", key, key_size } };
        _cleanup_(dsse_envelope_done) DsseEnvelope e = {};
        _cleanup_free_ char *error = NULL;
        _cleanup_free_ uint8_t *payload = NULL;
        _cleanup_js_ Json *j = NULL;
        unsigned signers = 0;
        size_t n;

        if (dsse_parse(text, size, &e, &error) < 0)
                return;
        if (dsse_signers(&e, keys, 2, &signers, NULL) < 0 || signers == 0)
                return;
        assert(signers == 1 && js_parse(text, size, &j, NULL) == 0);
        assert(dsse_open(j, key, key_size, &payload, &n, NULL) == 0);
        assert(n == e.size && memcmp(payload, e.payload, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const uint8_t *end = size > 0 ? memchr(data, 0, size) : NULL;
        _cleanup_free_ char *error = NULL, *text = NULL;
        _cleanup_free_ uint8_t *payload = NULL;
        _cleanup_js_ Json *envelope = NULL;
        size_t n;
        int r;

        if (end)
                open_text((const char *) data, (size_t) (end - data), end + 1,
                                size - (size_t) (end - data) - 1);
        if (!end || js_parse((const char *) data, (size_t) (end - data), &envelope, NULL) < 0)
                return 0;
        r = dsse_open(envelope, end + 1, size - (size_t) (end - data) - 1, &payload, &n, &error);
        if (r < 0) {
                assert(!payload && (error || r == -ENOMEM));
                return 0;
        }
        assert(dsse_is_envelope(envelope));
        text = base64_encode(payload, n);
        assert(!text || strcmp(text, js_string_value(js_get(envelope, "payload"))) == 0);
        return 0;
}
