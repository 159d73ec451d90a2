/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Events on the store of the attestation service, four bytes each: what happens, to which launch, in which state the service believes it to be,
 * how much time passes. Whatever comes: no release beyond the limit but a confirmed one, no second packet, no release without its audit
 * event, no keys beside a packet. */

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "attestd-sqlite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                                                             \
        do {                                                                                                \
                if (!(x))                                                                                   \
                        abort();                                                                            \
        } while (0)

#define LAUNCHES 16u
#define RELEASES 2u
#define WINDOW   3600

typedef struct World {
        Store *store;
        int64_t now, released[64];
        size_t n_released;
        uint8_t packets[LAUNCHES]; /* how many were given out */
} World;

static World *world(void) {
        static const uint8_t hash[STORE_TOKEN_HASH_SIZE] = { 1 };
        static World w;

        if (!w.store) {
                (void) mallopt(M_TRIM_THRESHOLD, 64 << 20);
                MUST(store_sqlite_open(":memory:", &w.store, NULL) >= 0);
                MUST(w.store->ops->owner_add(w.store, "owner", hash) >= 0);
        } else
                (void) (w.store->ops->vm_delete(w.store, 1, "a", 0) < 0);
        {
                const StoreVm vm = { .id = (char *) "a",
                        .owner = 1,
                        .document = (char *) "{}",
                        .sealed = (uint8_t *) "s",
                        .sealed_size = 1 };

                MUST(w.store->ops->vm_add(w.store, &vm) >= 0);
        }
        MUST(sqlite_do(w.store, NULL, "DELETE FROM event", "") >= 0);
        w.now = 1000000;
        w.n_released = 0;
        memset(w.packets, 0, sizeof(w.packets));
        return &w;
}

static size_t in_window(const World *w) {
        size_t n = 0;

        for (size_t i = 0; i < w->n_released; i++)
                n += w->released[i] > w->now - WINDOW;
        return n;
}

static void release(World *w, StoreLaunch *l, const StoreLimits *limits) {
        uint8_t packet = 1;

        l->payload = &packet;
        l->payload_size = 1;
        if (w->store->ops->launch_release(w->store, l, limits, w->now) < 0)
                return;
        MUST(l->state == LAUNCH_CONFIRMED || in_window(w) < RELEASES);
        MUST(w->packets[l->id[0]]++ == 0);
        MUST(w->n_released < sizeof(w->released) / sizeof(w->released[0]));
        w->released[w->n_released++] = w->now;
}

static void event(World *w, const uint8_t e[static 4]) {
        const StoreOps *ops = w->store->ops;
        StoreLaunch l = { .vm = (char *) "a",
                .id = { e[1] % LAUNCHES },
                .state = (LaunchState) (e[2] % _LAUNCH_STATE_MAX),
                .created = w->now += e[3] * 8,
                .keys = (uint8_t *) "k",
                .keys_size = 1 };
        const StoreLimits limits = {
                .expired = w->now - 900,
                .open_max = 4,
                .window = w->now - WINDOW,
                .releases_max = RELEASES,
                .released_expired = w->now - WINDOW,
                .hold_expired = w->now - 1200,
                .held_max = 2,
        };
        uint64_t n;

        switch (e[0] % 6) {
        case 0:
                if (w->packets[e[1] % LAUNCHES] == 0) /* ids are random: none comes again */
                        (void) (ops->launch_add(w->store, &l, &limits) < 0);
                break;
        case 1:
                (void) (ops->launch_fail(w->store, &l, 3, w->now, &n) < 0);
                break;
        case 2:
                (void) (ops->launch_hold(w->store, &l, &limits, w->now) < 0);
                break;
        case 3:
                (void) (ops->launch_confirm(w->store, &l, w->now) < 0);
                break;
        case 4:
                (void) (ops->launch_reject(w->store, &l, w->now) < 0);
                break;
        default:
                release(w, &l, &limits);
                break;
        }
}

static int64_t number(World *w, const char *sql) {
        _cleanup_query_ Query *q = NULL;

        MUST(sqlite_query(w->store, &q, sql, "") >= 0 && sqlite_row(q) > 0);
        return sqlite3_column_int64(q, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        World *w = world();

        for (size_t i = 0; i + 4 <= size && i < 4 * 200; i += 4)
                event(w, data + i);
        MUST(number(w, "SELECT count(*) FROM event WHERE what = 'released'") == (int64_t) w->n_released);
        MUST(number(w, "SELECT count(*) FROM launch WHERE keys NOT NULL AND payload NOT NULL") == 0);
        MUST(number(w, "SELECT count(*) FROM launch WHERE state = 1 AND payload IS NULL") == 0);
        return 0;
}
