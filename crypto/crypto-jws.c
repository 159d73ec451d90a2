/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-jws.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <stdio.h>
#include <string.h>

#include "encode.h"
#include "strutil.h"

char *jws_base64url(const void *p, size_t n) {
        char *s = base64_encode(p, n);

        for (char *c = s; c && *c; c++) {
                if (*c == '+')
                        *c = '-';
                else if (*c == '/')
                        *c = '_';
                else if (*c == '=')
                        *c = 0;
        }
        return s;
}

/* ECDSA signatures are r and s, big endian and as long as the curve's order, instead of DER (RFC 7518, section 3.4). */
static int from_der(const uint8_t *der, size_t size, size_t half, uint8_t *ret) {
        const unsigned char *p = der;
        ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long) size);
        int r = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret, (int) half) == (int) half &&
                                        BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret + half, (int) half) ==
                                                        (int) half
                        ? 0
                        : -EIO;

        ECDSA_SIG_free(sig);
        return r;
}

static int sign_input(const SignKey *k, const char *input, char **ret) {
        size_t half = sign_key_ecdsa_half(k), n;
        _cleanup_free_ uint8_t *signature = NULL;
        uint8_t raw[2 * 48];
        int r = sign_data(k, input, strlen(input), &signature, &n);

        if (r >= 0 && half > 0)
                r = from_der(signature, n, half, raw);
        if (r < 0)
                return r;
        *ret = half > 0 ? jws_base64url(raw, 2 * half) : jws_base64url(signature, n);
        return *ret ? 0 : -ENOMEM;
}

int jws_sign(const SignKey *k, const char *typ, const void *payload, size_t size, char **ret) {
        _cleanup_free_ char *kid = NULL, *header = NULL, *head = NULL, *body = NULL, *input = NULL,
                            *signature = NULL;
        uint8_t id[32];
        int r = sign_key_id(k, id);

        if (r < 0)
                return r;
        kid = hex_encode(id, sizeof(id));
        if (!kid)
                return -ENOMEM;
        if (asprintf(&header, "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"%s\"}", sign_key_jws_name(k), kid,
                            typ) < 0) {
                header = NULL;
                return -ENOMEM;
        }
        head = jws_base64url(header, strlen(header));
        body = jws_base64url(payload, size);
        if (!head || !body)
                return -ENOMEM;
        if (asprintf(&input, "%s.%s", head, body) < 0) {
                input = NULL;
                return -ENOMEM;
        }
        r = sign_input(k, input, &signature);
        if (r < 0)
                return r;
        if (asprintf(ret, "%s.%s", input, signature) < 0)
                return -ENOMEM;
        return 0;
}
