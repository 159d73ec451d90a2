/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The store in SQLite: one file, write-ahead log, every commit synchronous. Times come from the caller. */

#include "attestd-sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "error.h"

#define BUSY_MSEC 2000 /* another program, `cvmspawn-attestd --add-owner`, may be writing */

/* From version to version; PRAGMA user_version counts those that were applied. An applied one never changes. */
static const char *const schema[] = {
        "CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, token "
        "BLOB NOT NULL UNIQUE) STRICT;"
        "CREATE TABLE vm (id TEXT PRIMARY KEY, owner INTEGER NOT NULL REFERENCES owner "
        "(id), created INTEGER NOT NULL,"
        "  document TEXT NOT NULL, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;"
        "CREATE TABLE launch (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,"
        "  vm TEXT NOT NULL REFERENCES vm (id) ON DELETE CASCADE, state INTEGER NOT "
        "NULL, created INTEGER NOT NULL,"
        "  policy INTEGER NOT NULL, failures INTEGER NOT NULL DEFAULT 0, keys BLOB, "
        "released INTEGER,"
        "  measurement BLOB, header BLOB, payload BLOB) STRICT;"
        "CREATE INDEX launch_by_vm ON launch (vm, state, created);"
        "CREATE TABLE event (number INTEGER PRIMARY KEY, time INTEGER NOT NULL, owner "
        "INTEGER, vm TEXT NOT NULL,"
        "  launch TEXT NOT NULL, what TEXT NOT NULL) STRICT;"
        "CREATE INDEX event_by_vm ON event (vm);",
        "ALTER TABLE launch ADD COLUMN held INTEGER;",
        "CREATE TABLE firmware (number INTEGER PRIMARY KEY, owner INTEGER NOT NULL REFERENCES owner (id),"
        "  sha256 BLOB NOT NULL, created INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (owner, sha256)) "
        "STRICT;",
        "CREATE INDEX IF NOT EXISTS launch_released ON launch (vm, released) WHERE released IS NOT NULL;",
        /* Who began it; how many were ever released, since old rows are deleted. Earlier versions burned released launches. */
        "ALTER TABLE launch ADD COLUMN peer TEXT NOT NULL DEFAULT '';"
        "ALTER TABLE vm ADD COLUMN released INTEGER NOT NULL DEFAULT 0;"
        "UPDATE vm SET released = (SELECT count(*) FROM launch WHERE vm = vm.id AND released IS NOT NULL);"
        "UPDATE launch SET state = 1, keys = NULL WHERE released IS NOT NULL;"
        "CREATE INDEX launch_by_age ON launch (state, created);",
        /* What forget_refusals() counts: without it each refusal reads all events of its registration. */
        "CREATE INDEX event_refused ON event (vm, number) WHERE " STORE_REFUSALS ";",
        /* What all services on the store agree on: store_table(), STORE_KEY_ID. */
        "CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;",
        /* attestd-audit.h: rows are only added. */
        "CREATE TABLE audit (number INTEGER PRIMARY KEY, time INTEGER NOT NULL, vm TEXT NOT NULL,"
        "  position INTEGER NOT NULL, launch TEXT NOT NULL, what TEXT NOT NULL, link BLOB NOT NULL,"
        "  UNIQUE (vm, position)) STRICT;"
        "CREATE INDEX audit_refused ON audit (vm, number) WHERE " STORE_AUDIT_REFUSALS ";"
        "CREATE TRIGGER audit_update BEFORE UPDATE ON audit BEGIN SELECT RAISE (ABORT, 'rows are only added'); END;"
        "CREATE TRIGGER audit_delete BEFORE DELETE ON audit BEGIN SELECT RAISE (ABORT, 'rows are only added'); END;",
};

static Store *store_close(Store *s) {
        SqliteStore *store = (SqliteStore *) s;

        for (Query *q = store->db ? sqlite3_next_stmt(store->db, NULL) : NULL; q;
                        q = sqlite3_next_stmt(store->db, NULL))
                (void) sqlite3_finalize(q);
        (void) sqlite3_close(store->db);
        free(store);
        return NULL;
}

static int owner_add(Store *s, const char *name, const uint8_t hash[static STORE_TOKEN_HASH_SIZE]) {
        return sqlite_do(s, NULL, "INSERT INTO owner (name, token) VALUES (?1, ?2)", "sb", name, hash,
                        (size_t) STORE_TOKEN_HASH_SIZE);
}

static int owner_find(Store *s, const uint8_t hash[static STORE_TOKEN_HASH_SIZE], int64_t *ret) {
        _cleanup_query_ Query *q = NULL;
        int r = sqlite_query(s, &q, "SELECT id FROM owner WHERE token = ?1", "b", hash,
                        (size_t) STORE_TOKEN_HASH_SIZE);

        if (r >= 0)
                r = sqlite_row(q);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        *ret = sqlite3_column_int64(q, 0);
        return 0;
}

static int owner_named(Store *s, const char *name, int64_t *ret) {
        _cleanup_query_ Query *q = NULL;
        int r = sqlite_query(s, &q, "SELECT id FROM owner WHERE name = ?1", "s", name);

        if (r >= 0)
                r = sqlite_row(q);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        *ret = sqlite3_column_int64(q, 0);
        return 0;
}

static int vm_add(Store *s, const StoreVm *v) {
        int r = sqlite_begin(s);

        if (r < 0)
                return r;
        r = sqlite_do(s, NULL,
                        "INSERT INTO vm (id, owner, created, document, sealed) VALUES (?1, ?2, ?3, ?4, ?5)",
                        "siisb", v->id, v->owner, v->created, v->document, v->sealed, v->sealed_size);
        if (r >= 0)
                r = sqlite_event(s, v->created, v->id, NULL, "registered");
        return sqlite_end(s, r);
}

#define VM_ONLY "SELECT id, owner, created, document, sealed, 0, 0, 0 FROM vm "
#define VM_COLUMNS                                                                                          \
        "SELECT id, owner, created, document, sealed,"                                                      \
        " (SELECT count(*) FROM launch WHERE vm = vm.id AND state = 0),"                                    \
        " (SELECT count(*) FROM launch WHERE vm = vm.id AND state = 3),"                                    \
        " released FROM vm "

static int read_vm(Query *q, StoreVm *ret) {
        _cleanup_(store_vm_done) StoreVm v = {
                .owner = sqlite3_column_int64(q, 1),
                .created = sqlite3_column_int64(q, 2),
                .open = (uint64_t) sqlite3_column_int64(q, 5),
                .held = (uint64_t) sqlite3_column_int64(q, 6),
                .released = (uint64_t) sqlite3_column_int64(q, 7),
        };
        int r = sqlite_text(q, 0, &v.id);

        if (r >= 0)
                r = sqlite_text(q, 3, &v.document);
        if (r >= 0)
                r = sqlite_bytes(q, 4, &v.sealed, &v.sealed_size);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(v, (StoreVm) {});
        return 0;
}

static int vm_get(Store *s, const char *id, bool counted, StoreVm *ret) {
        _cleanup_query_ Query *q = NULL;
        int r = sqlite_query(s, &q, counted ? VM_COLUMNS "WHERE id = ?1" : VM_ONLY "WHERE id = ?1", "s", id);

        if (r >= 0)
                r = sqlite_row(q);
        return r > 0 ? read_vm(q, ret) : r < 0 ? r : -ENOENT;
}

static int vm_list(Store *s, int64_t owner, StoreVmFunction f, void *userdata) {
        _cleanup_query_ Query *q = NULL;
        int r = sqlite_query(s, &q, VM_COLUMNS "WHERE owner = ?1 ORDER BY id", "i", owner);

        while (r >= 0 && (r = sqlite_row(q)) > 0) {
                _cleanup_(store_vm_done) StoreVm v = {};

                r = read_vm(q, &v);
                if (r >= 0)
                        r = f(userdata, &v);
        }
        return r;
}

static int vm_sealed(Store *s, StoreVmFunction f, void *userdata) {
        _cleanup_query_ Query *q = NULL;
        int r = sqlite_query(s, &q, VM_ONLY, "");

        while (r >= 0 && (r = sqlite_row(q)) > 0) {
                _cleanup_(store_vm_done) StoreVm v = {};

                r = read_vm(q, &v);
                if (r >= 0)
                        r = f(userdata, &v);
                if (r > 0)
                        return r;
        }
        return r;
}

static int update(Store *s, const StoreVm *v, int64_t now, uint64_t *ret_ended) {
        uint64_t changes = 0;
        int r = sqlite_do(s, &changes,
                        "UPDATE vm SET document = ?3, sealed = coalesce(?4, sealed) WHERE id = ?1 AND owner "
                        "= ?2",
                        "sisb", v->id, v->owner, v->document, v->sealed, v->sealed_size);

        if (r >= 0 && changes == 0)
                return -ENOENT;
        if (r >= 0)
                r = sqlite_launches_cancel(s, v->id, ret_ended);
        return r < 0 ? r : sqlite_event(s, now, v->id, NULL, "updated");
}

static int vm_update(Store *s, const StoreVm *v, int64_t now, uint64_t *ret_ended) {
        int r = sqlite_begin(s);

        return r < 0 ? r : sqlite_end(s, update(s, v, now, ret_ended));
}

static int vm_delete(Store *s, int64_t owner, const char *id, int64_t now) {
        uint64_t changes = 0;
        int r = sqlite_begin(s);

        if (r < 0)
                return r;
        r = sqlite_event(s, now, id, NULL, "deleted");
        if (r >= 0)
                r = sqlite_do(s, &changes, "DELETE FROM vm WHERE id = ?1 AND owner = ?2", "si", id, owner);
        if (r >= 0 && changes == 0)
                r = -ENOENT;
        return sqlite_end(s, r);
}

static int events(Store *s, int64_t owner, const char *vm, StoreEventFunction f, void *userdata) {
        _cleanup_query_ Query *q = NULL;
        int r = sqlite_query(s, &q,
                        "SELECT time, launch, what FROM event WHERE vm = ?1 AND owner = ?2 "
                        "ORDER BY number DESC LIMIT 1000",
                        "si", vm, owner);

        while (r >= 0 && (r = sqlite_row(q)) > 0)
                r = f(userdata, sqlite3_column_int64(q, 0), vm, (const char *) sqlite3_column_text(q, 1),
                                (const char *) sqlite3_column_text(q, 2));
        return r;
}

static const StoreOps sqlite_ops = {
        .free = store_close,
        .owner_add = owner_add,
        .owner_find = owner_find,
        .owner_named = owner_named,
        .vm_add = vm_add,
        .vm_update = vm_update,
        .vm_get = vm_get,
        .vm_list = vm_list,
        .vm_sealed = vm_sealed,
        .vm_delete = vm_delete,
        .launch_add = sqlite_launch_add,
        .launch_get = sqlite_launch_get,
        .launch_count = sqlite_launch_count,
        .launch_each = sqlite_launch_each,
        .launch_fail = sqlite_launch_fail,
        .launch_hold = sqlite_launch_hold,
        .launch_confirm = sqlite_launch_confirm,
        .launch_reject = sqlite_launch_reject,
        .launch_release = sqlite_launch_release,
        .firmware_add = sqlite_firmware_add,
        .firmware_get = sqlite_firmware_get,
        .firmware_list = sqlite_firmware_list,
        .firmware_delete = sqlite_firmware_delete,
        .events = events,
        .begin = sqlite_own,
        .end = sqlite_own_end,
        .setting_get = sqlite_setting_get,
        .setting_put = sqlite_setting_put,
        .launch_sealed = sqlite_launch_sealed,
        .vm_reseal = sqlite_vm_reseal,
        .launch_reseal = sqlite_launch_reseal,
        .rows = sqlite_rows,
        .row_add = sqlite_row_add,
        .row_count = sqlite_row_count,
};

static int read_version(Store *s, int64_t *ret) {
        _cleanup_query_ Query *q = NULL;
        int r = sqlite_query(s, &q, "PRAGMA user_version", "");

        if (r >= 0)
                r = sqlite_row(q);
        if (r <= 0)
                return r < 0 ? r : -EIO;
        *ret = sqlite3_column_int64(q, 0);
        return 0;
}

/* Another service may have made the same step since the version was read. */
static int schema_step(Store *s, size_t i) {
        char version[48];
        int64_t now;
        int r;

        (void) snprintf(version, sizeof(version), "PRAGMA user_version = %zu", i + 1);
        r = sqlite_begin(s);
        if (r < 0)
                return r;
        r = read_version(s, &now);
        if (r < 0 || now > (int64_t) i)
                return sqlite_end(s, r);
        r = sqlite_error(sqlite3_exec(((SqliteStore *) s)->db, schema[i], NULL, NULL, NULL));
        if (r >= 0)
                r = sqlite_do(s, NULL, version, "");
        return sqlite_end(s, r);
}

/* SQLite tries such a file again for reading, and then says what that came to. */
static bool is_read_only(const char *path) {
        _cleanup_free_ char *directory = strdup(path);
        char *slash = directory ? strrchr(directory, '/') : NULL;
        struct statvfs v;

        if (!slash)
                return false;
        slash[slash == directory] = 0;
        return statvfs(directory, &v) >= 0 && (v.f_flag & ST_RDONLY);
}

/* What the system said of a disk is clearer than "disk I/O error". */
static const char *explain(const SqliteStore *s, const char *path, int r) {
        int error = sqlite3_system_errno(s->db);

        if (is_read_only(path))
                error = EROFS;
        else if (error <= 0 && r == -ENOSPC)
                error = ENOSPC;
        return error > 0 ? strerror(error) : sqlite3_errmsg(s->db);
}

/* Makes the tables in a new file and brings older ones up to date; newer ones are refused. */
static int prepare_schema(SqliteStore *s, const char *path, char **reterr) {
        int64_t version;
        int r;

        r = read_version(&s->store, &version);
        if (r < 0)
                return error_set(reterr, r, "'%s' is not a usable database: %s", path, explain(s, path, r));
        if (version < 0 || version > (int64_t) ELEMENTSOF(schema))
                return error_set(reterr, -EOPNOTSUPP,
                                "'%s' was written by a newer version of cvmspawn-attestd", path);
        for (size_t i = (size_t) version; i < ELEMENTSOF(schema); i++) {
                r = schema_step(&s->store, i);
                if (r < 0)
                        return error_set(reterr, r, "cannot create the tables in '%s': %s", path,
                                        explain(s, path, r));
        }
        return 0;
}

static int open_with(const char *path, int flags, Store **ret, char **reterr) {
        _cleanup_store_ Store *owned = NULL;
        SqliteStore *s = calloc(1, sizeof(SqliteStore));
        mode_t mask;
        uint8_t seed;
        int code, r;

        if (!s)
                return -ENOMEM;
        s->store.ops = &sqlite_ops;
        sqlite3_randomness(sizeof(seed),
                        &seed); /* SQLite seeds itself now: later there may be no /dev/urandom */
        owned = &s->store;
        mask = umask(077);
        code = sqlite3_open_v2(path, &s->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | flags, NULL);
        if (code == SQLITE_OK) {
                (void) sqlite3_busy_timeout(s->db, BUSY_MSEC);
                code = sqlite3_exec(s->db,
                                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys "
                                "= ON;"
                                "PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF; PRAGMA cache_size "
                                "= -2048",
                                NULL, NULL, NULL);
        }
        if (code != SQLITE_OK)
                r = error_set(reterr, sqlite_error(code), "cannot open the database '%s': %s", path,
                                explain(s, path, sqlite_error(code)));
        else
                r = prepare_schema(s, path, reterr);
        (void) umask(mask);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(owned);
        return 0;
}

int store_sqlite_open(const char *path, Store **ret, char **reterr) {
        return open_with(path, SQLITE_OPEN_CREATE, ret, reterr);
}

int store_sqlite_open_existing(const char *path, Store **ret, char **reterr) {
        return open_with(path, 0, ret, reterr);
}
