/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The store in PostgreSQL: owners, registrations and the audit log. See attestd-postgresql.h. */

#include "attestd-postgresql.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "strutil.h"

static Store *store_close(Store *s) {
        PgStore *p = pg(s);

        pg_disconnect(p);
        strv_free(p->keys);
        strv_free(p->values);
        free(p->reason);
        free(p);
        return NULL;
}

typedef struct NewOwner {
        const char *name;
        const uint8_t *hash;
} NewOwner;

static int insert_owner(Store *s, void *args) {
        const NewOwner *o = args;

        return pg_do(s, NULL, "INSERT INTO owner (name, token) VALUES ($1, $2)", "sb", o->name, o->hash,
                        (size_t) STORE_TOKEN_HASH_SIZE);
}

static int owner_add(Store *s, const char *name, const uint8_t hash[static STORE_TOKEN_HASH_SIZE]) {
        return pg_transaction(s, insert_owner, &(NewOwner) { name, hash });
}

static int owner_find(Store *s, const uint8_t hash[static STORE_TOKEN_HASH_SIZE], int64_t *ret) {
        _cleanup_pg_ PgRows q = {};
        int r = pg_query(s, &q, "SELECT id FROM owner WHERE token = $1", "b", hash,
                        (size_t) STORE_TOKEN_HASH_SIZE);

        if (r < 0)
                return r;
        if (!pg_row(&q))
                return -ENOENT;
        *ret = pg_int64(&q, 0);
        return 0;
}

static int owner_named(Store *s, const char *name, int64_t *ret) {
        _cleanup_pg_ PgRows q = {};
        int r = pg_query(s, &q, "SELECT id FROM owner WHERE name = $1", "s", name);

        if (r < 0)
                return r;
        if (!pg_row(&q))
                return -ENOENT;
        *ret = pg_int64(&q, 0);
        return 0;
}

/* A registration on its way into the database. */
typedef struct Change {
        const StoreVm *vm;
        int64_t owner, now;
        const char *id;
        uint64_t *ret_ended;
} Change;

static int add(Store *s, void *args) {
        const StoreVm *v = ((const Change *) args)->vm;
        int r = pg_exec(pg(s), "LOCK TABLE vm IN ROW EXCLUSIVE MODE"); /* before the look at the key */

        if (r >= 0)
                r = store_check_key(s);
        if (r < 0)
                return r;
        r = pg_do(s, NULL,
                        "INSERT INTO vm (id, owner, created, document, sealed) VALUES ($1, $2, $3, $4, $5)",
                        "siisb", v->id, v->owner, v->created, v->document, v->sealed, v->sealed_size);

        return r < 0 ? r : pg_event(s, v->created, v->id, NULL, "registered");
}

static int vm_add(Store *s, const StoreVm *v) {
        return pg_transaction(s, add, &(Change) { .vm = v });
}

#define VM_ONLY "SELECT id, owner, created, document, sealed, 0::int8, 0::int8, 0::int8 FROM vm "
#define VM_COLUMNS                                                                                          \
        "SELECT id, owner, created, document, sealed,"                                                      \
        " (SELECT count(*) FROM launch WHERE vm = vm.id AND state = 0),"                                    \
        " (SELECT count(*) FROM launch WHERE vm = vm.id AND state = 3),"                                    \
        " released FROM vm "

static int read_vm(const PgRows *q, StoreVm *ret) {
        _cleanup_(store_vm_done) StoreVm v = {
                .owner = pg_int64(q, 1),
                .created = pg_int64(q, 2),
                .open = (uint64_t) pg_int64(q, 5),
                .held = (uint64_t) pg_int64(q, 6),
                .released = (uint64_t) pg_int64(q, 7),
        };
        int r = pg_text(q, 0, &v.id);

        if (r >= 0)
                r = pg_text(q, 3, &v.document);
        if (r >= 0)
                r = pg_bytes(q, 4, &v.sealed, &v.sealed_size);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(v, (StoreVm) {});
        return 0;
}

static int vm_get(Store *s, const char *id, bool counted, StoreVm *ret) {
        _cleanup_pg_ PgRows q = {};
        int r = pg_query(s, &q, counted ? VM_COLUMNS "WHERE id = $1" : VM_ONLY "WHERE id = $1", "s", id);

        return r < 0 ? r : pg_row(&q) ? read_vm(&q, ret) : -ENOENT;
}

static int each_vm(PgRows *q, StoreVmFunction f, void *userdata) {
        int r = 0;

        while (r == 0 && pg_row(q)) {
                _cleanup_(store_vm_done) StoreVm v = {};

                r = read_vm(q, &v);
                if (r >= 0)
                        r = f(userdata, &v);
        }
        return r;
}

static int vm_list(Store *s, int64_t owner, StoreVmFunction f, void *userdata) {
        _cleanup_pg_ PgRows q = {};
        int r = pg_query(s, &q, VM_COLUMNS "WHERE owner = $1 ORDER BY id", "i", owner);

        return r < 0 ? r : each_vm(&q, f, userdata);
}

static int vm_sealed(Store *s, StoreVmFunction f, void *userdata) {
        _cleanup_pg_ PgRows q = {};
        int r = pg_query(s, &q, VM_ONLY, "");

        return r < 0 ? r : each_vm(&q, f, userdata);
}

static int update(Store *s, void *args) {
        const Change *c = args;
        const StoreVm *v = c->vm;
        uint64_t changes = 0;
        int r = pg_lock_vm(s, v->id);

        if (r >= 0)
                r = store_check_key(s);
        if (r < 0)
                return r;
        r = pg_do(s, &changes,
                        "UPDATE vm SET document = $3, sealed = coalesce($4, sealed) WHERE id = $1 AND owner = $2",
                        "sisb", v->id, v->owner, v->document, v->sealed, v->sealed_size);

        if (r >= 0 && changes == 0)
                return -ENOENT;
        if (r >= 0)
                r = pg_launches_cancel(s, v->id, c->ret_ended);
        return r < 0 ? r : pg_event(s, c->now, v->id, NULL, "updated");
}

static int vm_update(Store *s, const StoreVm *v, int64_t now, uint64_t *ret_ended) {
        return pg_transaction(s, update, &(Change) { .vm = v, .now = now, .ret_ended = ret_ended });
}

static int delete (Store *s, void *args) {
        const Change *c = args;
        uint64_t changes = 0;
        int r = pg_event(s, c->now, c->id, NULL, "deleted");

        if (r >= 0)
                r = pg_do(s, &changes, "DELETE FROM vm WHERE id = $1 AND owner = $2", "si", c->id, c->owner);
        return r < 0 ? r : changes == 0 ? -ENOENT : 0;
}

static int vm_delete(Store *s, int64_t owner, const char *id, int64_t now) {
        return pg_transaction(s, delete, &(Change) { .owner = owner, .id = id, .now = now });
}

static int events(Store *s, int64_t owner, const char *vm, StoreEventFunction f, void *userdata) {
        _cleanup_pg_ PgRows q = {};
        int r = pg_query(s, &q,
                        "SELECT time, launch, what FROM event WHERE vm = $1 AND owner = $2 "
                        "ORDER BY number DESC LIMIT 1000",
                        "si", vm, owner);

        while (r >= 0 && pg_row(&q)) {
                _cleanup_free_ char *launch = NULL, *what = NULL;

                r = pg_text(&q, 1, &launch);
                if (r >= 0)
                        r = pg_text(&q, 2, &what);
                if (r >= 0)
                        r = f(userdata, pg_int64(&q, 0), vm, launch, what);
        }
        return r;
}

/* The server's: the limits of a registration count in time, and the clocks of instances may differ. */
static int64_t server_now(Store *s) {
        return pg(s)->clock_offset + (int64_t) (pg_monotonic_usec() / 1000000);
}

static const char *reason(Store *s) {
        return pg(s)->reason;
}

static const StoreOps postgresql_ops = {
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
        .launch_add = pg_launch_add,
        .launch_get = pg_launch_get,
        .launch_count = pg_launch_count,
        .launch_each = pg_launch_each,
        .launch_fail = pg_launch_fail,
        .launch_hold = pg_launch_hold,
        .launch_confirm = pg_launch_confirm,
        .launch_reject = pg_launch_reject,
        .launch_release = pg_launch_release,
        .firmware_add = pg_firmware_add,
        .firmware_get = pg_firmware_get,
        .firmware_list = pg_firmware_list,
        .firmware_delete = pg_firmware_delete,
        .events = events,
        .begin = pg_own,
        .end = pg_own_end,
        .setting_get = pg_setting_get,
        .setting_put = pg_setting_put,
        .launch_sealed = pg_launch_sealed,
        .vm_reseal = pg_vm_reseal,
        .launch_reseal = pg_launch_reseal,
        .rows = pg_rows,
        .row_add = pg_row_add,
        .row_count = pg_row_count,
        .now = server_now,
        .reason = reason,
};

int store_postgresql_open(const char *url, Store **ret, char **reterr) {
        _cleanup_store_ Store *owned = NULL;
        PgStore *s;
        int r = pq_load(reterr);

        if (r < 0)
                return r;
        s = calloc(1, sizeof(PgStore));
        if (!s)
                return -ENOMEM;
        s->store.ops = &postgresql_ops;
        owned = &s->store;
        r = pg_settings(s, url, reterr);
        if (r < 0)
                return r;
        s->connect = pg_connect;
        r = pg_connect(s);
        if (r < 0)
                return error_set(reterr, r, "--store: cannot connect to PostgreSQL: %s",
                                r == -EOPNOTSUPP ? "the server is older than version 13" : s->reason ?: strerror(-r));
        r = pg_schema(&s->store, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(owned);
        return 0;
}
