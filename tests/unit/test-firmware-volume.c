/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Images are built here, by the layouts of the UEFI PI specification 1.7, volume 3. */

#include <errno.h>

#include "test.h"

#include "bytes.h"
#include "firmware-guids.h"
#include "firmware-volume.h"

#define INNER_SIZE 512u
#define IMAGE_SIZE 2048u
#define HEADER     72u

static const Guid grub = GUID_FILE_GRUB, ffs2 = GUID_FFS2, lzma = GUID_SECTION_LZMA;
static const Guid other = GUID_INIT(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);

static void volume_seal(uint8_t *p) {
        uint16_t sum = 0;

        le16_write(p + 50, 0);
        for (size_t i = 0; i < HEADER; i += 2)
                sum = (uint16_t) (sum + le16_read(p + i));
        le16_write(p + 50, (uint16_t) -sum);
}

static void volume_begin(uint8_t *p, size_t size) {
        memset(p, 0xff, size);
        memset(p, 0, HEADER);
        memcpy(p + 16, ffs2.bytes, 16);
        le64_write(p + 32, size);
        memcpy(p + 40, "_FVH", 4);
        le32_write(p + 44, 0x800);
        le16_write(p + 48, HEADER);
        p[55] = 2;
        volume_seal(p);
}

static void file_seal(uint8_t *p) {
        uint8_t sum = 0;

        p[16] = 0;
        for (size_t i = 0; i < 23; i++)
                if (i != 17)
                        sum = (uint8_t) (sum + p[i]);
        p[16] = (uint8_t) -sum;
}

/* The offset after the file and its padding. */
static size_t file_put(
                uint8_t *p, size_t at, const Guid *name, uint8_t type, const void *content, size_t n) {
        memcpy(p + at, name->bytes, 16);
        p[at + 17] = 0xaa;
        p[at + 18] = type;
        p[at + 19] = 0;
        le32_write(p + at + 20, (uint32_t) (24 + n) | 0xf8000000u);
        memcpy(p + at + 24, content, n);
        file_seal(p + at);
        return (at + 24 + n + 7) & ~(size_t) 7;
}

static size_t section_put(uint8_t *p, uint8_t type, const void *content, size_t n) {
        memmove(p + 4, content, n);
        le32_write(p, (uint32_t) (4 + n) | (uint32_t) type << 24);
        return 4 + n;
}

/* A program of the least that counts as PE. */
static size_t pe_put(uint8_t *p) {
        uint8_t pe[0x44] = { 'M', 'Z' };

        pe[0x3c] = 0x40;
        memcpy(pe + 0x40, "PE\0\0", 4);
        return section_put(p, 0x10, pe, sizeof(pe));
}

/* What "decompressing" does here: every byte is inverted. */
static int invert(const uint8_t *data, size_t n, uint8_t **ret, size_t *ret_size, void *userdata,
                char **reterr) {
        unsigned *calls = userdata;
        uint8_t *p = malloc(n ?: 1);

        assert_non_null(p);
        assert_null(*reterr);
        for (size_t i = 0; i < n; i++)
                p[i] = (uint8_t) ~data[i];
        (*calls)++;
        *ret = p;
        *ret_size = n;
        return 0;
}

/* An image whose file is in a compressed inner volume, as in edk2's builds. */
static size_t nested(uint8_t image[static IMAGE_SIZE], const Guid *name, const void *content, size_t n) {
        uint8_t inner[INNER_SIZE], packed[20 + 4 + INNER_SIZE], guided[4 + sizeof(packed)];
        size_t at = HEADER, size;

        volume_begin(inner, sizeof(inner));
        at = file_put(inner, at, &other, 0x07, "\x04\0\0\x19", 4);
        (void) file_put(inner, at, name, 0x09, content, n);
        memcpy(packed, lzma.bytes, 16);
        le16_write(packed + 16, 24);
        le16_write(packed + 18, 1);
        size = section_put(packed + 20, 0x17, inner, sizeof(inner));
        for (size_t i = 0; i < size; i++)
                packed[20 + i] = (uint8_t) ~packed[20 + i];
        size = section_put(guided, 0x02, packed, 20 + size);

        volume_begin(image, IMAGE_SIZE);
        return file_put(image, HEADER, &other, 0x0b, guided, size);
}

/* On a copy of exactly this size, so that a sanitizer sees a step too far. */
static int find(const uint8_t *image, size_t size, bool unpack, FirmwareFile *ret, char **reterr) {
        uint8_t *copy = malloc(size ?: 1);
        unsigned calls = 0;
        int r;

        assert_non_null(copy);
        if (size > 0)
                memcpy(copy, image, size);
        r = firmware_volume_find(copy, size, &grub, unpack ? invert : NULL, &calls, ret, reterr);
        free(copy);
        assert_true(calls <= FIRMWARE_VOLUME_UNPACK_MAX);
        return r;
}

static FirmwareFile found(const uint8_t *image, size_t size, bool unpack) {
        FirmwareFile file = _FIRMWARE_FILE_MAX;
        char *error = NULL;

        if (find(image, size, unpack, &file, &error) < 0)
                fail_msg("%s", error);
        assert_null(error);
        return file;
}

static void refused(const uint8_t *image, size_t size, const char *part) {
        FirmwareFile file = _FIRMWARE_FILE_MAX;
        char *error = NULL;

        assert_error(find(image, size, true, &file, &error), EBADMSG);
        assert_int_equal(file, _FIRMWARE_FILE_MAX);
        assert_non_null(error);
        if (!strstr(error, part))
                fail_msg("expected '%s' in '%s'", part, error);
        free(error);
}

static void a_program_is_found(_unused_ void **state) {
        uint8_t image[IMAGE_SIZE], program[128];
        size_t n = pe_put(program);

        (void) nested(image, &grub, program, n);
        assert_int_equal(found(image, sizeof(image), true), FIRMWARE_FILE_PE);
        assert_int_equal(found(image, sizeof(image), false), FIRMWARE_FILE_HIDDEN);

        volume_begin(image, sizeof(image));
        (void) file_put(image, HEADER, &grub, 0x09, program, n);
        assert_int_equal(found(image, sizeof(image), false), FIRMWARE_FILE_PE);
}

static void what_is_no_program_is_told(_unused_ void **state) {
        uint8_t image[IMAGE_SIZE], content[128], zeros[64] = {};
        size_t n = section_put(content, 0x10, "", 0);

        (void) nested(image, &grub, content, n); /* an empty PE32 section, as in Debian's image */
        assert_int_equal(found(image, sizeof(image), true), FIRMWARE_FILE_EMPTY);
        (void) nested(image, &grub, content, 0);
        assert_int_equal(found(image, sizeof(image), true), FIRMWARE_FILE_EMPTY);
        (void) nested(image, &grub, content, section_put(content, 0x10, zeros, sizeof(zeros)));
        assert_int_equal(found(image, sizeof(image), true), FIRMWARE_FILE_EMPTY);
        (void) nested(image, &grub, content,
                        section_put(content, 0x10,
                                        "\x7f"
                                        "ELF",
                                        4));
        assert_int_equal(found(image, sizeof(image), true), FIRMWARE_FILE_OTHER);
        n = pe_put(content);
        content[4 + 0x40] = 'N';
        (void) nested(image, &grub, content, n);
        assert_int_equal(found(image, sizeof(image), true), FIRMWARE_FILE_OTHER);
        (void) nested(image, &other, content, pe_put(content));
        assert_int_equal(found(image, sizeof(image), true), FIRMWARE_FILE_ABSENT);
}

static void two_files_are_refused(_unused_ void **state) {
        uint8_t image[IMAGE_SIZE], program[128];
        size_t n = pe_put(program), at = nested(image, &grub, program, n);

        (void) file_put(image, at, &grub, 0x09, program, n);
        refused(image, sizeof(image), "two files");
}

static void gaps_and_variables_are_passed(_unused_ void **state) {
        static const Guid nv_data = GUID_SYSTEM_NV_DATA_FV;
        uint8_t image[3 * 4096], program[128];

        memset(image, 0xff, sizeof(image));
        volume_begin(image, 4096);
        memcpy(image + 16, nv_data.bytes, 16);
        volume_seal(image);
        volume_begin(image + 2 * 4096, 4096);
        (void) file_put(image + 2 * 4096, HEADER, &grub, 0x09, program, pe_put(program));
        assert_int_equal(found(image, sizeof(image), true), FIRMWARE_FILE_PE);
        image[4096 + 17] = 0;
        refused(image, sizeof(image), "no firmware volume begins at 4096");
}

static void damage_is_named(_unused_ void **state) {
        static const struct {
                size_t at;
                uint8_t value;
                bool reseal_volume, reseal_file;
                const char *part;
        } cases[] = {
                { 40, 'X', true, false, "no firmware volume" },
                { 16, 0, true, false, "unknown file system" },
                { 0, 1, false, false, "wrong checksum or revision" },
                { 55, 1, true, false, "wrong checksum or revision" },
                { 34, 1, true, false, "bytes and a header" },
                { 48, 73, true, false, "bytes and a header" },
                { 52, 8, true, false, "extended header" },
                { HEADER + 0, 0x77, false, false, "wrong state or checksum" },
                { HEADER + 23, 0xe8, false, false, "wrong state or checksum" },
                { HEADER + 22, 0x7f, false, true, "a firmware file at 72 has" },
                { HEADER + 20, 0x1a, false, false, "wrong state or checksum" },
                { HEADER + 26, 0x7f, false, false, "a section of a firmware file has" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint8_t image[IMAGE_SIZE], program[128];

                (void) nested(image, &grub, program, pe_put(program));
                image[cases[i].at] = cases[i].value;
                if (cases[i].reseal_volume)
                        volume_seal(image);
                if (cases[i].reseal_file)
                        file_seal(image + HEADER);
                refused(image, sizeof(image), cases[i].part);
        }
}

/* Cut off anywhere, the image is refused: the volume says how long it is. Cut off with the volume's length adjusted, what is
 * left never counts as a program unless all of it is there. */
static void every_truncation_is_safe(_unused_ void **state) {
        uint8_t image[IMAGE_SIZE], program[128];
        size_t end = nested(image, &grub, program, pe_put(program));

        for (size_t n = 1; n < IMAGE_SIZE; n++)
                refused(image, n, n < 56 ? "no firmware volume" : "the firmware volume at 0");

        for (size_t n = HEADER; n < end; n++) {
                FirmwareFile file;
                char *error = NULL;

                le64_write(image + 32, n);
                volume_seal(image);
                if (find(image, n, true, &file, &error) >= 0) {
                        assert_true(n == HEADER || n >= end - 8);
                        assert_true(n == HEADER ? file == FIRMWARE_FILE_ABSENT : file == FIRMWARE_FILE_PE);
                } else
                        assert_non_null(error);
                free(error);
        }
}

/* Any single byte may be anything: an answer or a sentence, and no step outside. */
static void every_byte_may_be_wrong(_unused_ void **state) {
        static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
        uint8_t image[IMAGE_SIZE], program[128];
        size_t end = nested(image, &grub, program, pe_put(program));

        for (size_t at = 0; at < end; at++)
                for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                        uint8_t before = image[at];
                        FirmwareFile file = _FIRMWARE_FILE_MAX;
                        char *error = NULL;

                        image[at] = values[i];
                        if (at < HEADER)
                                volume_seal(image);
                        else if (at < HEADER + 24)
                                file_seal(image + HEADER);
                        if (find(image, sizeof(image), true, &file, &error) < 0)
                                assert_non_null(error);
                        else
                                assert_true(file < _FIRMWARE_FILE_MAX);
                        free(error);
                        image[at] = before;
                        volume_seal(image);
                        file_seal(image + HEADER);
                }
        assert_int_equal(found(image, sizeof(image), true), FIRMWARE_FILE_PE);
}

static void nesting_is_limited(_unused_ void **state) {
        uint8_t image[IMAGE_SIZE], content[1024];
        size_t n = pe_put(content);

        /* Sections that need no program to be read, in each other. */
        for (unsigned i = 0; i < 2 * FIRMWARE_VOLUME_DEPTH_MAX + 1; i++) {
                memmove(content + 20, content, n);
                memcpy(content, other.bytes, 16);
                le16_write(content + 16, 24);
                le16_write(content + 18, 0);
                n = section_put(content, 0x02, content, n + 20);
        }
        volume_begin(image, sizeof(image));
        (void) file_put(image, HEADER, &other, 0x0b, content, n);
        refused(image, sizeof(image), "nested more than");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_program_is_found),
                cmocka_unit_test(what_is_no_program_is_told),
                cmocka_unit_test(two_files_are_refused),
                cmocka_unit_test(gaps_and_variables_are_passed),
                cmocka_unit_test(damage_is_named),
                cmocka_unit_test(every_truncation_is_safe),
                cmocka_unit_test(every_byte_may_be_wrong),
                cmocka_unit_test(nesting_is_limited),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
