/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Uploaded firmware: megabytes that go in and out piece by piece, so that they are never whole in this process's memory twice. */

#include <errno.h>
#include <string.h>

#include "attestd-sqlite.h"
#include "fd.h"

#define PIECE (64u * 1024)

typedef struct sqlite3_blob Blob;

static inline void blob_freep(Blob **b) {
        (void) sqlite3_blob_close(*b);
}

static int count(Store *s, int64_t owner, uint64_t *ret) {
        _cleanup_query_ Query *q = NULL;
        int r = sqlite_query(s, &q, "SELECT count(*) FROM firmware WHERE owner = ?1", "i", owner);

        if (r >= 0)
                r = sqlite_row(q);
        if (r <= 0)
                return r < 0 ? r : -EIO;
        *ret = (uint64_t) sqlite3_column_int64(q, 0);
        return 0;
}

static int copy_in(Store *s, int fd, uint64_t size) {
        sqlite3 *db = ((SqliteStore *) s)->db;
        _cleanup_(blob_freep) Blob *b = NULL;
        _cleanup_free_ uint8_t *piece = malloc(PIECE);
        int r;

        if (!piece)
                return -ENOMEM;
        r = sqlite_error(sqlite3_blob_open(
                        db, "main", "firmware", "data", sqlite3_last_insert_rowid(db), 1, &b));
        for (uint64_t at = 0; r >= 0 && at < size; at += PIECE) {
                size_t n = (size_t) MIN(size - at, (uint64_t) PIECE);

                r = fd_pread_exact(fd, piece, n, at);
                if (r >= 0)
                        r = sqlite_error(sqlite3_blob_write(b, piece, (int) n, (int) at));
        }
        return r;
}

static int add(Store *s, const StoreFirmware *f, int fd, uint64_t max) {
        uint64_t n;
        int r = count(s, f->owner, &n);

        if (r < 0)
                return r;
        if (n >= max)
                return -EDQUOT;
        r = sqlite_do(s, NULL,
                        "INSERT INTO firmware (owner, sha256, created, data) VALUES (?1, ?2, ?3, "
                        "zeroblob(?4))",
                        "ibii", f->owner, f->sha256, sizeof(f->sha256), f->created, (int64_t) f->size);
        return r < 0 ? r : copy_in(s, fd, f->size);
}

int sqlite_firmware_add(Store *s, const StoreFirmware *f, int fd, uint64_t max) {
        int64_t there;
        int r = sqlite_firmware_find(s, f->owner, f->sha256, &there);

        if (r != -ENOENT)
                return r < 0 ? r : -EEXIST;
        r = sqlite_begin(s);
        return r < 0 ? r : sqlite_end(s, add(s, f, fd, max));
}

int sqlite_firmware_find(
                Store *s, int64_t owner, const uint8_t sha256[static STORE_SHA256_SIZE], int64_t *ret_row) {
        _cleanup_query_ Query *q = NULL;
        int r = sqlite_query(s, &q, "SELECT number FROM firmware WHERE owner = ?1 AND sha256 = ?2", "ib",
                        owner, sha256, (size_t) STORE_SHA256_SIZE);

        if (r >= 0)
                r = sqlite_row(q);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        *ret_row = sqlite3_column_int64(q, 0);
        return 0;
}

int sqlite_firmware_get(Store *s, int64_t owner, const uint8_t sha256[static STORE_SHA256_SIZE], int *ret_fd,
                uint64_t *ret_size) {
        _cleanup_free_ uint8_t *piece = malloc(PIECE);
        _cleanup_(blob_freep) Blob *b = NULL;
        _cleanup_close_ int fd = -EBADF;
        uint64_t size = 0;
        int64_t row;
        int r;

        if (!piece)
                return -ENOMEM;
        r = sqlite_firmware_find(s, owner, sha256, &row);
        if (r >= 0)
                r = sqlite_error(sqlite3_blob_open(
                                ((SqliteStore *) s)->db, "main", "firmware", "data", row, 0, &b));
        if (r < 0)
                return r;
        fd = memfd_new("firmware");
        if (fd < 0)
                return fd;
        size = (uint64_t) sqlite3_blob_bytes(b);
        for (uint64_t at = 0; r >= 0 && at < size; at += PIECE) {
                size_t n = (size_t) MIN(size - at, (uint64_t) PIECE);

                r = sqlite_error(sqlite3_blob_read(b, piece, (int) n, (int) at));
                if (r >= 0)
                        r = fd_write_all(fd, piece, n);
        }
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        *ret_size = size;
        return 0;
}

int sqlite_firmware_list(Store *s, int64_t owner, StoreFirmwareFunction f, void *userdata) {
        _cleanup_query_ Query *q = NULL;
        int r = sqlite_query(s, &q,
                        "SELECT sha256, created, length(data) FROM firmware WHERE owner = ?1 ORDER BY "
                        "sha256",
                        "i", owner);

        while (r >= 0 && (r = sqlite_row(q)) > 0) {
                StoreFirmware w = { .owner = owner,
                        .created = sqlite3_column_int64(q, 1),
                        .size = (uint64_t) sqlite3_column_int64(q, 2) };
                const void *p = sqlite3_column_blob(q, 0);

                if (!p || sqlite3_column_bytes(q, 0) != (int) sizeof(w.sha256))
                        return -EBADMSG;
                memcpy(w.sha256, p, sizeof(w.sha256));
                r = f(userdata, &w);
        }
        return r;
}

int sqlite_firmware_delete(Store *s, int64_t owner, const uint8_t sha256[static STORE_SHA256_SIZE]) {
        uint64_t changes = 0;
        int r = sqlite_do(s, &changes, "DELETE FROM firmware WHERE owner = ?1 AND sha256 = ?2", "ib", owner,
                        sha256, (size_t) STORE_SHA256_SIZE);

        return r < 0 ? r : changes == 0 ? -ENOENT : 0;
}
