/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Statements of the PostgreSQL store: prepared once for each connection, with binary parameters and results, each with a deadline. */

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "attestd-postgresql.h"
#include "bytes.h"
#include "strutil.h"

#define NAME_SIZE 24u /* of a prepared statement */
#define TRIES     4u

void pg_rows_done(PgRows *q) {
        if (q->result)
                pq.PQclear(q->result);
        *q = (PgRows) {};
}

int pg_exec(PgStore *s, const char *sql) {
        PGresult *result = NULL;
        int r;

        if (!s->connection)
                return -ECONNRESET;
        if (!pq.PQsendQuery(s->connection, sql))
                return pg_send_failed(s);
        r = pg_collect(s, &result);
        if (result)
                pq.PQclear(result);
        return r;
}

static int parse(PgStore *s, const char *name, const char *sql, const char *types) {
        unsigned oids[STORE_COLUMNS_MAX];
        PGresult *result = NULL;
        int n = 0, r;

        for (const char *t = types; *t; t++)
                oids[n++] = *t == 's' ? PQ_TEXT : *t == 'i' ? PQ_INT8 : PQ_BYTEA;
        if (!pq.PQsendPrepare(s->connection, name, sql, n, oids))
                return pg_send_failed(s);
        r = pg_collect(s, &result);
        if (result)
                pq.PQclear(result);
        return r;
}

static int prepare(PgStore *s, const char *sql, const char *types, char name[static NAME_SIZE]) {
        int r;

        for (size_t i = 0; i < s->n_prepared; i++)
                if (streq(s->prepared[i], sql)) {
                        (void) snprintf(name, NAME_SIZE, "s%zu", i);
                        return 0;
                }
        assert(s->n_prepared < PG_STATEMENTS_MAX);
        (void) snprintf(name, NAME_SIZE, "s%zu", s->n_prepared);
        r = parse(s, name, sql, types);
        if (r >= 0)
                s->prepared[s->n_prepared++] = sql;
        return r;
}

static int send_values(
                PgStore *s, PGresult **ret, const char *name, const char *types, const StoreValue *in) {
        const char *values[STORE_COLUMNS_MAX] = {};
        int lengths[STORE_COLUMNS_MAX] = {}, formats[STORE_COLUMNS_MAX] = {}, n = 0;
        uint64_t numbers[STORE_COLUMNS_MAX];

        for (; types[n]; n++) {
                formats[n] = types[n] != 's';
                if (in[n].is_null)
                        continue;
                numbers[n] = htobe64((uint64_t) in[n].number);
                values[n] = types[n] == 'i' ? (const char *) (numbers + n) : in[n].data;
                lengths[n] = types[n] == 'i' ? (int) sizeof(numbers[n]) : (int) in[n].size;
        }
        if (!pq.PQsendQueryPrepared(s->connection, name, n, values, lengths, formats, 1))
                return pg_send_failed(s);
        return pg_collect(s, ret);
}

static int run_once(PgStore *s, PGresult **ret, const char *sql, const char *types, va_list ap) {
        StoreValue values[STORE_COLUMNS_MAX];
        char name[NAME_SIZE];
        int r;

        if (!s->connection)
                return -ECONNRESET;
        assert(strlen(types) <= STORE_COLUMNS_MAX);
        r = prepare(s, sql, types, name);
        if (r < 0)
                return r;
        for (size_t i = 0; types[i]; i++) {
                values[i] = (StoreValue) {};
                if (types[i] == 'i') {
                        values[i].number = va_arg(ap, int64_t);
                        continue;
                }
                values[i].data = va_arg(ap, const void *);
                values[i].size = types[i] == 'b' ? va_arg(ap, size_t) : 0;
                values[i].is_null = !values[i].data;
        }
        return send_values(s, ret, name, types, values);
}

/* Outside a transaction a statement is one by itself. It only reads there, so it can be sent again. */
static int run(PgStore *s, PGresult **ret, const char *sql, const char *types, va_list ap) {
        int r = -EAGAIN;

        if (s->in_transaction)
                return run_once(s, ret, sql, types, ap);
        for (unsigned i = 0; i < TRIES; i++) {
                va_list again;

                r = s->connect(s);
                if (r >= 0) {
                        va_copy(again, ap);
                        r = run_once(s, ret, sql, types, again);
                        va_end(again);
                }
                if (r != -ECONNRESET && r != -ERESTART)
                        return r;
        }
        return -EAGAIN;
}

int pg_query(Store *s, PgRows *ret, const char *sql, const char *types, ...) {
        PGresult *result = NULL;
        va_list ap;
        int r;

        va_start(ap, types);
        r = run(pg(s), &result, sql, types, ap);
        va_end(ap);
        if (r < 0)
                return r;
        *ret = (PgRows) { result, -1, result ? pq.PQntuples(result) : 0 };
        return 0;
}

int pg_query_values(Store *s, PgRows *ret, const char *sql, const char *types, const StoreValue *values) {
        PGresult *result = NULL;
        int r = pg(s)->connect(pg(s));

        if (r >= 0)
                r = parse(pg(s), "", sql, types);
        if (r >= 0)
                r = send_values(pg(s), &result, "", types, values);
        if (r < 0)
                return r;
        *ret = (PgRows) { result, -1, result ? pq.PQntuples(result) : 0 };
        return 0;
}

int pg_do(Store *s, uint64_t *ret_changes, const char *sql, const char *types, ...) {
        PGresult *result = NULL;
        uint64_t changes = 0;
        va_list ap;
        int r;

        va_start(ap, types);
        r = run(pg(s), &result, sql, types, ap);
        va_end(ap);
        if (r >= 0 && ret_changes && result && parse_u64(pq.PQcmdTuples(result), &changes) < 0)
                changes = 0;
        if (result)
                pq.PQclear(result);
        if (r >= 0 && ret_changes)
                *ret_changes = changes;
        return r;
}

int pg_row(PgRows *q) {
        return ++q->row < q->n;
}

const uint8_t *pg_raw(const PgRows *q, int column, size_t *ret_size) {
        *ret_size = 0;
        if (pq.PQgetisnull(q->result, q->row, column))
                return NULL;
        *ret_size = (size_t) pq.PQgetlength(q->result, q->row, column);
        return (const uint8_t *) pq.PQgetvalue(q->result, q->row, column);
}

int64_t pg_int64(const PgRows *q, int column) {
        size_t size;
        const uint8_t *p = pg_raw(q, column, &size);

        return p && size == 8 ? (int64_t) be64_read(p) : 0;
}

int pg_text(const PgRows *q, int column, char **ret) {
        size_t size;
        const uint8_t *p = pg_raw(q, column, &size);
        char *copy = strndup(p ? (const char *) p : "", size);

        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}

int pg_bytes(const PgRows *q, int column, uint8_t **ret, size_t *ret_size) {
        size_t size;
        const uint8_t *p = pg_raw(q, column, &size);
        uint8_t *copy = NULL;

        if (p && size > 0) {
                copy = malloc(size);
                if (!copy)
                        return -ENOMEM;
                memcpy(copy, p, size);
        }
        *ret = copy;
        *ret_size = size;
        return 0;
}

static int attempt(Store *s, PgBody body, void *args) {
        PgStore *p = pg(s);
        int r = p->connect(p), k;

        if (r >= 0)
                r = pg_exec(p, "BEGIN");
        if (r < 0)
                return r;
        p->in_transaction = true;
        r = body(s, args);
        if (r >= 0) {
                k = pg_exec(p, "COMMIT");
                /* The server may have done it before it went away. */
                r = k == -ECONNRESET ? -EINPROGRESS : k < 0 ? k : r;
        } else if (p->connection) {
                k = pg_exec(p, "ROLLBACK");
                if (k < 0)
                        pg_disconnect(p);
        }
        p->in_transaction = false;
        return r;
}

int pg_transaction(Store *s, PgBody body, void *args) {
        int r = -EAGAIN;

        if (pg(s)->owned)
                return body(s, args);
        for (unsigned i = 0; i < TRIES; i++) {
                r = attempt(s, body, args);
                if (r != -ECONNRESET && r != -ERESTART)
                        break;
        }
        return r == -ECONNRESET || r == -ERESTART ? -EAGAIN : r;
}

int pg_lock_vm(Store *s, const char *vm) {
        _cleanup_pg_ PgRows q = {};
        int r = pg_query(s, &q, "SELECT owner FROM vm WHERE id = $1 FOR UPDATE", "s", vm);

        return r < 0 ? r : pg_row(&q) ? 0 : -ENOENT;
}

int pg_count(Store *s, const char *sql, const char *vm, int64_t value, uint64_t *ret) {
        _cleanup_pg_ PgRows q = {};
        int r = pg_query(s, &q, sql, "si", vm, value);

        if (r < 0)
                return r;
        if (!pg_row(&q))
                return -EIO;
        *ret = (uint64_t) pg_int64(&q, 0);
        return 0;
}
