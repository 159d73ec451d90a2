/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The store in SQLite as a whole: its settings, everything that is encrypted, its rows. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attestd-sqlite.h"
#include "strutil.h"

int sqlite_own(Store *s) {
        int r = sqlite_do(s, NULL, "BEGIN IMMEDIATE", "");

        ((SqliteStore *) s)->owned = r >= 0;
        return r;
}

int sqlite_own_end(Store *s, int r) {
        ((SqliteStore *) s)->owned = false;
        return sqlite_end(s, r);
}

int sqlite_setting_get(Store *s, const char *name, uint8_t **ret, size_t *ret_size) {
        _cleanup_query_ Query *q = NULL;
        int r = sqlite_query(s, &q, "SELECT value FROM setting WHERE name = ?1", "s", name);

        if (r >= 0)
                r = sqlite_row(q);
        if (r < 0)
                return r;
        *ret = NULL;
        *ret_size = 0;
        return r == 0 ? 0 : sqlite_bytes(q, 0, ret, ret_size);
}

int sqlite_setting_put(Store *s, const char *name, const void *value, size_t size) {
        return value ? sqlite_do(s, NULL, "INSERT OR REPLACE INTO setting (name, value) VALUES (?1, ?2)",
                                       "sb", name, value, size)
                     : sqlite_do(s, NULL, "DELETE FROM setting WHERE name = ?1", "s", name);
}

int sqlite_launch_sealed(Store *s, StoreLaunchFunction f, void *userdata) {
        _cleanup_query_ Query *q = NULL;
        int r = sqlite_query(
                        s, &q, "SELECT id, vm, keys FROM launch WHERE keys NOT NULL ORDER BY number", "");

        while (r >= 0 && (r = sqlite_row(q)) > 0) {
                _cleanup_(store_launch_done) StoreLaunch l = {};
                const void *id = sqlite3_column_blob(q, 0);

                if (!id || sqlite3_column_bytes(q, 0) != (int) sizeof(l.id))
                        return -EBADMSG;
                memcpy(l.id, id, sizeof(l.id));
                r = sqlite_text(q, 1, &l.vm);
                if (r >= 0)
                        r = sqlite_bytes(q, 2, &l.keys, &l.keys_size);
                if (r >= 0)
                        r = f(userdata, &l);
                if (r > 0)
                        return r;
        }
        return r;
}

int sqlite_vm_reseal(Store *s, const StoreVm *old, const uint8_t *sealed, size_t size) {
        return sqlite_do(s, NULL, "UPDATE vm SET sealed = ?3 WHERE id = ?1 AND sealed = ?2", "sbb", old->id,
                        old->sealed, old->sealed_size, sealed, size);
}

int sqlite_launch_reseal(Store *s, const StoreLaunch *old, const uint8_t *keys, size_t size) {
        return sqlite_do(s, NULL, "UPDATE launch SET keys = ?3 WHERE id = ?1 AND keys = ?2", "bbb", old->id,
                        sizeof(old->id), old->keys, old->keys_size, keys, size);
}

static void read_values(Query *q, const char *types, StoreValue *ret) {
        for (int i = 0; types[i]; i++) {
                ret[i] = (StoreValue) { .is_null = sqlite3_column_type(q, i) == SQLITE_NULL };
                if (types[i] == 'i')
                        ret[i].number = sqlite3_column_int64(q, i);
                else {
                        ret[i].data = types[i] == 's' ? (const void *) sqlite3_column_text(q, i)
                                                      : sqlite3_column_blob(q, i);
                        ret[i].size = (size_t) sqlite3_column_bytes(q, i);
                        ret[i].data = ret[i].data || ret[i].is_null ? ret[i].data : "";
                }
        }
}

/* Not kept as a prepared statement: a store is moved once. */
int sqlite_rows(Store *s, StoreTable t, StoreRowFunction f, void *userdata) {
        const StoreTableInfo *info = store_table(t);
        StoreValue values[STORE_COLUMNS_MAX];
        _cleanup_query_ Query *q = NULL;
        char sql[256];
        int r;

        (void) snprintf(sql, sizeof(sql), "SELECT %s FROM %s ORDER BY 1", info->columns, info->name);
        r = sqlite_query(s, &q, sql, "");
        while (r >= 0 && (r = sqlite_row(q)) > 0) {
                read_values(q, info->types, values);
                r = f(userdata, values);
                if (r > 0)
                        return r;
        }
        return r;
}

static int bind(Query *q, const char *types, const StoreValue *values) {
        int code = SQLITE_OK;

        for (int i = 0; types[i] && code == SQLITE_OK; i++) {
                const StoreValue *v = values + i;

                if (v->is_null)
                        code = sqlite3_bind_null(q, i + 1);
                else if (types[i] == 'i')
                        code = sqlite3_bind_int64(q, i + 1, v->number);
                else if (types[i] == 's')
                        code = sqlite3_bind_text(q, i + 1, v->data, (int) v->size, SQLITE_STATIC);
                else
                        code = sqlite3_bind_blob64(q, i + 1, v->data, v->size, SQLITE_STATIC);
        }
        return sqlite_error(code);
}

int sqlite_row_add(Store *s, StoreTable t, const StoreValue *values) {
        const StoreTableInfo *info = store_table(t);
        _cleanup_query_ Query *q = NULL;
        char sql[512], marks[3 * STORE_COLUMNS_MAX] = "?";
        int r;

        for (size_t i = 1; info->types[i]; i++)
                (void) strncat(marks, ",?", sizeof(marks) - strlen(marks) - 1);
        (void) snprintf(sql, sizeof(sql), "INSERT INTO %s (%s) VALUES (%s)", info->name, info->columns,
                        marks);
        r = sqlite_query(s, &q, sql, "");
        if (r >= 0)
                r = bind(q, info->types, values);
        return r < 0 ? r : sqlite_row(q);
}

int sqlite_row_count(Store *s, StoreTable t, uint64_t *ret) {
        _cleanup_query_ Query *q = NULL;
        char sql[64];
        int r;

        (void) snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", store_table(t)->name);
        r = sqlite_query(s, &q, sql, "");
        if (r >= 0)
                r = sqlite_row(q);
        if (r <= 0)
                return r < 0 ? r : -EIO;
        *ret = (uint64_t) sqlite3_column_int64(q, 0);
        return 0;
}

int sqlite_launch_count(Store *s, LaunchState state, uint64_t *ret) {
        _cleanup_query_ Query *q = NULL;
        int r = sqlite_query(s, &q, "SELECT count(*) FROM launch WHERE state = ?1", "i", (int64_t) state);

        if (r >= 0)
                r = sqlite_row(q);
        if (r <= 0)
                return r < 0 ? r : -EIO;
        *ret = (uint64_t) sqlite3_column_int64(q, 0);
        return 0;
}
