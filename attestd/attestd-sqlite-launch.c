/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <string.h>

#include "attestd-sqlite.h"

#define LAUNCH_COLUMNS                                                                                      \
        "SELECT id, vm, state, created, policy, failures, keys, measurement, header, payload, held FROM "   \
        "launch "

static int read_launch(Query *q, StoreLaunch *ret) {
        _cleanup_(store_launch_done) StoreLaunch l = {
                .state = (LaunchState) sqlite3_column_int64(q, 2),
                .created = sqlite3_column_int64(q, 3),
                .policy = (uint32_t) sqlite3_column_int64(q, 4),
                .failures = (uint64_t) sqlite3_column_int64(q, 5),
                .held = sqlite3_column_int64(q, 10),
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
                const void *p = sqlite3_column_blob(q, f->column);

                if (p && sqlite3_column_bytes(q, f->column) != (int) f->size)
                        return -EBADMSG;
                if (p)
                        memcpy(f->to, p, f->size);
        }
        r = sqlite_text(q, 1, &l.vm);
        if (r >= 0)
                r = sqlite_bytes(q, 6, &l.keys, &l.keys_size);
        if (r >= 0)
                r = sqlite_bytes(q, 9, &l.payload, &l.payload_size);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(l, (StoreLaunch) {});
        return 0;
}

/* A change of state, with everything that belongs to it. The caller has begun a transaction. */
static int change(Store *s, const StoreLaunch *l, LaunchEvent event, int64_t now) {
        const LaunchEffect *e = launch_effect(event);
        int to = launch_next(l->state, event), r;
        uint64_t changes = 0;

        if (to < 0)
                return to;
        assert(to != LAUNCH_GONE);
        r = sqlite_do(s, &changes,
                        "UPDATE launch SET state = ?3, failures = failures + ?4,"
                        " held = CASE WHEN ?5 THEN ?6 ELSE held END, keys = CASE WHEN ?7 THEN NULL ELSE "
                        "keys END "
                        "WHERE id = ?1 AND state = ?2",
                        "biiiiii", l->id, sizeof(l->id), (int64_t) l->state, (int64_t) to,
                        (int64_t) (e->is_failure && launch_counts_failures(l->state)),
                        (int64_t) e->restarts_clock, now, (int64_t) e->deletes_keys);
        if (r >= 0 && changes != 1)
                return -ESTALE;
        return r < 0 || !e->audit ? r : sqlite_event(s, now, l->vm, l->id, e->audit);
}

/* What a state's age is counted from, and of which registrations: launches that nobody comes back to must not keep those of others. */
static const struct {
        LaunchState state;
        const char *sql;
        bool audited; /* its owner was told that it waits */
} forgotten[] = {
        { LAUNCH_OPEN, "DELETE FROM launch WHERE state = ?2 AND created < ?3 AND ?1 NOT NULL", false },
        { LAUNCH_BURNED, "DELETE FROM launch WHERE state = ?2 AND created < ?3 AND ?1 NOT NULL", false },
        { LAUNCH_HELD, "DELETE FROM launch WHERE vm = ?1 AND state = ?2 AND held < ?3", true },
        { LAUNCH_CONFIRMED, "DELETE FROM launch WHERE vm = ?1 AND state = ?2 AND held < ?3", true },
        { LAUNCH_RELEASED, "DELETE FROM launch WHERE vm = ?1 AND state = ?2 AND released < ?3", false },
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
                        r = sqlite_do(s, NULL,
                                        "INSERT INTO event (time, owner, vm, launch, what) "
                                        "SELECT ?1, (SELECT owner FROM vm WHERE id = ?2), ?2, "
                                        "lower(hex(id)), ?5 "
                                        "FROM launch WHERE vm = ?2 AND state = ?3 AND held < ?4",
                                        "isiis", l->created, l->vm, (int64_t) f->state, before[f->state],
                                        launch_effect(LAUNCH_EVENT_EXPIRE)->audit);
                if (r >= 0)
                        r = sqlite_do(s, NULL, f->sql, "sii", l->vm, (int64_t) f->state, before[f->state]);
        }
        return r;
}

static int count_launches(Store *s, const char *sql, const char *vm, int64_t value, uint64_t *ret) {
        _cleanup_query_ Query *q = NULL;
        int r = sqlite_query(s, &q, sql, "si", vm, value);

        if (r >= 0)
                r = sqlite_row(q);
        if (r <= 0)
                return r < 0 ? r : -EIO;
        *ret = (uint64_t) sqlite3_column_int64(q, 0);
        return 0;
}

#define COUNT_STATE "SELECT count(*) FROM launch WHERE vm = ?1 AND state = ?2"

/* Fair shares: room is made by the address that has the most open launches, the newcomer's among them; so nobody but itself loses what it
 * has begun to an address that asks for many. */
static int make_room(Store *s, const StoreLaunch *l, const StoreLimits *limits) {
        uint64_t n;
        int r = count_launches(s, COUNT_STATE, l->vm, (int64_t) LAUNCH_OPEN, &n);

        if (r < 0 || n < limits->open_max)
                return r;
        if (launch_next(LAUNCH_OPEN, LAUNCH_EVENT_EVICT) != LAUNCH_GONE)
                return -EINVAL;
        return sqlite_do(s, NULL,
                        "DELETE FROM launch WHERE number = ("
                        " SELECT min(number) FROM launch WHERE vm = ?1 AND state = ?2 AND peer = ("
                        "  SELECT peer FROM launch WHERE vm = ?1 AND state = ?2 GROUP BY peer"
                        "  ORDER BY count(*) + (peer = ?3) DESC, peer = ?3 DESC, min(number) LIMIT 1))",
                        "sis", l->vm, (int64_t) LAUNCH_OPEN, l->peer ?: "");
}

static int launch_add(Store *s, const StoreLaunch *l, const StoreLimits *limits) {
        int r = sqlite_begin(s);

        if (r < 0)
                return r;
        r = forget_old(s, l, limits);
        if (r >= 0)
                r = make_room(s, l, limits);
        if (r >= 0)
                r = sqlite_do(s, NULL,
                                "INSERT INTO launch (id, vm, state, created, policy, keys, peer) "
                                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                                "bsiiibs", l->id, sizeof(l->id), l->vm, (int64_t) LAUNCH_OPEN, l->created,
                                (int64_t) l->policy, l->keys, l->keys_size, l->peer ?: "");
        return sqlite_end(s, r);
}

/* After a loss of power a session that was given out may be unknown: the host starts again, and nothing was released. So this does not wait
 * for the disk. */
int sqlite_launch_add(Store *s, const StoreLaunch *l, const StoreLimits *limits) {
        int r;

        sqlite_durable(s, false);
        r = launch_add(s, l, limits);
        sqlite_durable(s, true);
        return r;
}

int sqlite_launch_get(Store *s, const char *vm, const uint8_t id[static LAUNCH_ID_SIZE], StoreLaunch *ret) {
        _cleanup_query_ Query *q = NULL;
        int r = sqlite_query(s, &q, LAUNCH_COLUMNS "WHERE id = ?1 AND vm = ?2", "bs", id,
                        (size_t) LAUNCH_ID_SIZE, vm);

        if (r >= 0)
                r = sqlite_row(q);
        return r > 0 ? read_launch(q, ret) : r < 0 ? r : -ENOENT;
}

int sqlite_launch_each(Store *s, const StoreQuery *which, StoreLaunchFunction f, void *userdata) {
        _cleanup_query_ Query *q = NULL;
        int r = sqlite_query(s, &q,
                        LAUNCH_COLUMNS
                        "WHERE vm = ?1 AND state = ?2 ORDER BY peer = ?3 DESC, number DESC LIMIT ?4",
                        "sisi", which->vm, (int64_t) which->state, which->peer ?: "", (int64_t) which->max);

        while (r >= 0 && (r = sqlite_row(q)) > 0) {
                _cleanup_(store_launch_done) StoreLaunch l = {};

                r = read_launch(q, &l);
                if (r >= 0)
                        r = f(userdata, &l);
                if (r > 0)
                        return r;
        }
        return r;
}

/* As it is now: between a request's first look and this another program may have been here. */
static int read_state(Store *s, StoreLaunch *l) {
        _cleanup_query_ Query *q = NULL;
        int r = sqlite_query(s, &q, "SELECT state, failures FROM launch WHERE id = ?1", "b", l->id,
                        sizeof(l->id));

        if (r >= 0)
                r = sqlite_row(q);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        l->state = (LaunchState) sqlite3_column_int64(q, 0);
        l->failures = (uint64_t) sqlite3_column_int64(q, 1);
        return 0;
}

static int fail(Store *s, const StoreLaunch *l, uint64_t max, int64_t now, uint64_t *ret_left) {
        StoreLaunch current = { .vm = l->vm };
        uint64_t left = UINT64_MAX;
        int r;

        memcpy(current.id, l->id, sizeof(current.id));
        r = read_state(s, &current);
        if (r < 0)
                return r;
        if (launch_counts_failures(current.state))
                left = current.failures + 1 >= max ? 0 : max - current.failures - 1;
        r = change(s, &current, left == 0 ? LAUNCH_EVENT_BURN : LAUNCH_EVENT_REFUSE, now);
        if (r == -ESTALE) { /* burned meanwhile */
                left = 0;
                r = 0;
        }
        if (r >= 0)
                *ret_left = left;
        return r;
}

int sqlite_launch_fail(Store *s, const StoreLaunch *l, uint64_t max, int64_t now, uint64_t *ret_left) {
        int r = sqlite_begin(s);

        return r < 0 ? r : sqlite_end(s, fail(s, l, max, now, ret_left));
}

static int hold(Store *s, const StoreLaunch *l, const StoreLimits *limits, int64_t now) {
        uint64_t held;
        int r = count_launches(s, COUNT_STATE, l->vm, (int64_t) LAUNCH_HELD, &held);

        if (r < 0)
                return r;
        return held >= limits->held_max ? -EDQUOT : change(s, l, LAUNCH_EVENT_HOLD, now);
}

int sqlite_launch_hold(Store *s, const StoreLaunch *l, const StoreLimits *limits, int64_t now) {
        int r;

        if (l->state == LAUNCH_HELD)
                return 0;
        r = sqlite_begin(s);
        return r < 0 ? r : sqlite_end(s, hold(s, l, limits, now));
}

int sqlite_launch_confirm(Store *s, const StoreLaunch *l, int64_t now) {
        int r = sqlite_begin(s);

        return r < 0 ? r : sqlite_end(s, change(s, l, LAUNCH_EVENT_CONFIRM, now));
}

int sqlite_launch_reject(Store *s, const StoreLaunch *l, int64_t now) {
        int r = sqlite_begin(s);

        return r < 0 ? r : sqlite_end(s, change(s, l, LAUNCH_EVENT_REJECT, now));
}

/* A packet is written once: its row has none before, and no event leads out of the state but the end of the row. */
static int keep_packet(Store *s, const StoreLaunch *l, int64_t now) {
        uint64_t changes = 0;
        int r = sqlite_do(s, &changes,
                        "UPDATE launch SET released = ?1, measurement = ?2, header = ?3, payload = ?4 "
                        "WHERE id = ?5 AND state = ?6 AND released IS NULL",
                        "ibbbbi", now, l->measurement, sizeof(l->measurement), l->header, sizeof(l->header),
                        l->payload, l->payload_size, l->id, sizeof(l->id), (int64_t) LAUNCH_RELEASED);

        if (r >= 0 && changes != 1)
                return -ESTALE;
        return r < 0 ? r
                     : sqlite_do(s, NULL, "UPDATE vm SET released = released + 1 WHERE id = ?1", "s", l->vm);
}

static int release(Store *s, const StoreLaunch *l, const StoreLimits *limits, int64_t now) {
        uint64_t released;
        int r = count_launches(s, "SELECT count(*) FROM launch WHERE vm = ?1 AND released > ?2", l->vm,
                        limits->window, &released);

        if (r < 0)
                return r;
        if (l->state != LAUNCH_CONFIRMED && released >= limits->releases_max)
                return -EDQUOT;
        r = change(s, l, LAUNCH_EVENT_RELEASE, now);
        return r < 0 ? r : keep_packet(s, l, now);
}

int sqlite_launch_release(Store *s, const StoreLaunch *l, const StoreLimits *limits, int64_t now) {
        int r = sqlite_begin(s);

        return r < 0 ? r : sqlite_end(s, release(s, l, limits, now));
}

/* Launches without their secrets, when what they began under is replaced. */
int sqlite_launches_cancel(Store *s, const char *vm, uint64_t *ret_ended) {
        uint64_t all = 0;
        int r = 0;

        for (LaunchState state = 0; state < _LAUNCH_STATE_MAX && r >= 0; state++) {
                uint64_t changes = 0;

                if (launch_next(state, LAUNCH_EVENT_CANCEL) != LAUNCH_GONE)
                        continue;
                r = sqlite_do(s, &changes, "DELETE FROM launch WHERE vm = ?1 AND state = ?2", "si", vm,
                                (int64_t) state);
                all += changes;
        }
        if (r >= 0)
                *ret_ended = all;
        return r;
}
