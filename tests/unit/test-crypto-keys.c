/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* HMAC, AES-CTR, key derivation, P-384: published vectors (RFC 4231, NIST SP 800-38A, RFC 5903, RFC 6979). */

#include <errno.h>

#include "test.h"

#include "crypto-aes.h"
#include "crypto-ec.h"
#include "crypto-hmac.h"
#include "crypto-kdf.h"
#include "crypto-random.h"
#include "crypto-rsa.h"
#include "encode.h"

static void unhex(const char *text, uint8_t *buf, size_t n) {
        assert_ok(hex_decode_exact(text, buf, n));
}

static void assert_hex(const uint8_t *p, size_t n, const char *expected) {
        char *text = hex_encode(p, n);

        assert_string_equal(text, expected);
        free(text);
}

static void hmac_rfc4231(_unused_ void **state) {
        uint8_t mac[HMAC_SHA256_SIZE], key[131];
        struct iovec two[] = { HMAC_RANGE("what do ya want ", 16), HMAC_RANGE("for nothing?", 12) };
        struct iovec one = HMAC_RANGE("Test Using Larger Than Block-Size Key - Hash Key First", 54);

        assert_ok(crypto_hmac_sha256("Jefe", 4, two, 2, mac));
        assert_hex(mac, sizeof(mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        memset(key, 0xaa, sizeof(key));
        assert_ok(crypto_hmac_sha256(key, sizeof(key), &one, 1, mac));
        assert_hex(mac, sizeof(mac), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
        /* an empty key and an empty message */
        assert_ok(crypto_hmac_sha256(NULL, 0, NULL, 0, mac));
        assert_hex(mac, sizeof(mac), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void aes_ctr_sp800_38a(_unused_ void **state) {
        uint8_t key[16], iv[16], in[64], out[64];

        unhex("2b7e151628aed2a6abf7158809cf4f3c", key, sizeof(key));
        unhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", iv, sizeof(iv));
        unhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
              "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
                        in, sizeof(in));
        assert_ok(crypto_aes128_ctr(key, iv, in, sizeof(in), out));
        assert_hex(out, sizeof(out),
                        "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"
                        "5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee");
        assert_ok(crypto_aes128_ctr(key, iv, out, sizeof(out), out)); /* in place, back again */
        assert_memory_equal(in, out, sizeof(in));
        assert_ok(crypto_aes128_ctr(key, iv, NULL, 0, NULL));
}

/* Counter and length little endian: computed with a separate HMAC program. */
static void kdf_is_little_endian(_unused_ void **state) {
        const uint8_t zero[16] = {};
        uint8_t key[16], longer[48], again[32];
        struct iovec message[] = { HMAC_RANGE("\1\0\0\0sev-master-secret\0", 22), HMAC_RANGE(zero, 16),
                HMAC_RANGE("\x80\0\0\0", 4) };
        uint8_t mac[HMAC_SHA256_SIZE];

        assert_ok(crypto_kdf_counter_le(zero, 16, "sev-master-secret", zero, 16, key, sizeof(key)));
        assert_hex(key, sizeof(key), "ab4d269fcc62bedb4511d56c386ce706");
        assert_ok(crypto_hmac_sha256(zero, 16, message, 3, mac));
        assert_memory_equal(mac, key, 16);

        /* the second block comes from the counter 2; the length is part of every block */
        assert_ok(crypto_kdf_counter_le(zero, 16, "x", NULL, 0, longer, sizeof(longer)));
        assert_ok(crypto_kdf_counter_le(zero, 16, "x", NULL, 0, again, sizeof(again)));
        assert_memory_not_equal(longer, again, 32);
        assert_memory_not_equal(longer, longer + 32, 16);
        assert_error(crypto_kdf_counter_le(zero, 16, "x", NULL, 0, NULL, 8161), E2BIG);
}

static void ecdh_rfc5903(_unused_ void **state) {
        _cleanup_ec_key_ EcKey *own = NULL, *peer = NULL;
        _cleanup_(secret_buf_done) SecretBuf z = {};
        uint8_t d[P384_SIZE];
        EcPoint p;

        unhex("099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655e35b538041e649ee3faef896783ab"
              "194",
                        d, sizeof(d));
        assert_ok(ec_key_from_scalar(d, &own));
        assert_ok(ec_key_point(own, &p));
        assert_hex(p.x, P384_SIZE,
                        "667842d7d180ac2cde6f74f37551f55755c7645c20ef73e31634fe72b4c55ee6de3ac808acb4bdb4c88"
                        "732aee95f41aa");
        unhex("e558dbef53eecde3d3fccfc1aea08a89a987475d12fd950d83cfa41732bc509d0d1ac43a0336def96fda41d0774a3"
              "571",
                        p.x, P384_SIZE);
        unhex("dcfbec7aacf3196472169e838430367f66eebe3c6e70c416dd5f0c68759dd1fff83fa40142209dff5eaad96db9e63"
              "86c",
                        p.y, P384_SIZE);
        assert_ok(ec_key_from_point(&p, &peer));
        assert_ok(ec_key_derive(own, peer, &z));
        assert_int_equal(z.size, P384_SIZE);
        assert_hex(z.data, z.size,
                        "11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4d603135569b9e9d09cf"
                        "5d4a270f59746");
}

static void ecdsa_rfc6979(_unused_ void **state) {
        _cleanup_ec_key_ EcKey *k = NULL;
        uint8_t d[P384_SIZE];
        EcSignature s;

        unhex("6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2e"
              "df5",
                        d, sizeof(d));
        assert_ok(ec_key_from_scalar(d, &k));
        unhex("21b13d1e013c7fa1392d03c5f99af8b30c570c6f98d4ea8e354b63a21d3daa33bde1e888e63355d92fa2b3c36d8fb"
              "2cd",
                        s.r, P384_SIZE);
        unhex("f3aa443fb107745bf4bd77cb3891674632068a10ca67e3d45db2266fa7d1feebefdc63eccd1ac42ec0cb8668a4fa0"
              "ab0",
                        s.s, P384_SIZE);
        assert_ok(ec_key_verify(k, HASH_SHA256, "sample", 6, &s));
        assert_error(ec_key_verify(k, HASH_SHA384, "sample", 6, &s), EKEYREJECTED);
        assert_error(ec_key_verify(k, HASH_SHA256, "simple", 6, &s), EKEYREJECTED);
        s.s[47] ^= 1;
        assert_error(ec_key_verify(k, HASH_SHA256, "sample", 6, &s), EKEYREJECTED);
        memset(&s, 0, sizeof(s));
        assert_error(ec_key_verify(k, HASH_SHA256, "sample", 6, &s), EKEYREJECTED);
        memset(&s, 0xff, sizeof(s));
        assert_error(ec_key_verify(k, HASH_SHA256, "sample", 6, &s), EKEYREJECTED);
        assert_ok(ec_key_sign(k, HASH_SHA384, "sample", 6, &s));
        assert_ok(ec_key_verify(k, HASH_SHA384, "sample", 6, &s));
}

static int all_ones_first(void *userdata, void *buf, size_t n) {
        unsigned *calls = userdata;

        memset(buf, (*calls)++ == 0 ? 0xff : 0x11, n);
        return 0;
}

static void ec_keys_out_of_range(_unused_ void **state) {
        _cleanup_ec_key_ EcKey *k = NULL, *p = NULL;
        uint8_t d[P384_SIZE] = {};
        unsigned calls = 0;
        EcPoint point;

        assert_error(ec_key_from_scalar(d, &k), EBADMSG); /* zero */
        unhex("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52"
              "973",
                        d, sizeof(d));
        assert_error(ec_key_from_scalar(d, &k), EBADMSG); /* the order */
        assert_null(k);
        assert_ok(ec_key_generate(all_ones_first, &calls, &k)); /* draws again */
        assert_int_equal(calls, 2);

        assert_ok(ec_key_point(k, &point));
        assert_ok(ec_key_from_point(&point, &p));
        p = ec_key_free(p);
        point.y[47] ^= 1;
        assert_error(ec_key_from_point(&point, &p), EBADMSG);
        memset(&point, 0, sizeof(point));
        assert_error(ec_key_from_point(&point, &p), EBADMSG);
        assert_null(p);
}

static void rsa_keys_out_of_range(_unused_ void **state) {
        _cleanup_rsa_key_ RsaKey *k = NULL;
        uint8_t n[512] = { 0x80 }, e[] = { 1, 0, 1 }, fingerprint[SHA256_SIZE];

        n[511] = 1;
        assert_error(rsa_key_new(n, 511, e, sizeof(e), &k), EBADMSG);       /* even */
        assert_error(rsa_key_new(n + 511, 1, e, sizeof(e), &k), EBADMSG);   /* small */
        assert_error(rsa_key_new(n, sizeof(n), e, 1, &k), EBADMSG);         /* exponent 1 */
        assert_error(rsa_key_new(n, sizeof(n), n, sizeof(n), &k), EBADMSG); /* huge exponent */
        assert_ok(rsa_key_new(n, sizeof(n), e, sizeof(e), &k));
        assert_ok(rsa_key_fingerprint(k, fingerprint));
        assert_error(rsa_key_verify_pss(k, HASH_SHA384, "x", 1, n, sizeof(n)), EKEYREJECTED);
        assert_error(rsa_key_verify_pss(k, HASH_SHA384, "x", 1, n, 3), EKEYREJECTED);
}

static void random_differs(_unused_ void **state) {
        uint8_t a[32] = {}, b[32] = {};

        assert_ok(crypto_random(NULL, a, sizeof(a)));
        assert_ok(crypto_random(NULL, b, sizeof(b)));
        assert_memory_not_equal(a, b, sizeof(a));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(hmac_rfc4231),
                cmocka_unit_test(aes_ctr_sp800_38a),
                cmocka_unit_test(kdf_is_little_endian),
                cmocka_unit_test(ecdh_rfc5903),
                cmocka_unit_test(ecdsa_rfc6979),
                cmocka_unit_test(ec_keys_out_of_range),
                cmocka_unit_test(rsa_keys_out_of_range),
                cmocka_unit_test(random_differs),
        };

        return cmocka_run_group_tests_name("crypto: keys", tests, NULL, NULL);
}
