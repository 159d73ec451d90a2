/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Launches in PostgreSQL. The statements are those of attestd-sqlite-launch.c; each change begins with the lock on its registration. */

#include <errno.h>
#include <string.h>

#include "attestd-postgresql.h"

#define LAUNCH_COLUMNS                                                                                      \
        "SELECT id, vm, state, created, policy, failures, keys, measurement, header, payload, held FROM "   \
        "launch "

static int read_launch(const PgRows *q, StoreLaunch *ret) {
        _cleanup_(store_launch_done) StoreLaunch l = {
                .state = (LaunchState) pg_int64(q, 2),
                .created = pg_int64(q, 3),
                .policy = (uint32_t) pg_int64(q, 4),
                .failures = (uint64_t) pg_int64(q, 5),
                .held = pg_int64(q, 10),
        };
        const struct {
                int column;
                uint8_t *to;
                size_t size;
        } fixed[] = {
                { 0, l.id, sizeof(l.id) },
                { 7, l.measurement, sizeof(l.measurement) },
                { 8, l.header, sizeof(l.header) },
        };
        int r;

        FOREACH_ARRAY(f, fixed, ELEMENTSOF(fixed)) {
                size_t size;
                const uint8_t *p = pg_raw(q, f->column, &size);

                if (p && size != f->size)
                        return -EBADMSG;
                if (p)
                        memcpy(f->to, p, f->size);
        }
        r = pg_text(q, 1, &l.vm);
        if (r >= 0)
                r = pg_bytes(q, 6, &l.keys, &l.keys_size);
        if (r >= 0)
                r = pg_bytes(q, 9, &l.payload, &l.payload_size);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(l, (StoreLaunch) {});
        return 0;
}

/* A change of state, with everything that belongs to it. The registration is locked. */
static int change(Store *s, const StoreLaunch *l, LaunchEvent event, int64_t now) {
        const LaunchEffect *e = launch_effect(event);
        int to = launch_next(l->state, event), r;
        uint64_t changes = 0;

        if (to < 0)
                return to;
        assert(to != LAUNCH_GONE);
        r = pg_do(s, &changes,
                        "UPDATE launch SET state = $3, failures = failures + $4,"
                        " held = CASE WHEN $5 = 1 THEN $6 ELSE held END,"
                        " keys = CASE WHEN $7 = 1 THEN NULL ELSE keys END "
                        "WHERE id = $1 AND state = $2",
                        "biiiiii", l->id, sizeof(l->id), (int64_t) l->state, (int64_t) to,
                        (int64_t) (e->is_failure && launch_counts_failures(l->state)),
                        (int64_t) e->restarts_clock, now, (int64_t) e->deletes_keys);
        if (r >= 0 && changes != 1)
                return -ESTALE;
        return r < 0 || !e->audit ? r : pg_event(s, now, l->vm, l->id, e->audit);
}

/* Those of other registrations that somebody else is changing now are left to that one. */
#define OF_ALL(column)                                                                                      \
        "DELETE FROM launch WHERE number IN (SELECT number FROM launch WHERE state = $2 AND " column        \
        " < $3 AND $1 IS NOT NULL ORDER BY number FOR UPDATE SKIP LOCKED)"

static const struct {
        LaunchState state;
        const char *sql;
        bool audited; /* its owner was told that it waits */
} forgotten[] = {
        { LAUNCH_OPEN, OF_ALL("created"), false },
        { LAUNCH_BURNED, OF_ALL("created"), false },
        { LAUNCH_HELD, "DELETE FROM launch WHERE vm = $1 AND state = $2 AND held < $3", true },
        { LAUNCH_CONFIRMED, "DELETE FROM launch WHERE vm = $1 AND state = $2 AND held < $3", true },
        { LAUNCH_RELEASED, "DELETE FROM launch WHERE vm = $1 AND state = $2 AND released < $3", false },
};
static_assert(ELEMENTSOF(forgotten) == _LAUNCH_STATE_MAX, "every state ends some time");

static int forget_old(Store *s, const StoreLaunch *l, const StoreLimits *limits) {
        const int64_t before[] = {
                [LAUNCH_OPEN] = limits->expired,
                [LAUNCH_BURNED] = limits->expired,
                [LAUNCH_HELD] = limits->hold_expired,
                [LAUNCH_CONFIRMED] = limits->hold_expired,
                [LAUNCH_RELEASED] = limits->released_expired,
        };
        int r = 0;

        FOREACH_ARRAY(f, forgotten, ELEMENTSOF(forgotten)) {
                if (launch_next(f->state, LAUNCH_EVENT_EXPIRE) != LAUNCH_GONE)
                        continue;
                if (f->audited && r >= 0)
                        r = pg_do(s, NULL,
                                        "INSERT INTO event (time, owner, vm, launch, what) "
                                        "SELECT $1, (SELECT owner FROM vm WHERE id = $2), $2,"
                                        " encode(id, 'hex'), $5 "
                                        "FROM launch WHERE vm = $2 AND state = $3 AND held < $4",
                                        "isiis", l->created, l->vm, (int64_t) f->state, before[f->state],
                                        launch_effect(LAUNCH_EVENT_EXPIRE)->audit);
                if (r >= 0)
                        r = pg_do(s, NULL, f->sql, "sii", l->vm, (int64_t) f->state, before[f->state]);
        }
        return r;
}

#define COUNT_STATE "SELECT count(*) FROM launch WHERE vm = $1 AND state = $2"

/* Fair shares, as in attestd-sqlite-launch.c. */
static int make_room(Store *s, const StoreLaunch *l, const StoreLimits *limits) {
        uint64_t n;
        int r = pg_count(s, COUNT_STATE, l->vm, (int64_t) LAUNCH_OPEN, &n);

        if (r < 0 || n < limits->open_max)
                return r;
        if (launch_next(LAUNCH_OPEN, LAUNCH_EVENT_EVICT) != LAUNCH_GONE)
                return -EINVAL;
        return pg_do(s, NULL,
                        "DELETE FROM launch WHERE number = ("
                        " SELECT min(number) FROM launch WHERE vm = $1 AND state = $2 AND peer = ("
                        "  SELECT peer FROM launch WHERE vm = $1 AND state = $2 GROUP BY peer"
                        "  ORDER BY count(*) + CASE WHEN peer = $3 THEN 1 ELSE 0 END DESC, peer = $3 DESC,"
                        "  min(number) LIMIT 1))",
                        "sis", l->vm, (int64_t) LAUNCH_OPEN, l->peer ?: "");
}

/* What an operation is about, for its part within the transaction. */
typedef struct Change {
        const StoreLaunch *launch;
        const StoreLimits *limits;
        LaunchEvent event;
        uint64_t max, *ret_left;
        int64_t now;
} Change;

static int add(Store *s, void *args) {
        const Change *c = args;
        const StoreLaunch *l = c->launch;
        int r = pg_lock_vm(s, l->vm);

        if (r >= 0)
                r = store_check_key(s);
        if (r >= 0)
                r = forget_old(s, l, c->limits);
        if (r >= 0)
                r = make_room(s, l, c->limits);
        return r < 0 ? r
                     : pg_do(s, NULL,
                                       "INSERT INTO launch (id, vm, state, created, policy, keys, peer) "
                                       "VALUES ($1, $2, $3, $4, $5, $6, $7)",
                                       "bsiiibs", l->id, sizeof(l->id), l->vm, (int64_t) LAUNCH_OPEN,
                                       l->created, (int64_t) l->policy, l->keys, l->keys_size,
                                       l->peer ?: "");
}

int pg_launch_add(Store *s, const StoreLaunch *l, const StoreLimits *limits) {
        return pg_transaction(s, add, &(Change) { .launch = l, .limits = limits });
}

int pg_launch_get(Store *s, const char *vm, const uint8_t id[static LAUNCH_ID_SIZE], StoreLaunch *ret) {
        _cleanup_pg_ PgRows q = {};
        int r = pg_query(s, &q, LAUNCH_COLUMNS "WHERE id = $1 AND vm = $2", "bs", id,
                        (size_t) LAUNCH_ID_SIZE, vm);

        return r < 0 ? r : pg_row(&q) ? read_launch(&q, ret) : -ENOENT;
}

int pg_launch_each(Store *s, const StoreQuery *which, StoreLaunchFunction f, void *userdata) {
        _cleanup_pg_ PgRows q = {};
        int r = pg_query(s, &q,
                        LAUNCH_COLUMNS
                        "WHERE vm = $1 AND state = $2 ORDER BY peer = $3 DESC, number DESC LIMIT $4",
                        "sisi", which->vm, (int64_t) which->state, which->peer ?: "", (int64_t) which->max);

        while (r >= 0 && pg_row(&q)) {
                _cleanup_(store_launch_done) StoreLaunch l = {};

                r = read_launch(&q, &l);
                if (r >= 0)
                        r = f(userdata, &l);
                if (r > 0)
                        return r;
        }
        return r;
}

/* As it is now, under the lock. */
static int read_state(Store *s, StoreLaunch *l) {
        _cleanup_pg_ PgRows q = {};
        int r = pg_query(s, &q, "SELECT state, failures FROM launch WHERE id = $1", "b", l->id,
                        sizeof(l->id));

        if (r < 0)
                return r;
        if (!pg_row(&q))
                return -ENOENT;
        l->state = (LaunchState) pg_int64(&q, 0);
        l->failures = (uint64_t) pg_int64(&q, 1);
        return 0;
}

static int fail(Store *s, void *args) {
        const Change *c = args;
        StoreLaunch current = { .vm = c->launch->vm };
        uint64_t left = UINT64_MAX;
        int r = pg_lock_vm(s, c->launch->vm);

        memcpy(current.id, c->launch->id, sizeof(current.id));
        if (r >= 0)
                r = read_state(s, &current);
        if (r < 0)
                return r;
        if (launch_counts_failures(current.state))
                left = current.failures + 1 >= c->max ? 0 : c->max - current.failures - 1;
        r = change(s, &current, left == 0 ? LAUNCH_EVENT_BURN : LAUNCH_EVENT_REFUSE, c->now);
        if (r == -ESTALE) { /* burned meanwhile */
                left = 0;
                r = 0;
        }
        if (r >= 0)
                *c->ret_left = left;
        return r;
}

int pg_launch_fail(Store *s, const StoreLaunch *l, uint64_t max, int64_t now, uint64_t *ret_left) {
        uint64_t left;
        int r = pg_transaction(
                        s, fail, &(Change) { .launch = l, .max = max, .now = now, .ret_left = &left });

        if (r >= 0)
                *ret_left = left;
        return r;
}

static int hold(Store *s, void *args) {
        const Change *c = args;
        uint64_t held;
        int r = pg_lock_vm(s, c->launch->vm);

        if (r >= 0)
                r = pg_count(s, COUNT_STATE, c->launch->vm, (int64_t) LAUNCH_HELD, &held);
        if (r < 0)
                return r == -ENOENT ? -ESTALE : r;
        return held >= c->limits->held_max ? -EDQUOT : change(s, c->launch, LAUNCH_EVENT_HOLD, c->now);
}

int pg_launch_hold(Store *s, const StoreLaunch *l, const StoreLimits *limits, int64_t now) {
        return l->state == LAUNCH_HELD
                        ? 0
                        : pg_transaction(s, hold, &(Change) { .launch = l, .limits = limits, .now = now });
}

static int decide(Store *s, void *args) {
        const Change *c = args;
        int r = pg_lock_vm(s, c->launch->vm);

        return r < 0 ? (r == -ENOENT ? -ESTALE : r) : change(s, c->launch, c->event, c->now);
}

int pg_launch_confirm(Store *s, const StoreLaunch *l, int64_t now) {
        return pg_transaction(
                        s, decide, &(Change) { .launch = l, .event = LAUNCH_EVENT_CONFIRM, .now = now });
}

int pg_launch_reject(Store *s, const StoreLaunch *l, int64_t now) {
        return pg_transaction(
                        s, decide, &(Change) { .launch = l, .event = LAUNCH_EVENT_REJECT, .now = now });
}

/* A packet is written once: its row has none before, and no event leads out of the state but the end of the row. */
static int keep_packet(Store *s, const StoreLaunch *l, int64_t now) {
        uint64_t changes = 0;
        int r = pg_do(s, &changes,
                        "UPDATE launch SET released = $1, measurement = $2, header = $3, payload = $4 "
                        "WHERE id = $5 AND state = $6 AND released IS NULL",
                        "ibbbbi", now, l->measurement, sizeof(l->measurement), l->header, sizeof(l->header),
                        l->payload, l->payload_size, l->id, sizeof(l->id), (int64_t) LAUNCH_RELEASED);

        if (r >= 0 && changes != 1)
                return -ESTALE;
        return r < 0 ? r : pg_do(s, NULL, "UPDATE vm SET released = released + 1 WHERE id = $1", "s", l->vm);
}

static int release(Store *s, void *args) {
        const Change *c = args;
        const StoreLaunch *l = c->launch;
        uint64_t released;
        int r = pg_lock_vm(s, l->vm);

        if (r >= 0)
                r = pg_count(s, "SELECT count(*) FROM launch WHERE vm = $1 AND released > $2", l->vm,
                                c->limits->window, &released);
        if (r < 0)
                return r == -ENOENT ? -ESTALE : r;
        if (l->state != LAUNCH_CONFIRMED && released >= c->limits->releases_max)
                return -EDQUOT;
        r = change(s, l, LAUNCH_EVENT_RELEASE, c->now);
        return r < 0 ? r : keep_packet(s, l, c->now);
}

int pg_launch_release(Store *s, const StoreLaunch *l, const StoreLimits *limits, int64_t now) {
        return pg_transaction(s, release, &(Change) { .launch = l, .limits = limits, .now = now });
}

int pg_launches_cancel(Store *s, const char *vm, uint64_t *ret_ended) {
        uint64_t all = 0;
        int r = 0;

        for (LaunchState state = 0; state < _LAUNCH_STATE_MAX && r >= 0; state++) {
                uint64_t changes = 0;

                if (launch_next(state, LAUNCH_EVENT_CANCEL) != LAUNCH_GONE)
                        continue;
                r = pg_do(s, &changes, "DELETE FROM launch WHERE vm = $1 AND state = $2", "si", vm,
                                (int64_t) state);
                all += changes;
        }
        if (r >= 0)
                *ret_ended = all;
        return r;
}
