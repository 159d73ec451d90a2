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

static int launch_add(Store *s, const StoreLaunch *l, const StoreLimits *limits) {
        int r = sqlite_begin(s);

        if (r < 0)
                return r;
        /* What is too old, and the oldest of this registration beyond its share: an attacker who opens launches cannot keep
         * others out for longer than it takes to open as many again. */
        r = sqlite_do(s, NULL, "DELETE FROM launch WHERE state IN (0, 2) AND created < ?1", "i",
                        limits->expired);
        if (r >= 0)
                r = sqlite_do(s, NULL,
                                "INSERT INTO event (time, owner, vm, launch, what) "
                                "SELECT ?1, (SELECT owner FROM vm WHERE id = ?2), ?2, lower(hex(id)), "
                                "'expired' FROM launch "
                                "WHERE vm = ?2 AND state IN (3, 4) AND held < ?3",
                                "isi", l->created, l->vm, limits->hold_expired);
        if (r >= 0)
                r = sqlite_do(s, NULL, "DELETE FROM launch WHERE vm = ?1 AND state IN (3, 4) AND held < ?2",
                                "si", l->vm, limits->hold_expired);
        if (r >= 0)
                r = sqlite_do(s, NULL,
                                "DELETE FROM launch WHERE number IN (SELECT number FROM launch WHERE vm = "
                                "?1 AND state = 0 "
                                "ORDER BY number DESC LIMIT -1 OFFSET ?2)",
                                "si", l->vm, (int64_t) limits->open_max - 1);
        if (r >= 0)
                r = sqlite_do(s, NULL,
                                "INSERT INTO launch (id, vm, state, created, policy, keys) VALUES (?1, ?2, "
                                "0, ?3, ?4, ?5)",
                                "bsiib", l->id, sizeof(l->id), l->vm, l->created, (int64_t) l->policy,
                                l->keys, l->keys_size);
        return sqlite_end(s, r);
}

/* After a loss of power a session that was given out may be unknown: the host begins again, and nothing was released. So this does not wait
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

int sqlite_launch_each(Store *s, const char *vm, LaunchState state, StoreLaunchFunction f, void *userdata) {
        _cleanup_query_ Query *q = NULL;
        int r = sqlite_query(s, &q,
                        LAUNCH_COLUMNS "WHERE vm = ?1 AND state = ?2 ORDER BY number DESC LIMIT 256", "si",
                        vm, (int64_t) state);

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

int sqlite_launch_fail(Store *s, const StoreLaunch *l, uint64_t max, int64_t now, uint64_t *ret_left) {
        _cleanup_query_ Query *q = NULL;
        uint64_t failures = 0;
        int r = sqlite_begin(s);

        if (r < 0)
                return r;
        r = sqlite_do(s, NULL, "UPDATE launch SET failures = failures + 1 WHERE id = ?1", "b", l->id,
                        sizeof(l->id));
        if (r >= 0)
                r = sqlite_query(s, &q, "SELECT failures FROM launch WHERE id = ?1", "b", l->id,
                                sizeof(l->id));
        if (r >= 0)
                r = sqlite_row(q);
        if (r > 0)
                failures = (uint64_t) sqlite3_column_int64(q, 0);
        else if (r == 0)
                r = -ENOENT;
        (void) sqlite3_reset(q);
        if (r >= 0 && failures >= max) {
                r = sqlite_do(s, NULL,
                                "UPDATE launch SET state = 2, keys = NULL, header = NULL, payload = NULL "
                                "WHERE id = ?1",
                                "b", l->id, sizeof(l->id));
                if (r >= 0)
                        r = sqlite_event(s, now, l->vm, l->id, "burned");
        } else if (r >= 0)
                r = sqlite_event(s, now, l->vm, l->id, "refused");
        r = sqlite_end(s, r);
        if (r < 0)
                return r;
        *ret_left = failures >= max ? 0 : max - failures;
        return 0;
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

/* A change of state with its event, or -ESTALE. */
static int move(Store *s, const StoreLaunch *l, int64_t now, const char *sql, const char *event) {
        uint64_t changes = 0;
        int r = sqlite_do(s, &changes, sql, "bi", l->id, sizeof(l->id), now);

        if (r >= 0 && changes != 1)
                return -ESTALE;
        return r < 0 ? r : sqlite_event(s, now, l->vm, l->id, event);
}

static int hold(Store *s, const StoreLaunch *l, const StoreLimits *limits, int64_t now) {
        uint64_t held;
        int r = count_launches(s, "SELECT count(*) FROM launch WHERE vm = ?1 AND state = ?2", l->vm,
                        (int64_t) LAUNCH_HELD, &held);

        if (r < 0)
                return r;
        if (held >= limits->held_max)
                return -EDQUOT;
        return move(s, l, now, "UPDATE launch SET state = 3, held = ?2 WHERE id = ?1 AND state = 0", "held");
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

        return r < 0 ? r
                     : sqlite_end(s,
                                       move(s, l, now,
                                                       "UPDATE launch SET state = 4, held = ?2 WHERE id = "
                                                       "?1 AND state = 3",
                                                       "confirmed"));
}

int sqlite_launch_reject(Store *s, const StoreLaunch *l, int64_t now) {
        int r = sqlite_begin(s);

        return r < 0 ? r
                     : sqlite_end(s,
                                       move(s, l, now,
                                                       "UPDATE launch SET state = 2, held = ?2, keys = NULL "
                                                       "WHERE id = ?1 AND state IN (0, 3, 4)",
                                                       "rejected"));
}

static int release(Store *s, const StoreLaunch *l, const StoreLimits *limits, int64_t now) {
        uint64_t released, changes = 0;
        int r = count_launches(s, "SELECT count(*) FROM launch WHERE vm = ?1 AND released > ?2", l->vm,
                        limits->window, &released);

        if (r < 0)
                return r;
        if (l->state != LAUNCH_CONFIRMED && released >= limits->releases_max)
                return -EDQUOT;
        r = sqlite_do(s, &changes,
                        "UPDATE launch SET state = 1, released = ?1, keys = NULL, measurement = ?2, header "
                        "= ?3, payload = ?4 "
                        "WHERE id = ?5 AND state = ?6",
                        "ibbbbi", now, l->measurement, sizeof(l->measurement), l->header, sizeof(l->header),
                        l->payload, l->payload_size, l->id, sizeof(l->id), (int64_t) l->state);
        if (r >= 0 && changes != 1)
                return -ESTALE;
        return r < 0 ? r : sqlite_event(s, now, l->vm, l->id, "released");
}

int sqlite_launch_release(Store *s, const StoreLaunch *l, const StoreLimits *limits, int64_t now) {
        int r = sqlite_begin(s);

        return r < 0 ? r : sqlite_end(s, release(s, l, limits, now));
}
