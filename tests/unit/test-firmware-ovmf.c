/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "test.h"

#include "ovmf-image.h"

#define METADATA_AT (IMAGE_SIZE - 2048)
#define FOOTER_AT   (IMAGE_SIZE - 50)

/* Parses a copy that ends exactly where the image does, so that a sanitizer sees a step too far. */
static int parse(const uint8_t *image, size_t size, OvmfInfo *ret, char **reterr) {
        uint8_t *copy = malloc(size ?: 1);
        int r;

        assert_non_null(copy);
        if (size > 0)
                memcpy(copy, image, size);
        r = ovmf_parse(copy, size, ret, reterr);
        free(copy);
        return r;
}

static void a_real_layout_is_read(_unused_ void **state) {
        uint8_t image[IMAGE_SIZE];
        OvmfInfo info;
        char *error = NULL;

        image_build(&image_amdsev, image);
        assert_true(ovmf_has_table(image, sizeof(image)));
        assert_ok(parse(image, sizeof(image), &info, &error));
        assert_null(error);
        assert_int_equal(info.size, IMAGE_SIZE);
        assert_true(info.has_reset);
        assert_int_equal(info.reset_address, 0x80b004);
        assert_int_equal(info.hash_table.base, 0x810c00);
        assert_int_equal(info.hash_table.size, 0x400);
        assert_int_equal(info.secret.base, 0x810000);
        assert_int_equal(info.secret.size, 0xc00);
        assert_int_equal(info.metadata_offset, METADATA_AT);
        assert_int_equal(info.n_entries, 5);
        assert_string_equal(ovmf_guid_to_string(&info.entries[0].guid), "SEV_ES_RESET_BLOCK");
        assert_int_equal(info.n_sections, ELEMENTSOF(image_amdsev_sections));
        /* Table order, not address order. */
        assert_memory_equal(info.sections, image_amdsev_sections, sizeof(image_amdsev_sections));
        assert_ok(ovmf_require(&info,
                        OVMF_NEED_RESET | OVMF_NEED_HASH_TABLE | OVMF_NEED_METADATA | OVMF_NEED_HASH_PAGE,
                        &error));
        assert_int_equal(ovmf_find_section(&info, OVMF_SECTION_CPUID)->gpa, 0x80e000);
        assert_null(ovmf_find_section(&info, 99));
}

static void assert_refused(const uint8_t *image, size_t size, const char *part) {
        OvmfInfo info;
        char *error = NULL;

        assert_error(parse(image, size, &info, &error), EBADMSG);
        assert_non_null(error);
        if (!strstr(error, part))
                fail_msg("expected '%s' in '%s'", part, error);
        free(error);
}

static void bad_tables_are_named(_unused_ void **state) {
        static const struct {
                size_t at;
                uint16_t value;
                const char *part;
        } cases[] = {
                { FOOTER_AT, 0, "firmware table has the length 0" },
                { FOOTER_AT, 17, "firmware table has the length 17" },
                { FOOTER_AT, 0xffff, "firmware table has the length 65535" },
                { FOOTER_AT, 18 + 22 + 5, "5 stray bytes" },
                { FOOTER_AT - 18, 17, "has the length 17, between 18" },
                { FOOTER_AT - 18, 0, "has the length 0, between 18" },
                { FOOTER_AT - 18, 0xffff, "has the length 65535" },
                { FOOTER_AT - 18, 23, "SEV_ES_RESET_BLOCK has 5 bytes, 4 expected" },
                { METADATA_AT, 0, "lack the signature ASEV" },
                { METADATA_AT + 4, 101, "have the length 101, 100 expected" },
                { METADATA_AT + 8, 2, "have the version 2" },
                { METADATA_AT + 12, 65, "have 65 sections" },
                { METADATA_AT + 12, 8, "have the length 100, 112 expected" },
                { METADATA_AT + 24, 5, "unknown type 0x5" },
                { METADATA_AT + 24, 0x101, "unknown type 0x101" },
                { METADATA_AT + 16, 1, "does not consist of whole 4 KiB pages" },
                { METADATA_AT + 20, 0x9001, "does not consist of whole 4 KiB pages" },
                { METADATA_AT + 20, 0, "does not consist of whole 4 KiB pages" },
                { METADATA_AT + 20, 0xb000, "overlaps an earlier one" },
                { METADATA_AT + 22, 0x2000, "is out of range" },
                { METADATA_AT + 78, 0xffff, "is out of range" },
                { METADATA_AT + 24, OVMF_SECTION_CPUID, "exactly one page of type SNP_CPUID" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint8_t image[IMAGE_SIZE];

                image_build(&image_amdsev, image);
                le16_write(image + cases[i].at, cases[i].value);
                assert_refused(image, sizeof(image), cases[i].part);
        }
}

static void doubled_entries_are_refused(_unused_ void **state) {
        static const Guid reset = GUID_SEV_ES_RESET_BLOCK;
        uint8_t image[IMAGE_SIZE];

        image_build(&image_amdsev, image);
        /* The TDX entry, of the same size, becomes a second reset block. */
        memcpy(image + FOOTER_AT - 22 - 26 - 26 - 22 - 16, reset.bytes, 16);
        assert_refused(image, sizeof(image), "duplicate");
}

static void other_files_are_told_apart(_unused_ void **state) {
        static const Guid nv_data = GUID_SYSTEM_NV_DATA_FV;
        uint8_t image[IMAGE_SIZE] = {};

        assert_refused(image, 0, "empty");
        assert_refused(image, 3, "not an OVMF image");
        assert_refused(image, sizeof(image), "not an OVMF image");
        memcpy(image + 16, nv_data.bytes, 16);
        assert_refused(image, sizeof(image), "the image is truncated");
        le64_write(image + 32, sizeof(image));
        assert_refused(image, sizeof(image), "variable store (VARS)");
        assert_false(ovmf_has_table(image, sizeof(image)));
        memcpy(image, "\x1f\x8b", 2);
        memset(image + 16, 0, 16);
        assert_refused(image, sizeof(image), "this is a gzip file, not a raw firmware image: unpack it");
        memcpy(image, "QFI\xfb", 4);
        assert_refused(image, sizeof(image), "qemu-img convert");
}

static void a_newline_behind_is_named(_unused_ void **state) {
        uint8_t image[IMAGE_SIZE + 1];

        image_build(&image_amdsev, image);
        image[IMAGE_SIZE] = '\n';
        assert_refused(image, sizeof(image), "newline follows the firmware image");
        image[IMAGE_SIZE] = 0;
        assert_refused(image, sizeof(image), "not an OVMF image");
}

static void what_is_missing_is_named(_unused_ void **state) {
        static const struct {
                ImageSpec spec;
                unsigned needs;
                const char *part;
        } cases[] = {
                { { .no_metadata = true, .hash_base = 0x810c00, .hash_size = 0x400 }, OVMF_NEED_METADATA,
                                "not built for SEV-SNP" },
                { { .no_reset = true, .hash_base = 0x810c00, .hash_size = 0x400 }, OVMF_NEED_RESET,
                                "not built for SEV-ES" },
                { { .no_hash_table = true }, OVMF_NEED_HASH_TABLE, "plain OVMF build" },
                { { .hash_base = 0, .hash_size = 0 }, OVMF_NEED_HASH_TABLE, "plain OVMF build" },
                { { .hash_base = 0x810c00, .hash_size = 175 }, OVMF_NEED_HASH_TABLE, "has 175 bytes" },
                { { .hash_base = 0x810c00, .hash_size = 176 }, OVMF_NEED_HASH_PAGE, "SNP_KERNEL_HASHES" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint8_t image[IMAGE_SIZE];
                char *error = NULL;
                OvmfInfo info;

                image_build(&cases[i].spec, image);
                assert_ok(parse(image, sizeof(image), &info, &error));
                assert_error(ovmf_require(&info, cases[i].needs, &error), EOPNOTSUPP);
                assert_non_null(strstr(error, cases[i].part));
                free(error);
        }
}

/* Cut at either end: every answer is a refusal or a valid reading, never a step outside. */
static void every_truncation_is_survived(_unused_ void **state) {
        uint8_t image[IMAGE_SIZE];
        OvmfInfo info;

        image_build(&image_amdsev, image);
        for (size_t n = 0; n < sizeof(image); n++) {
                char *error = NULL;

                assert_true(parse(image, n, &info, &error) < 0);
                assert_non_null(error);
                free(error);
        }
        for (size_t n = 0; n < sizeof(image); n++) {
                char *error = NULL;
                int r = parse(image + sizeof(image) - n, n, &info, &error);

                assert_int_equal(r < 0, error != NULL);
                assert_int_equal(r >= 0, n >= 2048);
                free(error);
        }
}

/* Each byte of table and metadata takes the values around the edges. */
static void every_byte_may_be_wrong(_unused_ void **state) {
        static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff };
        uint8_t image[IMAGE_SIZE];

        image_build(&image_amdsev, image);
        for (size_t at = METADATA_AT; at < sizeof(image); at++)
                for (size_t v = 0; v < ELEMENTSOF(values); v++) {
                        uint8_t saved = image[at];
                        char *error = NULL;
                        OvmfInfo info;
                        int r;

                        image[at] = values[v];
                        r = parse(image, sizeof(image), &info, &error);
                        assert_int_equal(r < 0, error != NULL);
                        free(error);
                        image[at] = saved;
                        if (at == METADATA_AT + 100)
                                at = sizeof(image) - 256;
                }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_real_layout_is_read),
                cmocka_unit_test(bad_tables_are_named),
                cmocka_unit_test(doubled_entries_are_refused),
                cmocka_unit_test(other_files_are_told_apart),
                cmocka_unit_test(a_newline_behind_is_named),
                cmocka_unit_test(what_is_missing_is_named),
                cmocka_unit_test(every_truncation_is_survived),
                cmocka_unit_test(every_byte_may_be_wrong),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
