/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "test.h"

#include "bytes.h"
#include "encode.h"
#include "overflow.h"

static void reader_keeps_cursor_on_failure(_unused_ void **state) {
        const uint8_t data[] = { 1, 2, 3, 4, 5 };
        ByteReader r = byte_reader(data, sizeof(data));
        uint64_t v64 = 7;
        uint32_t v32;

        assert_error(byte_reader_le64(&r, &v64), ENODATA);
        assert_int_equal(v64, 7);
        assert_int_equal(r.pos, 0);
        assert_ok(byte_reader_le32(&r, &v32));
        assert_int_equal(v32, 0x04030201);
        assert_error(byte_reader_le16(&r, (uint16_t *) &v32), ENODATA);
        assert_int_equal(r.pos, 4);
        assert_error(byte_reader_seek(&r, 6), ENODATA);
        assert_ok(byte_reader_seek(&r, 5));
        assert_int_equal(byte_reader_left(&r), 0);
}

static void writer_is_sticky(_unused_ void **state) {
        uint8_t buf[8];
        ByteWriter w = byte_writer(buf, sizeof(buf));

        byte_writer_le32(&w, 0x11223344);
        byte_writer_pad_to(&w, 6);
        assert_ok(byte_writer_finish(&w, 6));
        byte_writer_le32(&w, 1);
        byte_writer_u8(&w, 1); /* would fit, but the writer has failed */
        assert_error(byte_writer_finish(&w, 6), ENOBUFS);
        assert_memory_equal(buf, "\x44\x33\x22\x11\0\0", 6);
}

static void sums_do_not_wrap(_unused_ void **state) {
        uint64_t v = 5;

        assert_false(add_u64(UINT64_MAX, 1, &v));
        assert_false(mul_u64(UINT64_MAX / 2 + 1, 2, &v));
        assert_false(sub_u64(1, 2, &v));
        assert_false(align_u64(UINT64_MAX - 2, 4, &v));
        assert_int_equal(v, 5);
        assert_true(align_u64(97, 4, &v));
        assert_int_equal(v, 100);
}

static void base64_is_strict(_unused_ void **state) {
        static const char *const bad[] = { "A", "AA", "AAA", "AAAA=", "A===", "AB==", "AAB=", "AA=A",
                "AAAA\n", "AA A", "====", "=AAA" };
        uint8_t *p = NULL;
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_error(base64_decode(bad[i], strlen(bad[i]), &p, &n), EINVAL);

        assert_ok(base64_decode("AP8=", 4, &p, &n));
        assert_int_equal(n, 2);
        assert_memory_equal(p, "\0\xff", 2);
        char *text = base64_encode(p, n);
        assert_string_equal(text, "AP8=");
        free(text);
        free(p);
}

/* Blocks and what is left of them: each length, and each wrong character, at each place. */
static void decoders_miss_no_character(_unused_ void **state) {
        static const char hex_alphabet[] = "0123456789abcdefABCDEF",
                          alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        uint8_t bytes[150], out[150];

        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t) (i * 197 + 11);
        for (size_t n = 1; n <= sizeof(bytes); n++) {
                char *hex = hex_encode(bytes, n), *text = base64_encode(bytes, n);
                uint8_t *p = NULL;
                size_t size;

                assert_ok(hex_decode_exact(hex, out, n));
                assert_memory_equal(out, bytes, n);
                assert_ok(base64_decode(text, strlen(text), &p, &size));
                assert_int_equal(size, n);
                assert_memory_equal(p, bytes, n);
                free(p);
                for (unsigned c = 1; n == 99 && c < 256; c++)
                        for (size_t i = 0; i < 2 * n; i++) {
                                char was = hex[i];

                                hex[i] = (char) c;
                                assert_int_equal(hex_decode_exact(hex, out, n) >= 0,
                                                strchr(hex_alphabet, (int) c) != NULL);
                                hex[i] = was;
                                if (i >= strlen(text))
                                        continue;
                                was = text[i];
                                text[i] = (char) c;
                                p = NULL;
                                assert_int_equal(base64_decode(text, strlen(text), &p, &size) >= 0,
                                                strchr(alphabet, (int) c) != NULL ||
                                                                (c == '=' && i + 1 == strlen(text) &&
                                                                                text[i - 1] == 'w'));
                                free(p);
                                text[i] = was;
                        }
                free(hex);
                free(text);
        }
}

static void bytes_come_as_hex_or_base64(_unused_ void **state) {
        static const char *const good[] = { "fbff01", "0xfbFF01", "+/8B" },
                                 *const bad[] = { "", "0x", "0001", "00010203", "0x0001", "AAE=", "AAEC",
                                         "AAECAw==", "xyz", " 000102", "0X000102" };
        uint8_t buf[48];

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                assert_ok(bytes_from_text(good[i], buf, 3, NULL));
                assert_memory_equal(buf, "\xfb\xff\1", 3);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_error(bytes_from_text(bad[i], buf, 3, NULL), EINVAL);
        /* The hex of a SHA-256 is well-formed base64 of 48 bytes, and never meant so. */
        assert_error(bytes_from_text("abababababababababababababababababababababababababababababababab", buf,
                                     48, NULL),
                        EINVAL);
}

static void guid_text_is_mixed_endian(_unused_ void **state) {
        /* EFI_GUID of the SEV-ES reset block, as edk2 OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm stores it. */
        static const Guid compiled = GUID_INIT(
                        0x00f771de, 0x1a7e, 0x4fcb, 0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e);
        char text[GUID_TEXT_SIZE];
        Guid g;

        assert_ok(guid_parse("00F771DE-1a7e-4fcb-890e-68c77e2fb44e", &g));
        assert_memory_equal(g.bytes, "\xde\x71\xf7\x00\x7e\x1a\xcb\x4f\x89\x0e\x68\xc7\x7e\x2f\xb4\x4e", 16);
        assert_true(guid_equal(&g, &compiled));
        guid_format(&g, text);
        assert_string_equal(text, "00f771de-1a7e-4fcb-890e-68c77e2fb44e");
        assert_error(guid_parse("00f771de+1a7e-4fcb-890e-68c77e2fb44e", &g), EINVAL);
        assert_error(guid_parse("00f771de-1a7e-4fcb-890e-68c77e2fb44", &g), EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reader_keeps_cursor_on_failure),
                cmocka_unit_test(writer_is_sticky),
                cmocka_unit_test(sums_do_not_wrap),
                cmocka_unit_test(base64_is_strict),
                cmocka_unit_test(decoders_miss_no_character),
                cmocka_unit_test(bytes_come_as_hex_or_base64),
                cmocka_unit_test(guid_text_is_mixed_endian),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
