/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "attestd-sqlite.h"
#include "strutil.h"

int sqlite_error(int code) {
        switch (code & 0xff) {
        case SQLITE_OK:
        case SQLITE_DONE:
        case SQLITE_ROW:
                return 0;
        case SQLITE_CONSTRAINT:
                return -EEXIST;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EAGAIN;
        case SQLITE_NOMEM:
                return -ENOMEM;
        default:
                return -EIO;
        }
}

/* One that was prepared before and is not in use; there are as many as the program has statements. */
static Query *find_prepared(sqlite3 *db, const char *sql) {
        for (Query *q = sqlite3_next_stmt(db, NULL); q; q = sqlite3_next_stmt(db, q))
                if (!sqlite3_stmt_busy(q) && streq_ptr(sqlite3_sql(q), sql))
                        return q;
        return NULL;
}

static int prepare(Store *s, Query **ret, const char *sql, const char *types, va_list ap) {
        SqliteStore *store = (SqliteStore *) s;
        _cleanup_query_ Query *q = find_prepared(store->db, sql);
        int code = SQLITE_OK;

        if (!q)
                code = sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &q, NULL);

        for (int i = 1; code == SQLITE_OK && *types; types++, i++)
                switch (*types) {
                case 's':
                        code = sqlite3_bind_text(q, i, va_arg(ap, const char *), -1, SQLITE_STATIC);
                        break;
                case 'i':
                        code = sqlite3_bind_int64(q, i, va_arg(ap, int64_t));
                        break;
                case 'b': {
                        const void *p = va_arg(ap, const void *);
                        size_t n = va_arg(ap, size_t);

                        code = p ? sqlite3_bind_blob64(q, i, p, n, SQLITE_STATIC) : sqlite3_bind_null(q, i);
                        break;
                }
                default:
                        assert(false);
                }
        if (code != SQLITE_OK)
                return sqlite_error(code);
        *ret = TAKE_PTR(q);
        return 0;
}

int sqlite_query(Store *s, Query **ret, const char *sql, const char *types, ...) {
        va_list ap;
        int r;

        va_start(ap, types);
        r = prepare(s, ret, sql, types, ap);
        va_end(ap);
        return r;
}

int sqlite_row(Query *q) {
        int code = sqlite3_step(q);

        return code == SQLITE_ROW ? 1 : sqlite_error(code);
}

int sqlite_do(Store *s, uint64_t *ret_changes, const char *sql, const char *types, ...) {
        _cleanup_query_ Query *q = NULL;
        va_list ap;
        int r;

        va_start(ap, types);
        r = prepare(s, &q, sql, types, ap);
        va_end(ap);
        if (r >= 0)
                r = sqlite_row(q);
        if (r >= 0 && ret_changes)
                *ret_changes = (uint64_t) sqlite3_changes(((SqliteStore *) s)->db);
        return r;
}

int sqlite_text(Query *q, int column, char **ret) {
        const unsigned char *text = sqlite3_column_text(q, column);
        char *copy = text ? strdup((const char *) text) : NULL;

        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}

int sqlite_bytes(Query *q, int column, uint8_t **ret, size_t *ret_size) {
        const void *p = sqlite3_column_blob(q, column);
        int n = sqlite3_column_bytes(q, column);
        uint8_t *copy = NULL;

        if (p && n > 0) {
                copy = malloc((size_t) n);
                if (!copy)
                        return -ENOMEM;
                memcpy(copy, p, (size_t) n);
        }
        *ret = copy;
        *ret_size = copy ? (size_t) n : 0;
        return 0;
}

void sqlite_durable(Store *s, bool durable) {
        (void) sqlite3_exec(((SqliteStore *) s)->db,
                        durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", NULL, NULL,
                        NULL);
}

int sqlite_begin(Store *s) {
        int r;

        if (((SqliteStore *) s)->owned)
                return 0;
        r = sqlite_do(s, NULL, "BEGIN IMMEDIATE", "");
        if (r < 0)
                return r;
        r = store_check_key(s);
        return r < 0 ? sqlite_end(s, r) : 0;
}

int sqlite_end(Store *s, int r) {
        int k = -EIO;

        if (((SqliteStore *) s)->owned)
                return r;
        if (r >= 0)
                k = sqlite_do(s, NULL, "COMMIT", "");
        if (k < 0) {
                /* A failed COMMIT (full disk) can leave the transaction open. */
                int u = sqlite_do(s, NULL, "ROLLBACK", "");

                (void) u;
                return r < 0 ? r : k;
        }
        return r;
}
