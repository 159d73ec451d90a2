/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* HPKE: the vectors published with RFC 9180 for exactly this suite (the RFC's appendix prints the AES-128-GCM and ChaCha20 ones; the
 * file test-vectors.json of github.com/cfrg/draft-irtf-cfrg-hpke, commit 5f503c564da00b0687b3de75f1dfbdfc4079ad31, which the RFC
 * names, has all of them: mode 0, kem_id 32, kdf_id 1, aead_id 2, first encryption), and every change that must not open. Where
 * OpenSSL has HPKE itself (3.2 and later), both sides speak to it. AES-256-GCM: test case 16 of the GCM submission to NIST. */

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>

#include "test.h"

#include "crypto-gcm.h"
#include "crypto-hpke.h"
#include "encode.h"

#define SK_E   "179d4b53b6365c45b600c4163b61d95cbc2f4d9e36f1695558dce265ab8bab11"
#define SK_R   "497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d"
#define PK_R   "430f4b9859665145a6b1ba274024487bd66f03a2dd577d7753c68d7d7d00c00c"
#define ENC    "6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256"
#define SEALED "e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a"

/* OpenSSL's own HPKE (man 3ossl OSSL_HPKE_CTX_new), found when the program starts: the library that it runs with may be newer than the
 * headers it was built with. */
#if OPENSSL_VERSION_NUMBER >= 0x30200000L
#include <openssl/hpke.h>
__typeof__(OSSL_HPKE_CTX_new) OSSL_HPKE_CTX_new __attribute__((weak));
#else
typedef struct OSSL_HPKE_SUITE {
        uint16_t kem, kdf, aead;
} OSSL_HPKE_SUITE;
typedef struct OSSL_HPKE_CTX OSSL_HPKE_CTX;
#define OSSL_HPKE_MODE_BASE     0
#define OSSL_HPKE_ROLE_SENDER   0
#define OSSL_HPKE_ROLE_RECEIVER 1
#define WEAK                    __attribute__((weak))
WEAK OSSL_HPKE_CTX *OSSL_HPKE_CTX_new(
                int mode, OSSL_HPKE_SUITE suite, int role, OSSL_LIB_CTX *library, const char *properties);
WEAK void OSSL_HPKE_CTX_free(OSSL_HPKE_CTX *ctx);
WEAK int OSSL_HPKE_encap(OSSL_HPKE_CTX *ctx, unsigned char *enc, size_t *enc_size, const unsigned char *pub,
                size_t pub_size, const unsigned char *info, size_t info_size);
WEAK int OSSL_HPKE_seal(OSSL_HPKE_CTX *ctx, unsigned char *ct, size_t *ct_size, const unsigned char *aad,
                size_t aad_size, const unsigned char *pt, size_t pt_size);
WEAK int OSSL_HPKE_decap(OSSL_HPKE_CTX *ctx, const unsigned char *enc, size_t enc_size, EVP_PKEY *key,
                const unsigned char *info, size_t info_size);
WEAK int OSSL_HPKE_open(OSSL_HPKE_CTX *ctx, unsigned char *pt, size_t *pt_size, const unsigned char *aad,
                size_t aad_size, const unsigned char *ct, size_t ct_size);
#endif

static const char info[] = "Ode on a Grecian Urn", aad[] = "Count-0",
                  plain[] = "Beauty is truth, truth beauty";

#define TEXT(s) ((HpkeText) { s, sizeof(s) - 1 })

static void unhex(const char *text, uint8_t *buf, size_t n) {
        assert_ok(hex_decode_exact(text, buf, n));
}

static void assert_hex(const uint8_t *p, size_t n, const char *expected) {
        char *text = hex_encode(p, n);

        assert_string_equal(text, expected);
        free(text);
}

/* A random source that gives what it is told to. */
static int fixed(void *userdata, void *buf, size_t n) {
        unhex(userdata, buf, n);
        return 0;
}

static void gcm_vector(_unused_ void **state) {
        uint8_t key[GCM_KEY_SIZE], nonce[GCM_NONCE_SIZE], in[60], out[60], more[20], tag[GCM_TAG_SIZE];

        unhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", key, sizeof(key));
        unhex("cafebabefacedbaddecaf888", nonce, sizeof(nonce));
        unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2", more, sizeof(more));
        unhex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
              "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
                        in, sizeof(in));
        assert_ok(crypto_gcm_seal(key, nonce, more, sizeof(more), in, sizeof(in), out, tag));
        assert_hex(out, sizeof(out),
                        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662");
        assert_hex(tag, sizeof(tag), "76fc6ece0f4e1768cddf8853bb2d551b");
        assert_ok(crypto_gcm_open(key, nonce, more, sizeof(more), out, sizeof(out), tag, out));
        assert_memory_equal(in, out, sizeof(in));
        /* nothing to encrypt: only authenticated */
        assert_ok(crypto_gcm_seal(key, nonce, more, sizeof(more), NULL, 0, NULL, tag));
        assert_ok(crypto_gcm_open(key, nonce, more, sizeof(more), NULL, 0, tag, NULL));
        more[0] ^= 1;
        assert_error(crypto_gcm_open(key, nonce, more, sizeof(more), NULL, 0, tag, NULL), EKEYREJECTED);
}

static void published_vector(_unused_ void **state) {
        _cleanup_(secret_buf_done) SecretBuf opened = {};
        uint8_t sk[HPKE_KEY_SIZE], pk[HPKE_KEY_SIZE], enc[HPKE_KEY_SIZE];
        uint8_t sealed[sizeof(plain) - 1 + HPKE_OVERHEAD];

        unhex(SK_R, sk, sizeof(sk));
        unhex(PK_R, pk, sizeof(pk));
        assert_ok(hpke_seal(pk, TEXT(info), TEXT(aad), TEXT(plain), fixed, (void *) SK_E, enc, sealed));
        assert_hex(enc, sizeof(enc), ENC);
        assert_hex(sealed, sizeof(sealed), SEALED);
        assert_ok(hpke_open(sk, enc, TEXT(info), TEXT(aad), (HpkeText) { sealed, sizeof(sealed) }, &opened));
        assert_int_equal(opened.size, sizeof(plain) - 1);
        assert_memory_equal(opened.data, plain, opened.size);
}

static void nothing_else_opens(_unused_ void **state) {
        _cleanup_(secret_buf_done) SecretBuf opened = {};
        uint8_t sk[HPKE_KEY_SIZE], enc[HPKE_KEY_SIZE], sealed[sizeof(plain) - 1 + HPKE_OVERHEAD];
        HpkeText s = { sealed, sizeof(sealed) };

        unhex(SK_R, sk, sizeof(sk));
        unhex(ENC, enc, sizeof(enc));
        unhex(SEALED, sealed, sizeof(sealed));
        for (size_t i = 0; i < sizeof(sealed); i++) {
                sealed[i] ^= 1;
                assert_error(hpke_open(sk, enc, TEXT(info), TEXT(aad), s, &opened), EKEYREJECTED);
                sealed[i] ^= 1;
        }
        for (size_t i = 0; i < sizeof(enc); i++) {
                enc[i] ^= 2;
                assert_error(hpke_open(sk, enc, TEXT(info), TEXT(aad), s, &opened), EKEYREJECTED);
                enc[i] ^= 2;
        }
        assert_error(hpke_open(sk, enc, TEXT("other"), TEXT(aad), s, &opened), EKEYREJECTED);
        assert_error(hpke_open(sk, enc, TEXT(info), (HpkeText) {}, s, &opened), EKEYREJECTED);
        for (size_t n = 0; n < sizeof(sealed); n++)
                assert_error(hpke_open(sk, enc, TEXT(info), TEXT(aad), (HpkeText) { sealed, n }, &opened),
                                EKEYREJECTED);
        sk[5] ^= 1;
        assert_error(hpke_open(sk, enc, TEXT(info), TEXT(aad), s, &opened), EKEYREJECTED);
        assert_null(opened.data);
}

/* Public keys whose product with any private key is zero: RFC 7748, section 6.1. */
static void small_order(_unused_ void **state) {
        static const char *const points[] = {
                "0000000000000000000000000000000000000000000000000000000000000000",
                "0100000000000000000000000000000000000000000000000000000000000000",
                "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        };
        _cleanup_(secret_buf_done) SecretBuf opened = {}, key = {};
        uint8_t pk[HPKE_KEY_SIZE], enc[HPKE_KEY_SIZE], sealed[HPKE_OVERHEAD] = {};

        assert_ok(hpke_key_new(crypto_random, NULL, &key, pk));
        FOREACH_ARRAY(p, points, ELEMENTSOF(points)) {
                unhex(*p, pk, sizeof(pk));
                assert_error(hpke_seal(pk, TEXT(info), TEXT(aad), (HpkeText) {}, crypto_random, NULL, enc,
                                             sealed),
                                EBADMSG);
                assert_error(hpke_open(key.data, pk, TEXT(info), TEXT(aad),
                                             (HpkeText) { sealed, sizeof(sealed) }, &opened),
                                EKEYREJECTED);
        }
}

static void sizes(_unused_ void **state) {
        _cleanup_(secret_buf_done) SecretBuf key = {};
        uint8_t pk[HPKE_KEY_SIZE], enc[HPKE_KEY_SIZE];
        static uint8_t in[70000], out[70000 + HPKE_OVERHEAD];

        assert_ok(hpke_key_new(crypto_random, NULL, &key, pk));
        for (size_t n = 0; n <= sizeof(in); n = n * 3 + 1) {
                _cleanup_(secret_buf_done) SecretBuf opened = {};

                memset(in, (int) n, n);
                assert_ok(hpke_seal(pk, TEXT(info), (HpkeText) {}, (HpkeText) { in, n }, crypto_random, NULL,
                                enc, out));
                assert_ok(hpke_open(key.data, enc, TEXT(info), (HpkeText) {},
                                (HpkeText) { out, n + HPKE_OVERHEAD }, &opened));
                assert_int_equal(opened.size, n);
                if (n > 0)
                        assert_memory_equal(opened.data, in, n);
        }
}

static void openssl_agrees(_unused_ void **state) {
        const OSSL_HPKE_SUITE suite = { 0x0020, 0x0001, 0x0002 };
        _cleanup_(secret_buf_done) SecretBuf key = {}, opened = {};
        uint8_t pk[HPKE_KEY_SIZE], enc[HPKE_KEY_SIZE], out[sizeof(plain) - 1 + HPKE_OVERHEAD], back[64];
        size_t enc_size = sizeof(enc), out_size = sizeof(out), back_size = sizeof(back);
        const uint8_t *i = (const uint8_t *) info, *a = (const uint8_t *) aad, *p = (const uint8_t *) plain;
        OSSL_HPKE_CTX *ctx;
        EVP_PKEY *pkey;

        if (!OSSL_HPKE_CTX_new) {
                print_message("skipped: this OpenSSL has no HPKE, 3.2 and later have it\n");
                skip();
        }
        assert_ok(hpke_key_new(crypto_random, NULL, &key, pk));
        ctx = OSSL_HPKE_CTX_new(OSSL_HPKE_MODE_BASE, suite, OSSL_HPKE_ROLE_SENDER, NULL, NULL);
        assert_int_equal(OSSL_HPKE_encap(ctx, enc, &enc_size, pk, sizeof(pk), i, sizeof(info) - 1), 1);
        assert_int_equal(OSSL_HPKE_seal(ctx, out, &out_size, a, sizeof(aad) - 1, p, sizeof(plain) - 1), 1);
        OSSL_HPKE_CTX_free(ctx);
        assert_ok(hpke_open(key.data, enc, TEXT(info), TEXT(aad), (HpkeText) { out, out_size }, &opened));
        assert_memory_equal(opened.data, plain, sizeof(plain) - 1);

        assert_ok(hpke_seal(pk, TEXT(info), TEXT(aad), TEXT(plain), crypto_random, NULL, enc, out));
        pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, key.data, key.size);
        ctx = OSSL_HPKE_CTX_new(OSSL_HPKE_MODE_BASE, suite, OSSL_HPKE_ROLE_RECEIVER, NULL, NULL);
        assert_int_equal(OSSL_HPKE_decap(ctx, enc, sizeof(enc), pkey, i, sizeof(info) - 1), 1);
        assert_int_equal(OSSL_HPKE_open(ctx, back, &back_size, a, sizeof(aad) - 1, out, sizeof(out)), 1);
        assert_int_equal(back_size, sizeof(plain) - 1);
        assert_memory_equal(back, plain, back_size);
        OSSL_HPKE_CTX_free(ctx);
        EVP_PKEY_free(pkey);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(gcm_vector),
                cmocka_unit_test(published_vector),
                cmocka_unit_test(nothing_else_opens),
                cmocka_unit_test(small_order),
                cmocka_unit_test(sizes),
                cmocka_unit_test(openssl_agrees),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
