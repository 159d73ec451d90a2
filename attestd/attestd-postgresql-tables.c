/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The store in PostgreSQL as a whole: its settings, everything that is encrypted, its rows. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attestd-postgresql.h"

/* Others may read meanwhile, and wait with their changes. What is read in between sees them after the lock. */
int pg_own(Store *s) {
        PgStore *p = pg(s);
        int r = pg_connect(p);

        if (r >= 0)
                r = pg_exec(p, "BEGIN");
        if (r < 0)
                return r;
        p->in_transaction = p->owned = true;
        r = pg_exec(p,
                        "SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;"
                        "LOCK TABLE owner, vm, launch, event, firmware, setting IN EXCLUSIVE MODE");
        return r < 0 ? pg_own_end(s, r) : 0;
}

int pg_own_end(Store *s, int r) {
        PgStore *p = pg(s);
        int k = p->connection ? pg_exec(p, r >= 0 ? "COMMIT" : "ROLLBACK") : -ECONNRESET;

        p->in_transaction = p->owned = false;
        if (r >= 0 && k < 0)
                return k == -ECONNRESET ? -EINPROGRESS : k;
        return r;
}

int pg_setting_get(Store *s, const char *name, uint8_t **ret, size_t *ret_size) {
        _cleanup_pg_ PgRows q = {};
        int r = pg_query(s, &q, "SELECT value FROM setting WHERE name = $1", "s", name);

        if (r < 0)
                return r;
        *ret = NULL;
        *ret_size = 0;
        return pg_row(&q) ? pg_bytes(&q, 0, ret, ret_size) : 0;
}

typedef struct Setting {
        const char *name;
        const void *value;
        size_t size;
} Setting;

static int put(Store *s, void *args) {
        const Setting *t = args;

        return t->value ? pg_do(s, NULL,
                                          "INSERT INTO setting (name, value) VALUES ($1, $2) "
                                          "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                                          "sb", t->name, t->value, t->size)
                        : pg_do(s, NULL, "DELETE FROM setting WHERE name = $1", "s", t->name);
}

int pg_setting_put(Store *s, const char *name, const void *value, size_t size) {
        return pg_transaction(s, put, &(Setting) { name, value, size });
}

int pg_launch_sealed(Store *s, StoreLaunchFunction f, void *userdata) {
        _cleanup_pg_ PgRows q = {};
        int r = pg_query(
                        s, &q, "SELECT id, vm, keys FROM launch WHERE keys IS NOT NULL ORDER BY number", "");

        while (r == 0 && pg_row(&q)) {
                _cleanup_(store_launch_done) StoreLaunch l = {};
                size_t size;
                const uint8_t *id = pg_raw(&q, 0, &size);

                if (!id || size != sizeof(l.id))
                        return -EBADMSG;
                memcpy(l.id, id, sizeof(l.id));
                r = pg_text(&q, 1, &l.vm);
                if (r >= 0)
                        r = pg_bytes(&q, 2, &l.keys, &l.keys_size);
                if (r >= 0)
                        r = f(userdata, &l);
        }
        return r;
}

/* A sealed value, and what replaces it. */
typedef struct Reseal {
        const StoreVm *vm;
        const StoreLaunch *launch;
        const uint8_t *sealed;
        size_t size;
} Reseal;

static int reseal(Store *s, void *args) {
        const Reseal *v = args;

        return v->vm ? pg_do(s, NULL, "UPDATE vm SET sealed = $3 WHERE id = $1 AND sealed = $2", "sbb",
                                       v->vm->id, v->vm->sealed, v->vm->sealed_size, v->sealed, v->size)
                     : pg_do(s, NULL, "UPDATE launch SET keys = $3 WHERE id = $1 AND keys = $2", "bbb",
                                       v->launch->id, sizeof(v->launch->id), v->launch->keys,
                                       v->launch->keys_size, v->sealed, v->size);
}

int pg_vm_reseal(Store *s, const StoreVm *old, const uint8_t *sealed, size_t size) {
        return pg_transaction(s, reseal, &(Reseal) { .vm = old, .sealed = sealed, .size = size });
}

int pg_launch_reseal(Store *s, const StoreLaunch *old, const uint8_t *keys, size_t size) {
        return pg_transaction(s, reseal, &(Reseal) { .launch = old, .sealed = keys, .size = size });
}

int pg_rows(Store *s, StoreTable t, StoreRowFunction f, void *userdata) {
        const StoreTableInfo *info = store_table(t);
        _cleanup_pg_ PgRows q = {};
        char sql[256];
        int r;

        (void) snprintf(sql, sizeof(sql), "SELECT %s FROM %s ORDER BY 1", info->columns, info->name);
        r = pg_query_values(s, &q, sql, "", NULL);
        while (r == 0 && pg_row(&q)) {
                StoreValue values[STORE_COLUMNS_MAX];

                for (int i = 0; info->types[i]; i++) {
                        values[i] = (StoreValue) {};
                        values[i].data = pg_raw(&q, i, &values[i].size);
                        values[i].is_null = !values[i].data;
                        if (info->types[i] == 'i')
                                values[i].number = pg_int64(&q, i);
                }
                r = f(userdata, values);
        }
        return r;
}

/* Rows that are numbered from here on follow the last one. */
static int next_number(Store *s, const StoreTableInfo *info, int64_t last) {
        _cleanup_pg_ PgRows q = {};
        const StoreValue values[] = { { .number = last } };
        char sql[256];

        (void) snprintf(sql, sizeof(sql), "SELECT setval(pg_get_serial_sequence('%s', '%.*s'), $1)",
                        info->name, (int) strcspn(info->columns, ","), info->columns);
        return pg_query_values(s, &q, sql, "i", values);
}

int pg_row_add(Store *s, StoreTable t, const StoreValue *values) {
        const StoreTableInfo *info = store_table(t);
        char sql[512], marks[4 * STORE_COLUMNS_MAX + 1] = "$1";
        _cleanup_pg_ PgRows q = {};
        int r;

        for (size_t i = 1; info->types[i]; i++)
                (void) snprintf(marks + strlen(marks), sizeof(marks) - strlen(marks), ",$%zu", i + 1);
        (void) snprintf(sql, sizeof(sql), "INSERT INTO %s (%s) VALUES (%s)", info->name, info->columns,
                        marks);
        r = pg_query_values(s, &q, sql, info->types, values);
        return r >= 0 && info->types[0] == 'i' ? next_number(s, info, values[0].number) : r;
}

int pg_row_count(Store *s, StoreTable t, uint64_t *ret) {
        _cleanup_pg_ PgRows q = {};
        char sql[64];
        int r;

        (void) snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", store_table(t)->name);
        r = pg_query_values(s, &q, sql, "", NULL);
        if (r < 0)
                return r;
        if (!pg_row(&q))
                return -EIO;
        *ret = (uint64_t) pg_int64(&q, 0);
        return 0;
}

int pg_launch_count(Store *s, LaunchState state, uint64_t *ret) {
        _cleanup_pg_ PgRows q = {};
        int r = pg_query(s, &q, "SELECT count(*) FROM launch WHERE state = $1", "i", (int64_t) state);

        if (r < 0)
                return r;
        if (!pg_row(&q))
                return -EIO;
        *ret = (uint64_t) pg_int64(&q, 0);
        return 0;
}
