/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The store that a test runs on: SQLite's, or with ATTESTD_STORE=postgresql://... that one (test_attestd_fleet.py sets it), emptied before. */

#include "test.h"

#include "attestd-postgresql.h"
#include "attestd-sqlite.h"

static inline const char *postgresql_url(void) {
        return getenv("ATTESTD_STORE");
}

/* A new store, or with `again` the one of before. */
static inline void open_test_store(const char *db, bool again, Store **ret) {
        _cleanup_free_ char *error = NULL;
        int r = postgresql_url() ? store_postgresql_open(postgresql_url(), ret, &error)
                                 : store_sqlite_open(db, ret, &error);

        if (r < 0)
                fail_msg("%s", error);
        if (!postgresql_url() || again)
                return;
        assert_ok(pg_exec((PgStore *) *ret, "DROP SCHEMA cvmspawn_attestd CASCADE"));
        store_free(*ret);
        assert_ok(store_postgresql_open(postgresql_url(), ret, NULL));
}

/* The number that a statement without parameters gives, in the dialect of both. */
static inline uint64_t store_number(Store *s, const char *sql) {
        _cleanup_pg_ PgRows rows = {};
        _cleanup_query_ Query *q = NULL;

        if (postgresql_url()) {
                assert_ok(pg_query(s, &rows, sql, ""));
                assert_true(pg_row(&rows));
                return (uint64_t) pg_int64(&rows, 0);
        }
        assert_ok(sqlite_query(s, &q, sql, ""));
        assert_true(sqlite_row(q) > 0);
        return (uint64_t) sqlite3_column_int64(q, 0);
}
