/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Initrds built in memory for the tests: newc members, padding, and compressed parts as libarchive writes them. Include
 * after test.h; the test links libarchive itself. */

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <unistd.h>

#include "bytes.h"
#include "fd.h"
#include "macro.h"

typedef struct Image {
        uint8_t *data; /* owned */
        size_t size, allocated;
} Image;

static inline void image_done(Image *i) {
        free(i->data);
        *i = (Image) {};
}
#define _cleanup_image_ _cleanup_(image_done)

static inline void image_put(Image *i, const void *p, size_t n) {
        if (i->size + n > i->allocated) {
                i->allocated = (i->size + n) * 2;
                i->data = realloc(i->data, i->allocated);
                assert_non_null(i->data);
        }
        if (n > 0)
                memcpy(i->data + i->size, p, n);
        i->size += n;
}

static inline void image_zero(Image *i, size_t n) {
        static const uint8_t zeros[4096];

        for (; n > sizeof(zeros); n -= sizeof(zeros))
                image_put(i, zeros, sizeof(zeros));
        image_put(i, zeros, n);
}

static inline void image_pad(Image *i, size_t to) {
        image_zero(i, (to - i->size % to) % to);
}

typedef struct ImageHead {
        const char *magic; /* NULL: 070701 */
        uint32_t mode, size, name_size;
} ImageHead;

static inline void image_head(Image *i, ImageHead h) {
        char text[111];
        int n;

        n = snprintf(text, sizeof(text), "%s%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
                        h.magic ?: "070701", 1u, h.mode, 0u, 0u, 1u, 0u, h.size, 0u, 0u, 0u, 0u, h.name_size,
                        0u);
        assert_int_equal(n, 110);
        image_put(i, text, 110);
}

/* The image must be a multiple of 4 so far. */
static inline void image_member(Image *i, const char *path, uint32_t mode, const void *data, uint32_t size) {
        image_head(i, (ImageHead) { .mode = mode, .size = size, .name_size = (uint32_t) strlen(path) + 1 });
        image_put(i, path, strlen(path) + 1);
        image_pad(i, 4);
        image_put(i, data, size);
        image_pad(i, 4);
}

static inline void image_trailer(Image *i) {
        image_member(i, "TRAILER!!!", 0, NULL, 0);
}

static inline la_ssize_t image_take(
                _unused_ struct archive *archive, void *userdata, const void *data, size_t n) {
        image_put(userdata, data, n);
        return (la_ssize_t) n;
}

/* Appends p, compressed by the filter (ARCHIVE_FILTER_GZIP, ...); false if this libarchive cannot. */
static inline bool image_put_compressed(Image *i, int filter, const void *p, size_t n) {
        struct archive *a = archive_write_new();
        struct archive_entry *e = archive_entry_new();
        bool ok;

        assert_non_null(a);
        assert_non_null(e);
        ok = archive_write_add_filter(a, filter) == ARCHIVE_OK;
        if (ok) {
                assert_int_equal(archive_write_set_format_raw(a), ARCHIVE_OK);
                assert_int_equal(archive_write_set_bytes_in_last_block(a, 1), ARCHIVE_OK);
                assert_int_equal(archive_write_open(a, i, NULL, image_take, NULL), ARCHIVE_OK);
                archive_entry_set_pathname(e, "data");
                archive_entry_set_filetype(e, AE_IFREG);
                assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
                assert_int_equal(archive_write_data(a, p, n), n);
                assert_int_equal(archive_write_close(a), ARCHIVE_OK);
        }
        archive_entry_free(e);
        (void) archive_write_free(a);
        return ok;
}

/* With the one checksum that the kernel reads; libarchive cannot be told to use it. */
static inline void image_put_xz(Image *i, const void *p, size_t n) {
        _cleanup_close_ int fd = memfd_new("content");
        char command[128], buf[4096];
        FILE *f;
        size_t k;

        assert_true(fd >= 0);
        assert_return_code(fd_write_all(fd, p, n), 0);
        (void) snprintf(command, sizeof(command), "xz --check=crc32 -c </proc/%d/fd/%d", (int) getpid(), fd);
        f = popen(command, "re");
        assert_non_null(f);
        while ((k = fread(buf, 1, sizeof(buf), f)) > 0)
                image_put(i, buf, k);
        if (pclose(f) != 0)
                fail_msg("this test needs the program xz (Debian package xz-utils)");
}

/* lz4's legacy format, which libarchive does not write: one block of nothing but literals. */
static inline void image_put_lz4_legacy(Image *i, const void *p, size_t n) {
        static const uint8_t magic[] = { 0x02, 0x21, 0x4c, 0x18 }, token = 0xf0;
        size_t rest = n - 15;
        uint8_t size[4];

        assert_true(n >= 15);
        image_put(i, magic, sizeof(magic));
        le32_write(size, (uint32_t) (1 + rest / 255 + 1 + n));
        image_put(i, size, sizeof(size));
        image_put(i, &token, 1);
        for (; rest >= 255; rest -= 255)
                image_put(i, "\xff", 1);
        image_put(i, &(uint8_t) { (uint8_t) rest }, 1);
        image_put(i, p, n);
}

/* An owned memfd with the bytes. */
static inline int image_to_fd(const Image *i) {
        int fd = memfd_new("image");

        assert_true(fd >= 0);
        assert_return_code(fd_write_all(fd, i->data, i->size), 0);
        return fd;
}
