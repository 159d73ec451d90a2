/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>

#include "test.h"

#include "bytes.h"
#include "lzma-unpack.h"

#define PLAIN_SIZE 10000u

/* Packs a pattern; the header then names the size, as edk2's compressor writes it (libarchive leaves it open). */
static size_t pack(uint8_t *plain, uint8_t *packed, size_t size) {
        struct archive *a = archive_write_new();
        struct archive_entry *e = archive_entry_new();
        size_t used = 0;

        for (size_t i = 0; i < PLAIN_SIZE; i++)
                plain[i] = (uint8_t) (i / 7 * i);
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_pathname(e, "data");
        assert_int_equal(archive_write_add_filter_lzma(a), ARCHIVE_OK);
        assert_int_equal(archive_write_set_format_raw(a), ARCHIVE_OK);
        assert_int_equal(archive_write_set_bytes_in_last_block(a, 1), ARCHIVE_OK);
        assert_int_equal(archive_write_open_memory(a, packed, size, &used), ARCHIVE_OK);
        assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
        assert_int_equal(archive_write_data(a, plain, PLAIN_SIZE), PLAIN_SIZE);
        assert_int_equal(archive_write_close(a), ARCHIVE_OK);
        archive_entry_free(e);
        archive_write_free(a);
        assert_true(used > 13);
        le64_write(packed + 5, PLAIN_SIZE);
        return used;
}

static void assert_refused(const uint8_t *data, size_t n, size_t max, int error) {
        _cleanup_free_ char *sentence = NULL;
        uint8_t *p = NULL;
        size_t size;

        assert_error(lzma_unpack(data, n, max, &p, &size, &sentence), error);
        assert_null(p);
        assert_non_null(sentence);
}

static void a_stream_is_unpacked(_unused_ void **state) {
        uint8_t plain[PLAIN_SIZE], packed[2 * PLAIN_SIZE];
        size_t n = pack(plain, packed, sizeof(packed)), size;
        _cleanup_free_ char *error = NULL;
        _cleanup_free_ uint8_t *p = NULL;

        if (lzma_unpack(packed, n, PLAIN_SIZE, &p, &size, &error) < 0)
                fail_msg("%s", error);
        assert_int_equal(size, PLAIN_SIZE);
        assert_memory_equal(p, plain, PLAIN_SIZE);
}

static void damage_and_limits_are_refused(_unused_ void **state) {
        uint8_t plain[PLAIN_SIZE], packed[2 * PLAIN_SIZE];
        size_t n = pack(plain, packed, sizeof(packed));

        assert_refused(packed, n, PLAIN_SIZE - 1, E2BIG);
        for (size_t i = 0; i < 13; i++)
                assert_refused(packed, i, PLAIN_SIZE, EBADMSG);
        for (size_t i = 13; i < n - 16; i += 61)
                assert_refused(packed, i, PLAIN_SIZE, EBADMSG);
        le64_write(packed + 5, UINT64_MAX);
        assert_refused(packed, n, PLAIN_SIZE, E2BIG);
        le64_write(packed + 5, 0);
        assert_refused(packed, n, PLAIN_SIZE, E2BIG);
        memset(packed, 0x5a, 5);
        le64_write(packed + 5, PLAIN_SIZE);
        assert_refused(packed, n, PLAIN_SIZE, EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_stream_is_unpacked),
                cmocka_unit_test(damage_and_limits_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
