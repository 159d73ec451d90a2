/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Secret tables and packets. The golden packets were made with virt-qemu-sev-validate 12.8.0 and a fixed IV (bytes 40..4f),
 * TEK 00..0f, TIK 10..1f. */

#include <errno.h>

#include "test.h"

#include "attest-secret.h"
#include "encode.h"

#define MEASUREMENT "6cjLB4V6TPNJaEvOgSZFyezLbtsXEaKWkhIZK+TBlF6goaKjpKWmp6ipqqusra6v"

static int counting(void *userdata, void *buf, size_t n) {
        uint8_t *next = userdata, *p = buf;

        for (size_t i = 0; i < n; i++)
                p[i] = (*next)++;
        return 0;
}

static void known_keys(SevKeys *ret) {
        uint8_t next = 0;

        assert_ok(counting(&next, ret, sizeof(*ret)));
}

static void add(SecretTable *t, const char *guid, const void *p, size_t n) {
        _cleanup_(secret_buf_done) SecretBuf v = {};
        Guid g;

        assert_ok(secret_buf_copy(&v, p, n));
        assert_ok(guid ? guid_parse(guid, &g) : secret_guid_from_alias("luks-key", &g));
        assert_ok(secret_table_add(t, &g, &v));
}

static void check_packet(const SecretTable *t, size_t padded, const char *header64, const char *payload64) {
        _cleanup_(secret_buf_done) SecretBuf table = {}, opened = {};
        _cleanup_free_ uint8_t *payload = NULL, *measure = NULL;
        _cleanup_free_ char *h = NULL, *p = NULL;
        uint8_t header[SECRET_HEADER_SIZE], next = 0x40;
        Verdict v = VERDICT_UNVERIFIED;
        SevKeys keys;
        size_t n;

        known_keys(&keys);
        assert_ok(base64_decode(MEASUREMENT, strlen(MEASUREMENT), &measure, &n));
        assert_ok(secret_table_build(t, true, &table));
        assert_int_equal(table.size, padded);
        payload = malloc(table.size);
        assert_non_null(payload);
        assert_ok(secret_packet_seal(&keys, measure, &table, counting, &next, header, payload));
        h = base64_encode(header, sizeof(header));
        p = base64_encode(payload, table.size);
        assert_string_equal(h, header64);
        assert_string_equal(p, payload64);

        assert_ok(secret_packet_open(&keys, measure, header, payload, table.size, &opened, &v));
        assert_int_equal(v, VERDICT_AUTHENTIC);
        assert_memory_equal(opened.data, table.data, table.size);
}

static void golden_packets(_unused_ void **state) {
        _cleanup_(secret_table_done) SecretTable one = {}, aligned = {}, two = {}, empty = {};

        add(&one, NULL, "passphrase", 10);
        check_packet(&one, 64, "AAAAAEBBQkNERUZHSElKS0xNTk8/aMJ6UaGkz2izif2z7f51SYzjW2RnTjc9UZeASvo+3Q==",
                        "l8aRhZjQNaDoYHMfewJdkQDJ3cLVQ8ebOj+"
                        "ma1zMI5za3kerU9HZouztq5piAg1RYZbI1Mn1IMIEQYq8C8yOLg==");
        add(&aligned, NULL, "BBBBBBBBBBBBBBBBBBBBBBBB", 24);
        check_packet(&aligned, 80,
                        "AAAAAEBBQkNERUZHSElKS0xNTk/n7rJFN3eABlJG3zU3fE7uh4lJLt+q9F2J1yvbGs/2hg==",
                        "l8aRhZjQNaDoYHMfewJdkXLJ3cLVQ8ebOj+ma1zMI5za3kerYdHZot7OmqtQKD1yULGKlou3YoBGA8j+"
                        "SY7MbC2nYkn+"
                        "FYtD0ifvLmsDhug=");
        add(&two, NULL, "passphrase", 10);
        add(&two, "11111111-2222-3333-4444-555555555555", "initrd", 6);
        check_packet(&two, 80, "AAAAAEBBQkNERUZHSElKS0xNTk8NbkbUxGDrzBES46LriJ7moQxBjMJRuerVs7eIhKvzGw==",
                        "l8aRhZjQNaDoYHMfewJdkX7J3cLVQ8ebOj+"
                        "ma1zMI5za3kerU9HZouztq5piAg1RYZbZxdjkAuA3cs74Xpnbe3jyeEn+"
                        "FeItu1OdSmsDhug=");
        add(&empty, NULL, NULL, 0);
        check_packet(&empty, 48, "AAAAAEBBQkNERUZHSElKS0xNTk+NQ9lwH8Y4QcrZpZAlc3wX95X67bV6oWVa+vgAHtxj4w==",
                        "l8aRhZjQNaDoYHMfewJdkRrJ3cLVQ8ebOj+ma1zMI5za3kerWdHZopyM2OkSan8w");
}

static void padding(_unused_ void **state) {
        for (size_t n = 0; n < 40; n++) {
                _cleanup_(secret_buf_done) SecretBuf tight = {}, wide = {};
                _cleanup_(secret_table_done) SecretTable t = {}, back = {};
                uint8_t bytes[40];

                memset(bytes, 0xff, sizeof(bytes));
                add(&t, NULL, bytes, n);
                assert_ok(secret_table_build(&t, false, &tight));
                assert_ok(secret_table_build(&t, true, &wide));
                assert_int_equal(tight.size, (40 + n + 15) / 16 * 16);
                assert_int_equal(wide.size, (40 + n) / 16 * 16 + 16);
                assert_memory_equal(tight.data, wide.data, tight.size);
                assert_ok(secret_table_parse(wide.data, wide.size, &back, NULL));
                assert_int_equal(back.n_items, 1);
                assert_int_equal(back.items[0].value.size, n);
                if (n > 0)
                        assert_memory_equal(back.items[0].value.data, bytes, n);
        }
}

static void a_guid_comes_once(_unused_ void **state) {
        _cleanup_(secret_buf_done) SecretBuf v = {};
        _cleanup_(secret_table_done) SecretTable t = {};
        Guid g;

        add(&t, NULL, "x", 1);
        assert_ok(secret_buf_copy(&v, "y", 1));
        assert_ok(guid_parse("736869E5-84F0-4973-92EC-06879CE3DA0B", &g));
        assert_error(secret_table_add(&t, &g, &v), EEXIST);
        assert_int_equal(v.size, 1); /* still ours */
        assert_error(secret_guid_from_alias("LUKS-key", &g), ENOENT);
}

/* No changed byte of a packet goes unnoticed. */
static void packet_is_authentic_or_not(_unused_ void **state) {
        _cleanup_(secret_buf_done) SecretBuf table = {}, opened = {};
        _cleanup_(secret_table_done) SecretTable t = {};
        uint8_t header[SECRET_HEADER_SIZE], payload[64], measure[SEV_MEASURE_SIZE] = { 1, 2, 3 }, next = 9;
        Verdict v;
        SevKeys keys;

        known_keys(&keys);
        add(&t, NULL, "passphrase", 10);
        assert_ok(secret_table_build(&t, false, &table));
        assert_int_equal(table.size, sizeof(payload));
        assert_ok(secret_packet_seal(&keys, measure, &table, counting, &next, header, payload));

        for (size_t i = 0; i < sizeof(header) + sizeof(payload) + sizeof(measure) + 16; i++) {
                uint8_t *p = i < sizeof(header)                        ? header + i
                                : i < sizeof(header) + sizeof(payload) ? payload + i - sizeof(header)
                                : i < sizeof(header) + sizeof(payload) + sizeof(measure)
                                ? measure + i - sizeof(header) - sizeof(payload)
                                : keys.tik + i - sizeof(header) - sizeof(payload) - sizeof(measure);

                *p ^= 0x20;
                v = VERDICT_UNVERIFIED;
                assert_ok(secret_packet_open(&keys, measure, header, payload, sizeof(payload), &opened, &v));
                assert_int_equal(v, VERDICT_NOT_AUTHENTIC);
                assert_null(opened.data);
                *p ^= 0x20;
        }
        assert_ok(secret_packet_open(&keys, measure, header, payload, 48, &opened, &v));
        assert_int_equal(v, VERDICT_NOT_AUTHENTIC);
        assert_ok(secret_packet_open(&keys, measure, header, payload, sizeof(payload), &opened, &v));
        assert_int_equal(v, VERDICT_AUTHENTIC);
}

static void parse_is_strict(_unused_ void **state) {
        static const struct {
                size_t offset;
                uint8_t value;
                const char *sentence;
        } rows[] = {
                { 0, 0, "begin with" },
                { 16, 49, "impossible length" }, /* cuts the entry */
                { 16, 60, "truncated" },         /* a second entry of ten bytes */
                { 16, 65, "impossible length" },
                { 16, 19, "impossible length" },
                { 36, 19, "impossible length" },
                { 36, 31, "impossible length" },
                { 36, 29, "truncated" },
                { 63, 1, "not zero" },
        };
        _cleanup_(secret_buf_done) SecretBuf table = {};
        _cleanup_(secret_table_done) SecretTable t = {};

        add(&t, NULL, "passphrase", 10);
        assert_ok(secret_table_build(&t, false, &table));
        FOREACH_ARRAY(row, rows, ELEMENTSOF(rows)) {
                _cleanup_(secret_table_done) SecretTable back = {};
                _cleanup_free_ char *error = NULL;
                uint8_t before = table.data[row->offset];

                table.data[row->offset] = row->value;
                assert_error(secret_table_parse(table.data, table.size, &back, &error), EBADMSG);
                assert_non_null(strstr(error, row->sentence));
                table.data[row->offset] = before;
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(golden_packets),
                cmocka_unit_test(padding),
                cmocka_unit_test(a_guid_comes_once),
                cmocka_unit_test(packet_is_authentic_or_not),
                cmocka_unit_test(parse_is_strict),
        };

        return cmocka_run_group_tests_name("attest: secrets", tests, NULL, NULL);
}
