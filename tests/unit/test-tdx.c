/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* TDX metadata as QEMU reads them, and the TD HOB, whose digests stand in logs of real machines. */

#include <errno.h>

#include "test.h"

#include "bytes.h"
#include "crypto-hash.h"
#include "encode.h"
#include "strutil.h"
#include "tdvf-metadata.h"
#include "tdx-hob.h"

enum { SIZE = 0x8000, AT = 0x7000, DISTANCE = SIZE - AT };

/* The sections that Debian's OVMF.inteltdx.ms.fd 2026.08+ds-2 has in RAM, and files of a page each. */
static const TdvfSection usual[] = {
        { 0x1000, 0x1000, 0xffc84000, 0x1000, TDVF_BFV, TDVF_EXTEND },
        { 0, 0x1000, 0xffc00000, 0x1000, TDVF_CFV, 0 },
        { 0, 0, 0x810000, 0x10000, TDVF_TEMP_MEM, 0 },
        { 0, 0, 0x80b000, 0x2000, TDVF_TEMP_MEM, 0 },
        { 0, 0, 0x809000, 0x2000, TDVF_TD_HOB, 0 },
        { 0, 0, 0x800000, 0x6000, TDVF_TEMP_MEM, 0 },
};

static void put(uint8_t *image, const TdvfSection *sections, size_t n) {
        ByteWriter w = byte_writer(image + AT, SIZE - AT);

        byte_writer_put(&w, "TDVF", 4);
        byte_writer_le32(&w, (uint32_t) (16 + 32 * n));
        byte_writer_le32(&w, 1);
        byte_writer_le32(&w, (uint32_t) n);
        for (size_t i = 0; i < n; i++) {
                byte_writer_le32(&w, sections[i].offset);
                byte_writer_le32(&w, sections[i].raw);
                byte_writer_le64(&w, sections[i].gpa);
                byte_writer_le64(&w, sections[i].size);
                byte_writer_le32(&w, sections[i].type);
                byte_writer_le32(&w, sections[i].attributes);
        }
}

static void metadata(_unused_ void **state) {
        static uint8_t image[SIZE];
        TdvfInfo info;
        char *error = NULL;

        put(image, usual, ELEMENTSOF(usual));
        assert_ok(tdvf_parse(image, sizeof(image), DISTANCE, &info, &error));
        assert_null(error);
        assert_int_equal(info.n_sections, ELEMENTSOF(usual));
        /* Table order, not address order. */
        for (size_t i = 0; i < info.n_sections; i++) {
                assert_int_equal(info.sections[i].gpa, usual[i].gpa);
                assert_int_equal(info.sections[i].raw, usual[i].raw);
                assert_int_equal(info.sections[i].attributes, usual[i].attributes);
        }
        assert_int_equal(tdvf_find(&info, TDVF_TD_HOB)->gpa, 0x809000);
        assert_string_equal(tdvf_type_to_string(TDVF_CFV), "CFV");
        assert_null(tdvf_type_to_string(4));
}

static void refused(const TdvfSection *sections, size_t n, const char *part) {
        static uint8_t image[SIZE];
        _cleanup_free_ char *error = NULL;
        TdvfInfo info;

        put(image, sections, n);
        assert_error(tdvf_parse(image, sizeof(image), DISTANCE, &info, &error), EBADMSG);
        assert_non_null(error);
        if (!strstr(error, part))
                fail_msg("'%s' does not contain '%s'", error, part);
}

/* The usual sections with one of them changed. */
static void refused_with(size_t i, TdvfSection changed, const char *part) {
        TdvfSection sections[ELEMENTSOF(usual)];

        memcpy(sections, usual, sizeof(usual));
        sections[i] = changed;
        refused(sections, ELEMENTSOF(sections), part);
}

static void bad_sections(_unused_ void **state) {
        refused(usual, 1, "2 to 64 expected");
        refused(usual, 4, "no TD_HOB section");
        refused_with(0, (TdvfSection) { 0x1000, 0x1000, 0xffc84800, 0x1000, TDVF_BFV, 1 },
                        "whole 4 KiB pages");
        refused_with(0, (TdvfSection) { 0x1000, 0x1000, 0xffc84000, 0, TDVF_BFV, 1 }, "whole 4 KiB pages");
        refused_with(0, (TdvfSection) { 0x1000, 0, 0xffc84000, 0x1000, TDVF_BFV, 1 },
                        "at least one is expected");
        refused_with(2, (TdvfSection) { 0, 1, 0x810000, 0x1000, TDVF_TEMP_MEM, 0 }, "none is expected");
        refused_with(0, (TdvfSection) { 0x7fff, 0x1000, 0xffc84000, 0x1000, TDVF_BFV, 1 }, "truncated");
        refused_with(0, (TdvfSection) { 0xffffffff, 0xffffffff, 0xffc84000, 0x1000, TDVF_BFV, 1 },
                        "truncated");
        refused_with(0, (TdvfSection) { 0x1000, 0x800, 0xffc84000, 0x1000, TDVF_BFV, 1 },
                        "2048 bytes in the file");
        refused_with(0, (TdvfSection) { 0x1000, 0x1000, 0xffc84000, 0x1000, 4, 1 }, "QEMU does not launch");
        refused_with(0, (TdvfSection) { 0x1000, 0x1000, 0xffc84000, 0x1000, TDVF_BFV, 3 }, "PAGE_AUG");
        refused_with(0, (TdvfSection) { 0x1000, 0x1000, 0xffc84000, 0x1000, TDVF_BFV, 4 },
                        "unknown attributes");
        refused_with(3, (TdvfSection) { 0, 0, 0x80f000, 0x2000, TDVF_TEMP_MEM, 0 }, "overlaps");
        refused_with(3, (TdvfSection) { 0, 0, UINT64_MAX - 4095, 0x1000, TDVF_TEMP_MEM, 0 }, "out of range");
        refused_with(3, (TdvfSection) { 0, 0, 0x10000000, UINT64_C(1) << 40, TDVF_TEMP_MEM, 0 },
                        "out of range");
}

static void bad_header(_unused_ void **state) {
        static uint8_t image[SIZE];
        const struct {
                size_t at;
                uint8_t value;
                const char *part;
        } cases[] = {
                { 0, 'A', "signature TDVF" },
                { 4, 17, "length 17" },
                { 8, 2, "version 2" },
                { 12, 200, "200 sections" },
        };
        TdvfInfo info;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *error = NULL;

                put(image, usual, ELEMENTSOF(usual));
                image[AT + cases[i].at] = cases[i].value;
                assert_error(tdvf_parse(image, sizeof(image), DISTANCE, &info, &error), EBADMSG);
                assert_non_null(strstr(error, cases[i].part));
        }
        put(image, usual, ELEMENTSOF(usual));
        assert_error(tdvf_parse(image, sizeof(image), 15, &info, NULL), EBADMSG);
        assert_error(tdvf_parse(image, sizeof(image), SIZE + 1, &info, NULL), EBADMSG);
        assert_error(tdvf_parse(image, AT + 50, 50, &info, NULL), EBADMSG);
}

static void hob(_unused_ void **state) {
        /* 1024 to 2816 MiB: event logs of real machines and of this firmware as a TD under TCG; all but 1024: what QEMU 11.1.3 hands to
         * KVM. 16 hexadecimal digits of SHA-384. */
        static const struct {
                uint64_t mib;
                const char *digest;
        } cases[] = {
                { 512, "00934f9ff0a0f65e" },
                { 1024, "1055c9b9a1fc534e" },
                { 2047, "f17054e5c9c50872" },
                { 2048, "0b8772e5b0b41b83" },
                { 2815, "51d4fd91da99cc87" },
                { 2816, "8eb1a02074362aa0" },
                { 2817, "6962fc2b19812295" },
                { 10240, "05dc148f05a03508" },
                { 20000, "07a2cdf4b369512f" },
        };
        TdvfInfo info = { .n_sections = ELEMENTSOF(usual) };
        _cleanup_free_ char *error = NULL;
        uint8_t digest[SHA384_SIZE];
        TdxHob h;

        memcpy(info.sections, usual, sizeof(usual));
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *hex = NULL;

                assert_ok(tdx_hob_build(&info, cases[i].mib << 20, &h, NULL));
                assert_int_equal(h.size, h.measured + 8);
                assert_ok(hash_digest(HASH_SHA384, h.bytes, h.measured, digest));
                hex = hex_encode(digest, 8);
                assert_string_equal(hex, cases[i].digest);
        }
        assert_error(tdx_hob_build(&info, UINT64_C(8) << 20, &h, &error), EINVAL);
        assert_non_null(strstr(
                        error, "8 MiB of RAM do not hold the firmware's section TEMP_MEM at 0x810000"));
        assert_error(tdx_hob_build(&info, 0, &h, NULL), EINVAL);
        assert_error(tdx_hob_build(&info, 1000, &h, NULL), EINVAL);
        assert_error(tdx_hob_build(&info, TDX_RAM_MAX + 4096, &h, NULL), EINVAL);
        info.n_sections = 4;
        assert_error(tdx_hob_build(&info, UINT64_C(1) << 30, &h, NULL), EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(metadata),
                cmocka_unit_test(bad_sections),
                cmocka_unit_test(bad_header),
                cmocka_unit_test(hob),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
