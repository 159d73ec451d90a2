/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every allocation inside OpenSSL fails once: a genuine signature may then be undecided, but never rejected, and a good key never be called
 * a bad one. */

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "test.h"

#include "crypto-ec.h"
#include "crypto-random.h"
#include "crypto-rsa.h"

static unsigned countdown; /* 0: none fails */
static unsigned failed;

static bool fails(void) {
        if (countdown == 0 || --countdown > 0)
                return false;
        failed++;
        return true;
}

static void *failing_malloc(size_t n, _unused_ const char *file, _unused_ int line) {
        return fails() ? NULL : malloc(n);
}

static void *failing_realloc(void *p, size_t n, _unused_ const char *file, _unused_ int line) {
        return fails() ? NULL : realloc(p, n);
}

static void plain_free(void *p, _unused_ const char *file, _unused_ int line) {
        free(p);
}

typedef struct Subject {
        EcPoint point;
        EcKey *ec;
        EcSignature ec_signature;
        uint8_t modulus[256], exponent[3], rsa_signature[256];
        RsaKey *rsa;
} Subject;

static const char message[] = "report";

static int verify_ec(Subject *s) {
        return ec_key_verify(s->ec, HASH_SHA384, message, sizeof(message), &s->ec_signature);
}

static int verify_rsa(Subject *s) {
        return rsa_key_verify_pss(s->rsa, HASH_SHA384, message, sizeof(message), s->rsa_signature,
                        sizeof(s->rsa_signature));
}

static int load_ec(Subject *s) {
        EcKey *k = NULL;
        int r = ec_key_from_point(&s->point, &k);

        ec_key_free(k);
        return r;
}

static int load_rsa(Subject *s) {
        RsaKey *k = NULL;
        int r = rsa_key_new(s->modulus, sizeof(s->modulus), s->exponent, sizeof(s->exponent), &k);

        rsa_key_free(k);
        return r;
}

static void make_rsa(Subject *s) {
        EVP_PKEY *pkey = EVP_RSA_gen(2048);
        EVP_MD_CTX *c = EVP_MD_CTX_new();
        EVP_PKEY_CTX *pctx;
        BIGNUM *n = NULL;
        size_t size = sizeof(s->rsa_signature);

        assert_int_equal(EVP_DigestSignInit_ex(c, &pctx, "SHA2-384", NULL, NULL, pkey, NULL), 1);
        assert_true(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) > 0);
        assert_int_equal(EVP_DigestSign(c, s->rsa_signature, &size, (const uint8_t *) message,
                                         sizeof(message)),
                        1);
        assert_int_equal(EVP_PKEY_get_bn_param(pkey, "n", &n), 1);
        assert_int_equal(BN_bn2binpad(n, s->modulus, sizeof(s->modulus)), sizeof(s->modulus));
        memcpy(s->exponent, (uint8_t[]) { 1, 0, 1 }, 3);
        BN_free(n);
        EVP_MD_CTX_free(c);
        EVP_PKEY_free(pkey);
        assert_ok(rsa_key_new(s->modulus, sizeof(s->modulus), s->exponent, sizeof(s->exponent), &s->rsa));
}

static void every_failure(Subject *s, int (*work)(Subject *s), int verdict) {
        unsigned at = 1;

        assert_ok(work(s));
        for (;; at++) {
                int r;

                failed = 0;
                countdown = at;
                r = work(s);
                countdown = 0;
                if (failed == 0)
                        break;
                if (r == verdict)
                        fail_msg("allocation %u decided", at);
                assert_true(r <= 0);
        }
        assert_true(at > 5);
        assert_ok(work(s));
}

static void memory_never_decides(_unused_ void **state) {
        Subject s = {};
        EcKey *pair = NULL;

        assert_ok(ec_key_generate(crypto_random, NULL, &pair));
        assert_ok(ec_key_sign(pair, HASH_SHA384, message, sizeof(message), &s.ec_signature));
        assert_ok(ec_key_point(pair, &s.point));
        assert_ok(ec_key_from_point(&s.point, &s.ec));
        make_rsa(&s);
        every_failure(&s, verify_ec, -EKEYREJECTED);
        every_failure(&s, verify_rsa, -EKEYREJECTED);
        every_failure(&s, load_ec, -EBADMSG);
        every_failure(&s, load_rsa, -EBADMSG);

        /* With memory the verdicts are what they were. */
        s.ec_signature.r[7] ^= 1;
        s.rsa_signature[7] ^= 1;
        s.point.x[7] ^= 1;
        assert_error(verify_ec(&s), EKEYREJECTED);
        assert_error(verify_rsa(&s), EKEYREJECTED);
        assert_error(load_ec(&s), EBADMSG);
        memset(&s.ec_signature, 0, sizeof(s.ec_signature));
        memset(s.rsa_signature, 0xff, sizeof(s.rsa_signature));
        assert_error(verify_ec(&s), EKEYREJECTED);
        assert_error(verify_rsa(&s), EKEYREJECTED);
        ec_key_free(pair);
        ec_key_free(s.ec);
        rsa_key_free(s.rsa);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(memory_never_decides) };

        if (!CRYPTO_set_mem_functions(failing_malloc, failing_realloc, plain_free))
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
