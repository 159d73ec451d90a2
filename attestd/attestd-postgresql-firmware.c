/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Uploaded firmware in PostgreSQL: one value of up to 16 MiB (FIRMWARE_BODY_MAX), read and written whole. */

#include <errno.h>
#include <string.h>

#include "attestd-postgresql.h"
#include "fd.h"

typedef struct Upload {
        const StoreFirmware *firmware;
        const uint8_t *data;
        uint64_t max;
} Upload;

/* Locks the owner: what one owner has is counted by one instance at a time. */
static int add(Store *s, void *args) {
        const Upload *u = args;
        const StoreFirmware *f = u->firmware;
        _cleanup_pg_ PgRows owner = {}, q = {};
        int r = pg_query(s, &owner, "SELECT id FROM owner WHERE id = $1 FOR UPDATE", "i", f->owner);

        if (r >= 0)
                r = pg_query(s, &q,
                                "SELECT count(*), count(*) FILTER (WHERE sha256 = $2) FROM firmware WHERE owner = $1",
                                "ib", f->owner, f->sha256, sizeof(f->sha256));
        if (r < 0)
                return r;
        if (!pg_row(&q))
                return -EIO;
        if (pg_int64(&q, 1) > 0)
                return -EEXIST;
        if ((uint64_t) pg_int64(&q, 0) >= u->max)
                return -EDQUOT;
        return pg_do(s, NULL, "INSERT INTO firmware (owner, sha256, created, data) VALUES ($1, $2, $3, $4)",
                        "ibib", f->owner, f->sha256, sizeof(f->sha256), f->created, u->data,
                        (size_t) f->size);
}

int pg_firmware_add(Store *s, const StoreFirmware *f, int fd, uint64_t max) {
        _cleanup_free_ uint8_t *data = malloc((size_t) f->size + 1);
        int r;

        if (!data)
                return -ENOMEM;
        r = fd_pread_exact(fd, data, (size_t) f->size, 0);
        return r < 0 ? r : pg_transaction(s, add, &(Upload) { f, data, max });
}

int pg_firmware_get(Store *s, int64_t owner, const uint8_t sha256[static STORE_SHA256_SIZE], int *ret_fd,
                uint64_t *ret_size) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_pg_ PgRows q = {};
        const uint8_t *p;
        size_t size;
        int r = pg_query(s, &q, "SELECT data FROM firmware WHERE owner = $1 AND sha256 = $2", "ib", owner,
                        sha256, (size_t) STORE_SHA256_SIZE);

        if (r < 0)
                return r;
        if (!pg_row(&q))
                return -ENOENT;
        p = pg_raw(&q, 0, &size);
        fd = memfd_new("firmware");
        r = fd < 0 ? fd : fd_write_all(fd, p, size);
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        *ret_size = size;
        return 0;
}

int pg_firmware_list(Store *s, int64_t owner, StoreFirmwareFunction f, void *userdata) {
        _cleanup_pg_ PgRows q = {};
        int r = pg_query(s, &q,
                        "SELECT sha256, created, length(data)::int8 FROM firmware WHERE owner = $1 ORDER BY sha256",
                        "i", owner);

        while (r >= 0 && pg_row(&q)) {
                StoreFirmware w = {
                        .owner = owner, .created = pg_int64(&q, 1), .size = (uint64_t) pg_int64(&q, 2)
                };
                size_t size;
                const uint8_t *p = pg_raw(&q, 0, &size);

                if (!p || size != sizeof(w.sha256))
                        return -EBADMSG;
                memcpy(w.sha256, p, sizeof(w.sha256));
                r = f(userdata, &w);
        }
        return r;
}

typedef struct Removal {
        int64_t owner;
        const uint8_t *sha256;
} Removal;

static int delete (Store *s, void *args) {
        const Removal *v = args;
        uint64_t changes = 0;
        int r = pg_do(s, &changes, "DELETE FROM firmware WHERE owner = $1 AND sha256 = $2", "ib", v->owner,
                        v->sha256, (size_t) STORE_SHA256_SIZE);

        return r < 0 ? r : changes == 0 ? -ENOENT : 0;
}

int pg_firmware_delete(Store *s, int64_t owner, const uint8_t sha256[static STORE_SHA256_SIZE]) {
        return pg_transaction(s, delete, &(Removal) { owner, sha256 });
}
