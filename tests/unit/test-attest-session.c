/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The guest owner's session and the launch measurement. The zero vector is the one of virtee/sev's session tests, with KEK
 * and KIK computed from it; the measurement vector is the one of virtee/sev. */

#include <errno.h>
#include <stdio.h>

#include "test.h"

#include "attest-launch.h"
#include "attest-session.h"
#include "crypto-ec.h"
#include "encode.h"
#include "error.h"
#include "secret.h"

static void assert_hex(const uint8_t *p, size_t n, const char *expected) {
        char *text = hex_encode(p, n);

        assert_string_equal(text, expected);
        free(text);
}

static void measurement(_unused_ void **state) {
        uint8_t tik[SEV_KEY_SIZE], reported[SEV_MEASURE_SIZE];
        SevMeasurement m = { .api_minor = 18, .build = 15, .nonce_size = SEV_NONCE_SIZE };
        Verdict v = VERDICT_UNVERIFIED;

        assert_ok(hex_decode_exact("66320db73158a35a255d051758e95ed4", tik, sizeof(tik)));
        assert_ok(hex_decode_exact("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                        m.digest, sizeof(m.digest)));
        assert_ok(hex_decode_exact("4fbe0bedbad6c86ae8f68971d103e554", m.nonce, sizeof(m.nonce)));
        assert_ok(hex_decode_exact("6faab2daae389bcd3405a05d6cafe33c0414f7bedd0bae19ba5f38b7fd1664ea",
                        reported, sizeof(reported)));
        assert_ok(sev_measurement_verify(tik, &m, reported, &v));
        assert_int_equal(v, VERDICT_AUTHENTIC);

        /* every member counts */
        for (unsigned i = 0; i < 7; i++) {
                SevMeasurement n = m;

                switch (i) {
                case 0:
                        n.api_major++;
                        break;
                case 1:
                        n.api_minor++;
                        break;
                case 2:
                        n.build++;
                        break;
                case 3:
                        n.policy ^= 1u << 31;
                        break;
                case 4:
                        n.digest[31] ^= 1;
                        break;
                case 5:
                        n.nonce[15] ^= 0x80;
                        break;
                default:
                        n.nonce_size--;
                }
                assert_ok(sev_measurement_verify(tik, &n, reported, &v));
                assert_int_equal(v, VERDICT_NOT_AUTHENTIC);
        }
        tik[0] ^= 1;
        assert_ok(sev_measurement_verify(tik, &m, reported, &v));
        assert_int_equal(v, VERDICT_NOT_AUTHENTIC);
}

static void wrap_zero_vector(_unused_ void **state) {
        const uint8_t zero[16] = {};
        uint8_t blob[SEV_SESSION_SIZE];
        SevKeys keys = {}, back = { .tik = { 1 } };

        assert_ok(sev_session_wrap(zero, sizeof(zero), zero, zero, &keys, 0, blob));
        assert_hex(blob, 16, "00000000000000000000000000000000");
        assert_hex(blob + 0x10, 32, "2137bc7f9bb8bd7c3e55a576a15d3454b3856b8ba27afadf46dcfee9f02c02c4");
        assert_hex(blob + 0x30, 16, "00000000000000000000000000000000");
        assert_hex(blob + 0x40, 32, "3176c0752738bd9d5e86689534020f528c088f16238826b000b327dee6aeed7d");
        assert_hex(blob + 0x60, 32, "aa7855e13839dd767cd5da7c1ff5036540c9264b7a803029315e55375287b4af");
        assert_ok(sev_session_unwrap(zero, sizeof(zero), blob, 0, &back, NULL));
        assert_memory_equal(&keys, &back, sizeof(keys));
}

/* 0, 1, 2 ...: every random byte of a session is different and known. */
static int counting(void *userdata, void *buf, size_t n) {
        uint8_t *next = userdata, *p = buf;

        for (size_t i = 0; i < n; i++)
                p[i] = (*next)++;
        return 0;
}

static EcKey *new_pdh(SevCert *ret) {
        uint8_t next = 0x77;
        EcKey *k = NULL;
        EcPoint p;

        assert_ok(ec_key_generate(counting, &next, &k));
        assert_ok(ec_key_point(k, &p));
        *ret = (SevCert) {
                .usage = SEV_USAGE_PDH,
                .algorithm = SEV_ALGORITHM_ECDH_SHA256,
                .signatures = { { .usage = SEV_USAGE_NONE }, { .usage = SEV_USAGE_NONE } },
        };
        memcpy(ret->x, p.x, sizeof(p.x));
        memcpy(ret->y, p.y, sizeof(p.y));
        sev_cert_format(ret);
        return k;
}

/* The platform's side of the exchange. */
static void platform_shared(const EcKey *pdh, const uint8_t *godh, SecretBuf *ret) {
        _cleanup_ec_key_ EcKey *peer = NULL;
        SevCert c;
        EcPoint p;

        assert_ok(sev_cert_parse(godh, SEV_CERT_SIZE, &c, NULL));
        assert_int_equal(c.usage, SEV_USAGE_PDH);
        assert_int_equal(c.algorithm, SEV_ALGORITHM_ECDH_SHA256);
        assert_int_equal(c.signatures[0].usage, SEV_USAGE_NONE);
        memcpy(p.x, c.x, sizeof(p.x));
        memcpy(p.y, c.y, sizeof(p.y));
        assert_ok(ec_key_from_point(&p, &peer));
        assert_ok(ec_key_derive(pdh, peer, ret));
}

static void session_opens_on_its_platform_only(_unused_ void **state) {
        _cleanup_(secret_buf_done) SecretBuf shared = {};
        _cleanup_ec_key_ EcKey *pdh = NULL;
        SevSession s, again;
        uint8_t next = 1;
        SevCert cert;
        SevKeys keys;

        pdh = new_pdh(&cert);
        assert_ok(sev_session_new(&cert, 5, counting, &next, &s, NULL));
        next = 1;
        assert_ok(sev_session_new(&cert, 5, counting, &next, &again, NULL));
        assert_memory_equal(&s, &again, sizeof(s)); /* nothing random but the source */
        assert_int_equal(s.blob[0], 1 + 48);        /* after the private key */

        platform_shared(pdh, s.godh, &shared);
        assert_ok(sev_session_unwrap(shared.data, shared.size, s.blob, 5, &keys, NULL));
        assert_memory_equal(&keys, &s.keys, sizeof(keys));

        /* another policy, another platform, and each changed byte but the nonce's neighbours in the policy's MAC */
        assert_error(sev_session_unwrap(shared.data, shared.size, s.blob, 4, &keys, NULL), EKEYREJECTED);
        for (size_t i = 0; i < SEV_SESSION_SIZE; i++) {
                uint8_t blob[SEV_SESSION_SIZE];
                _cleanup_free_ char *error = NULL;

                memcpy(blob, s.blob, sizeof(blob));
                blob[i] ^= 0x10;
                assert_error(sev_session_unwrap(shared.data, shared.size, blob, 5, &keys, &error),
                                EKEYREJECTED);
                assert_non_null(error);
        }
        shared.data[3] ^= 1;
        assert_error(sev_session_unwrap(shared.data, shared.size, s.blob, 5, &keys, NULL), EKEYREJECTED);
}

static void session_needs_a_pdh(_unused_ void **state) {
        _cleanup_free_ char *error = NULL, *point = NULL;
        _cleanup_ec_key_ EcKey *pdh = NULL;
        uint8_t next = 0;
        SevSession s;
        SevCert cert;

        pdh = new_pdh(&cert);
        cert.usage = SEV_USAGE_PEK;
        assert_error(sev_session_new(&cert, 1, counting, &next, &s, &error), EINVAL);
        assert_non_null(strstr(error, "PEK"));
        cert.usage = SEV_USAGE_PDH;
        cert.x[0] ^= 1;
        assert_error(sev_session_new(&cert, 1, counting, &next, &s, &point), EBADMSG);
        assert_non_null(strstr(point, "curve"));
}

static void match_tells_what_is_wrong(_unused_ void **state) {
        const uint8_t zero[16] = {};
        SevKeys keys, swapped, other = {};
        uint8_t blob[SEV_SESSION_SIZE], next = 0;
        SessionMatch m = SESSION_UNCHECKED;
        uint32_t policy = 0;

        assert_ok(counting(&next, &keys, sizeof(keys)));
        memcpy(swapped.tek, keys.tik, sizeof(swapped.tek));
        memcpy(swapped.tik, keys.tek, sizeof(swapped.tik));
        assert_ok(sev_session_wrap(zero, sizeof(zero), zero, zero, &keys, 7, blob));

        assert_ok(sev_session_match(blob, &keys, 7, &m, &policy));
        assert_int_equal(m, SESSION_MATCHES);
        assert_ok(sev_session_match(blob, &keys, 0x37010003, &m, &policy));
        assert_int_equal(m, SESSION_OTHER_POLICY);
        assert_int_equal(policy, 7);
        assert_ok(sev_session_match(blob, &swapped, 7, &m, &policy));
        assert_int_equal(m, SESSION_KEYS_SWAPPED);
        assert_ok(sev_session_match(blob, &swapped, 3, &m, &policy));
        assert_int_equal(m, SESSION_KEYS_SWAPPED);
        assert_int_equal(policy, 7);
        assert_ok(sev_session_match(blob, &other, 7, &m, &policy));
        assert_int_equal(m, SESSION_OTHER_KEYS);

        assert_ok(sev_session_wrap(zero, sizeof(zero), zero, zero, &keys, 0x37010003, blob));
        assert_ok(sev_session_match(blob, &keys, 3, &m, &policy));
        assert_int_equal(m, SESSION_OTHER_POLICY);
        assert_int_equal(policy, 0x37010003);
}

static void read_takes_text_and_bytes(_unused_ void **state) {
        uint8_t blob[SEV_SESSION_SIZE], back[SEV_SESSION_SIZE], next = 0;
        _cleanup_free_ char *text = NULL, *error = NULL;
        char wrapped[256];
        bool binary = true;

        assert_ok(counting(&next, blob, sizeof(blob)));
        text = base64_encode(blob, sizeof(blob));
        assert_int_equal(strlen(text), 172);
        assert_ok(sev_session_read(text, 172, back, &binary, NULL));
        assert_false(binary);
        assert_memory_equal(blob, back, sizeof(blob));
        assert_true(snprintf(wrapped, sizeof(wrapped), "%.76s\n%s\r\n", text, text + 76) == 175);
        assert_ok(sev_session_read(wrapped, 175, back, &binary, NULL));
        assert_false(binary);
        assert_ok(sev_session_read(blob, sizeof(blob), back, &binary, NULL));
        assert_true(binary);
        assert_error(sev_session_read(text, 168, back, &binary, &error), EBADMSG);
        assert_error(sev_session_read("", 0, back, &binary, NULL), EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(measurement),
                cmocka_unit_test(wrap_zero_vector),
                cmocka_unit_test(session_opens_on_its_platform_only),
                cmocka_unit_test(session_needs_a_pdh),
                cmocka_unit_test(match_tells_what_is_wrong),
                cmocka_unit_test(read_takes_text_and_bytes),
        };

        return cmocka_run_group_tests_name("attest: sessions", tests, NULL, NULL);
}
