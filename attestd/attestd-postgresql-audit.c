/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <string.h>

#include "attestd-audit.h"
#include "attestd-postgresql.h"
#include "encode.h"

#define REFUSALS_KEPT 300u /* of one registration, as in SQLite */

/* The registration's row is locked, so that nobody else adds to its chain. */
static int last_of(Store *s, const char *vm, int64_t *ret_position, uint8_t ret[static STORE_AUDIT_SIZE]) {
        _cleanup_pg_ PgRows q = {};
        const uint8_t *link;
        size_t size = 0;
        int r = pg_query(s, &q,
                        "SELECT position, link FROM audit WHERE vm = $1 ORDER BY position DESC LIMIT 1", "s",
                        vm);

        if (r < 0 || pg_row(&q) == 0)
                return MIN(r, 0);
        link = pg_raw(&q, 1, &size);
        if (!link || size != STORE_AUDIT_SIZE)
                return -EBADMSG;
        *ret_position = pg_int64(&q, 0);
        memcpy(ret, link, STORE_AUDIT_SIZE);
        return 1;
}

/* Whether as many refusals as may be in an hour are of the last one. */
static int is_flooded(Store *s, const AuditRow *row) {
        _cleanup_pg_ PgRows q = {};
        int r = pg_query(s, &q,
                        "SELECT time FROM audit WHERE vm = $1 AND " STORE_AUDIT_REFUSALS
                        " ORDER BY number DESC LIMIT 1 OFFSET $2",
                        "si", row->vm, (int64_t) AUDIT_PER_HOUR - 1);

        return r < 0 ? r : pg_row(&q) && row->time - pg_int64(&q, 0) < AUDIT_HOUR;
}

static int audit(Store *s, int64_t when, const char *vm, const char *launch, const char *what) {
        AuditRow row = { .vm = vm, .launch = launch, .what = what, .time = when };
        uint8_t before[STORE_AUDIT_SIZE], link[STORE_AUDIT_SIZE];
        int64_t last = 0;
        int r = last_of(s, vm, &last, before), flooded = 0;

        if (r < 0)
                return r;
        row.position = last + 1;
        if (audit_is_cheap(what))
                flooded = is_flooded(s, &row);
        if (flooded != 0)
                return MIN(flooded, 0);
        r = audit_link(s->audit_key, &row, r > 0 ? before : NULL, link);
        return r < 0 ? r
                     : pg_do(s, NULL, "INSERT INTO audit (time, vm, position, launch, what, link) VALUES ($1, $2, $3, $4, $5, $6)",
                                       "isissb", when, vm, row.position, launch, what, link, sizeof(link));
}

/* Events that hosts can cause at will must not fill the disk, nor replace others: only the latest of them are kept. */
static int forget_refusals(Store *s, const char *vm) {
        return pg_do(s, NULL,
                        "DELETE FROM event WHERE number IN (SELECT number FROM event WHERE vm = $1 AND " STORE_REFUSALS
                        " ORDER BY number DESC OFFSET $2)",
                        "si", vm, (int64_t) REFUSALS_KEPT);
}

int pg_event(Store *s, int64_t when, const char *vm, const uint8_t *launch, const char *event) {
        _cleanup_free_ char *id = launch ? hex_encode(launch, LAUNCH_ID_SIZE) : strdup("");
        int r;

        if (!id)
                return -ENOMEM;
        r = pg_do(s, NULL,
                        "INSERT INTO event (time, owner, vm, launch, what) "
                        "VALUES ($1, (SELECT owner FROM vm WHERE id = $2), $2, $3, $4)",
                        "isss", when, vm, id, event);
        if (r >= 0)
                r = audit(s, when, vm, id, event);
        return r >= 0 && audit_is_cheap(event) ? forget_refusals(s, vm) : r;
}
