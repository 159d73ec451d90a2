/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The life of launches: random events on the real store, each compared with a model that knows the table of attestd-machine.h in letters, and
 * the invariants that stand there, from its own log that forgets nothing. ATTESTD_EVENTS=N runs N events, ATTESTD_SEED=N another
 * sequence. Every STORE_EVENTS events a new store begins, so that a run's time grows with its events and no faster; the audit log of a
 * store is compared at its end as a whole. */

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "test.h"

#include "attestd-stores.h"
#include "strutil.h"

#define EVENTS_DEFAULT 20000u
#define STORE_EVENTS   50000u
#define VMS            3u
#define LAUNCHES       1024u /* that the model remembers, of one registration */
#define OPEN_MAX       6u
#define HELD_MAX       3u
#define FAILURES       3u
#define OPEN_SECONDS   900
#define HOLD_SECONDS   1200
#define CHECK_EVERY    512u

/* Rows: open, released, burned, held, confirmed; columns: the events of LaunchEvent; '-' is refused, 'x' deleted. */
static const char *const model_table[_LAUNCH_STATE_MAX] = {
        [LAUNCH_OPEN] = "obh-brxxx",
        [LAUNCH_RELEASED] = "r-----x--",
        [LAUNCH_BURNED] = "------x--",
        [LAUNCH_HELD] = "hb-cbrx-x",
        [LAUNCH_CONFIRMED] = "cb--brx-x",
};

static int model_next(LaunchState from, LaunchEvent event) {
        static const char letters[] = "orbhc";
        char c = model_table[from][event];

        return c == '-' ? -ESTALE : c == 'x' ? LAUNCH_GONE : (int) (strchr(letters, c) - letters);
}

typedef struct Launch {
        bool used;
        uint8_t id[LAUNCH_ID_SIZE];
        uint64_t number, failures, packet;
        LaunchState state;
        unsigned peer;
        int64_t created, held, released;
} Launch;

typedef struct Vm {
        char id[8];
        uint64_t max;   /* releases ... */
        int64_t window; /* ... in so many seconds */
        Launch launches[LAUNCHES];
        struct Release {
                int64_t clock, real; /* by the service's clock, and in truth */
        } * log;                     /* owned; forgets nothing, but what clock_steps() lets expire */
        size_t n_log, room_log;
} Vm;

typedef struct Model {
        Store *store;
        Vm vms[VMS];
        int64_t now;
        bool steps;            /* the clock is set, forward and back */
        int64_t real, forward; /* in truth: now, and when it was set forward last */
        uint64_t n_steps;
        uint64_t seed, numbers, packets, releases, refused_over_limit, attacks;
} Model;

static uint64_t draw(Model *m, uint64_t below) {
        m->seed ^= m->seed << 13;
        m->seed ^= m->seed >> 7;
        m->seed ^= m->seed << 17;
        return m->seed % below;
}

static StoreLimits limits_of(const Model *m, const Vm *v) {
        return (StoreLimits) {
                .expired = m->now - OPEN_SECONDS,
                .open_max = OPEN_MAX,
                .window = m->now - v->window,
                .releases_max = v->max,
                .released_expired = m->now - MAX(v->window, (int64_t) OPEN_SECONDS),
                .hold_expired = m->now - HOLD_SECONDS,
                .held_max = HELD_MAX,
        };
}

static size_t count_state(const Vm *v, LaunchState state) {
        size_t n = 0;

        FOREACH_ARRAY(l, v->launches, LAUNCHES)
                n += l->used && l->state == state;
        return n;
}

static size_t released_in_window(const Model *m, const Vm *v) {
        size_t n = 0;

        for (size_t i = v->n_log; i > 0; i--)
                if (v->log[i - 1].clock > m->now - v->window)
                        n++;
                else if (!m->steps)
                        break;
        return n;
}

/* Since the clock was set forward, which may look like the end of a window. */
static size_t really_released_in_window(const Model *m, const Vm *v) {
        size_t n = 0;

        for (size_t i = v->n_log; i > 0 && v->log[i - 1].real > MAX(m->real - v->window, m->forward); i--)
                n++;
        return n;
}

/* What the store deletes as too old by a clock that was wrong is not known to it once the clock is right. */
static void forget_log(const Model *m, Vm *v, int64_t expired) {
        size_t n = 0;

        for (size_t i = 0; m->steps && i < v->n_log; i++)
                if (v->log[i].clock >= expired)
                        v->log[n++] = v->log[i];
        if (m->steps)
                v->n_log = n;
}

static Launch *model_victim(Vm *v, unsigned newcomer) {
        unsigned counts[4] = {}, most = newcomer;
        uint64_t oldest[4] = { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX };
        Launch *victim = NULL;

        FOREACH_ARRAY(l, v->launches, LAUNCHES)
                if (l->used && l->state == LAUNCH_OPEN) {
                        counts[l->peer]++;
                        oldest[l->peer] = MIN(oldest[l->peer], l->number);
                }
        if (counts[newcomer] > 0)
                counts[newcomer]++;
        for (unsigned p = 0; p < 4; p++)
                if (counts[p] > counts[most] ||
                                (counts[p] == counts[most] && most != newcomer && oldest[p] < oldest[most]))
                        most = p;
        FOREACH_ARRAY(l, v->launches, LAUNCHES)
                if (l->used && l->state == LAUNCH_OPEN && l->number == oldest[most])
                        victim = l;
        return victim;
}

static void model_expire(Model *m, Vm *v) {
        StoreLimits limits = limits_of(m, v);

        for (unsigned i = 0; i < VMS; i++)
                FOREACH_ARRAY(l, m->vms[i].launches, LAUNCHES)
                        if ((l->state == LAUNCH_OPEN || l->state == LAUNCH_BURNED) &&
                                        l->created < limits.expired)
                                l->used = false;
        FOREACH_ARRAY(l, v->launches, LAUNCHES)
                if (((l->state == LAUNCH_HELD || l->state == LAUNCH_CONFIRMED) &&
                                    l->held < limits.hold_expired) ||
                                (l->state == LAUNCH_RELEASED && l->released < limits.released_expired))
                        l->used = false;
        forget_log(m, v, limits.released_expired);
}

static void event_add(Model *m, Vm *v) {
        StoreLimits limits = limits_of(m, v);
        static const char *const peers[] = { "", "192.0.2.1", "192.0.2.2", "2001:db8::" };
        StoreLaunch s = {
                .vm = v->id, .created = m->now, .policy = 3, .keys = (uint8_t *) "keys", .keys_size = 4
        };
        Launch new = {
                .used = true, .number = ++m->numbers, .created = m->now, .peer = (unsigned) draw(m, 4)
        };

        memcpy(new.id, &new.number, sizeof(new.number));
        memcpy(s.id, new.id, sizeof(s.id));
        s.peer = (char *) peers[new.peer];
        model_expire(m, v);
        if (count_state(v, LAUNCH_OPEN) >= OPEN_MAX) {
                Launch *victim = model_victim(v, new.peer);

                assert_non_null(victim);
                if (victim) /* for compilers that do not know that the assertion does not return */
                        victim->used = false;
        }
        assert_ok(m->store->ops->launch_add(m->store, &s, &limits));
        FOREACH_ARRAY(l, v->launches, LAUNCHES)
                if (!l->used) {
                        *l = new;
                        return;
                }
        fail_msg("the model has no room");
}

/* As the service knows it: maybe as it was before another request. */
static StoreLaunch claim(Model *m, const Vm *v, const Launch *l) {
        StoreLaunch s = { .vm = (char *) v->id, .state = l->state };

        memcpy(s.id, l->id, sizeof(s.id));
        if (draw(m, 8) == 0)
                s.state = (LaunchState) draw(m, _LAUNCH_STATE_MAX);
        return s;
}

static void event_fail(Model *m, Vm *v, Launch *l) {
        StoreLaunch s = claim(m, v, l);
        LaunchEvent event = l->failures + 1 >= FAILURES && l->state != LAUNCH_RELEASED ? LAUNCH_EVENT_BURN
                                                                                       : LAUNCH_EVENT_REFUSE;
        int to = model_next(l->state, event);
        uint64_t left = 42;

        assert_ok(m->store->ops->launch_fail(m->store, &s, FAILURES, m->now, &left));
        if (l->state == LAUNCH_RELEASED) {
                assert_true(left == UINT64_MAX);
                m->attacks++;
                return;
        }
        if (to == -ESTALE) {
                assert_int_equal(left, 0);
                return;
        }
        l->state = (LaunchState) to;
        l->failures++;
        assert_int_equal(left, FAILURES - l->failures);
}

/* The events that the service chooses, and what the store must answer. */
static void event_move(Model *m, Vm *v, Launch *l, LaunchEvent event) {
        StoreLimits limits = limits_of(m, v);
        const StoreOps *ops = m->store->ops;
        StoreLaunch s = claim(m, v, l);
        int expected = s.state == l->state ? model_next(l->state, event) : -ESTALE, r = -EINVAL;

        if (model_next(s.state, event) < 0)
                expected = -ESTALE;
        switch (event) {
        case LAUNCH_EVENT_HOLD:
                if (s.state == LAUNCH_HELD)
                        return; /* nothing to do, whatever the row says */
                if (count_state(v, LAUNCH_HELD) >= HELD_MAX)
                        expected = -EDQUOT;
                r = ops->launch_hold(m->store, &s, &limits, m->now);
                break;
        case LAUNCH_EVENT_CONFIRM:
                r = ops->launch_confirm(m->store, &s, m->now);
                break;
        default:
                r = ops->launch_reject(m->store, &s, m->now);
                break;
        }
        if (expected < 0) {
                assert_error(r, -expected);
                return;
        }
        assert_ok(r);
        l->state = (LaunchState) expected;
        l->held = m->now;
}

static void event_release(Model *m, Vm *v, Launch *l) {
        StoreLimits limits = limits_of(m, v);
        StoreLaunch s = claim(m, v, l);
        bool confirmed = l->state == LAUNCH_CONFIRMED;
        uint64_t packet = ++m->packets;
        int r;

        s.payload = (uint8_t *) &packet;
        s.payload_size = sizeof(packet);
        r = m->store->ops->launch_release(m->store, &s, &limits, m->now);
        if (r == -EDQUOT)
                m->refused_over_limit++;
        if (s.state != LAUNCH_CONFIRMED && released_in_window(m, v) >= v->max) {
                assert_error(r, EDQUOT);
                return;
        }
        if (s.state != l->state || model_next(l->state, LAUNCH_EVENT_RELEASE) < 0) {
                assert_error(r, ESTALE);
                return;
        }
        assert_ok(r);
        /* Never above the limit but by the owner; never a second packet. */
        assert_true(confirmed || released_in_window(m, v) < v->max);
        assert_true(confirmed || really_released_in_window(m, v) < v->max);
        assert_int_equal(l->packet, 0);
        l->state = LAUNCH_RELEASED;
        l->released = m->now;
        l->packet = packet;
        m->releases++;
        if (v->n_log == v->room_log) {
                v->room_log = MAX(2 * v->room_log, (size_t) 64);
                v->log = reallocarray(v->log, v->room_log, sizeof(*v->log));
                assert_non_null(v->log);
        }
        v->log[v->n_log++] = (struct Release) { m->now, m->real };
}

static void event_cancel(Model *m, Vm *v) {
        const StoreVm s = { .id = v->id, .owner = 1, .document = (char *) "{}" };
        uint64_t ended = 0, expected = 0;

        assert_ok(m->store->ops->vm_update(m->store, &s, m->now, &ended));
        FOREACH_ARRAY(l, v->launches, LAUNCHES)
                if (l->used && model_next(l->state, LAUNCH_EVENT_CANCEL) == LAUNCH_GONE) {
                        l->used = false;
                        expected++;
                }
        assert_int_equal(ended, expected);
}

static void check_launch(Model *m, const Vm *v, const Launch *l) {
        _cleanup_(store_launch_done) StoreLaunch s = {};
        bool keys = l->state != LAUNCH_RELEASED && l->state != LAUNCH_BURNED;

        assert_ok(m->store->ops->launch_get(m->store, v->id, l->id, &s));
        assert_int_equal(s.state, l->state);
        assert_int_equal(s.failures, l->failures);
        assert_int_equal(s.held, l->held);
        assert_int_equal(!!s.keys, keys);
        assert_int_equal(s.payload_size, l->packet > 0 ? sizeof(l->packet) : 0);
        if (l->packet > 0)
                assert_memory_equal(s.payload, &l->packet, sizeof(l->packet));
}

static void check_all(Model *m) {
        size_t n = 0;

        for (unsigned i = 0; i < VMS; i++)
                FOREACH_ARRAY(l, m->vms[i].launches, LAUNCHES)
                        if (l->used) {
                                check_launch(m, m->vms + i, l);
                                n++;
                        }
        assert_int_equal(store_number(m->store, "SELECT count(*) FROM launch"), n);
        assert_int_equal(store_number(m->store, "SELECT count(*) FROM event WHERE what = 'released'"),
                        m->releases);
        assert_int_equal(
                        store_number(m->store, "SELECT CAST(sum(released) AS bigint) FROM vm"), m->releases);
}

static Launch *any_launch(Model *m, Vm *v) {
        size_t n = 0, chosen;

        FOREACH_ARRAY(l, v->launches, LAUNCHES)
                n += l->used;
        if (n == 0)
                return NULL;
        chosen = draw(m, n);
        FOREACH_ARRAY(l, v->launches, LAUNCHES)
                if (l->used && chosen-- == 0)
                        return l;
        return NULL;
}

static void time_passes(Model *m) {
        int64_t seconds = (int64_t) draw(m, 400);

        m->now += seconds;
        m->real += seconds;
        if (!m->steps || draw(m, 8) > 0)
                return;
        seconds = (int64_t) draw(m, 2 * 86400) - 86400;
        m->now += seconds;
        m->n_steps++;
        if (seconds > 0)
                m->forward = m->real;
}

static void step(Model *m) {
        Vm *v = m->vms + draw(m, VMS);
        uint64_t kind = draw(m, 100);
        Launch *l = any_launch(m, v);

        if (kind < 10 && draw(m, 4) == 0)
                time_passes(m);
        else if (kind < 11)
                event_cancel(m, v);
        else if (kind < 30 || !l)
                event_add(m, v);
        else if (kind < 60)
                event_release(m, v, l);
        else if (kind < 78)
                event_fail(m, v, l);
        else
                event_move(m, v, l,
                                kind < 90                   ? LAUNCH_EVENT_HOLD
                                                : kind < 97 ? LAUNCH_EVENT_CONFIRM
                                                            : LAUNCH_EVENT_REJECT);
        if (l && l->used)
                check_launch(m, v, l);
}

static uint64_t number_of(const char *name, uint64_t otherwise) {
        uint64_t n;

        if (!getenv(name))
                return otherwise;
        assert_ok(parse_u64(getenv(name), &n));
        return n;
}

static void open_model(Model *m) {
        static const struct {
                uint64_t max;
                int64_t window;
        } kinds[VMS] = { { 1, 3600 }, { 3, 60 }, { 7, 10000 } };
        static const uint8_t hash[STORE_TOKEN_HASH_SIZE] = { 1 };

        open_test_store(":memory:", /* again= */ false, &m->store);
        assert_ok(m->store->ops->owner_add(m->store, "owner", hash));
        for (unsigned i = 0; i < VMS; i++) {
                StoreVm s = {
                        .owner = 1, .document = (char *) "{}", .sealed = (uint8_t *) "s", .sealed_size = 1
                };

                m->vms[i].max = kinds[i].max;
                m->vms[i].window = kinds[i].window;
                (void) snprintf(m->vms[i].id, sizeof(m->vms[i].id), "vm%u", i);
                s.id = m->vms[i].id;
                assert_ok(m->store->ops->vm_add(m->store, &s));
        }
}

/* One store from its first event to its last. */
static void run_store(uint64_t n, Model *total) {
        Model *m = calloc(1, sizeof(Model));

        assert_non_null(m);
        m->now = 10000000;
        m->steps = total->steps;
        m->seed = total->seed;
        open_model(m);
        for (uint64_t i = 0; i < n; i++) {
                step(m);
                if (i % CHECK_EVERY == 0)
                        check_all(m);
        }
        check_all(m);
        total->seed = m->seed;
        total->releases += m->releases;
        total->refused_over_limit += m->refused_over_limit;
        total->attacks += m->attacks;
        total->n_steps += m->n_steps;
        for (unsigned i = 0; i < VMS; i++)
                free(m->vms[i].log);
        store_free(m->store);
        free(m);
}

static void run_events(uint64_t n, bool steps) {
        uint64_t stores = 0;
        Model total = { .steps = steps, .seed = number_of("ATTESTD_SEED", 88172645463325252u) };

        (void) mallopt(M_TRIM_THRESHOLD, 64 << 20); /* what SQLite frees it wants again */
        for (uint64_t left = n; left > 0; stores++) {
                uint64_t now = MIN(left, (uint64_t) STORE_EVENTS);

                run_store(now, &total);
                left -= now;
        }
        if (steps)
                print_message("%" PRIu64 " steps of the clock, of up to a day\n", total.n_steps);
        print_message("%" PRIu64 " events on %" PRIu64 " stores: %" PRIu64 " releases, %" PRIu64
                      " refused as too many, %" PRIu64 " attacks on released launches\n"
                      "held after each: a released launch stays released, with its one packet and without keys; no release "
                      "beyond the limit but a confirmed one; state and failures as the model has them\n"
                      "held every %u: as many launches, releases and audit events as the model counts\n",
                        n, stores, total.releases, total.refused_over_limit, total.attacks, CHECK_EVERY);
        assert_true(total.releases > n / 1000 && total.refused_over_limit > n / 1000 &&
                        total.attacks > n / 1000 && (!steps || total.n_steps > n / 1000));
}

static void random_events(_unused_ void **state) {
        run_events(number_of("ATTESTD_EVENTS", EVENTS_DEFAULT), /* steps= */ false);
}

/* The clock goes forward and back by up to a day, again and again: the limit holds in truth, too, between two steps forward. */
static void clock_steps(_unused_ void **state) {
        run_events(number_of("ATTESTD_EVENTS", EVENTS_DEFAULT) / 4, /* steps= */ true);
}

/* The service's table and the model's are the same; no event leads out of `released` but its end. */
static void tables(_unused_ void **state) {
        for (LaunchState s = 0; s < _LAUNCH_STATE_MAX; s++)
                for (LaunchEvent e = 0; e < _LAUNCH_EVENT_MAX; e++)
                        assert_int_equal(launch_next(s, e), model_next(s, e));
        for (LaunchEvent e = 0; e < _LAUNCH_EVENT_MAX; e++)
                if (e != LAUNCH_EVENT_EXPIRE && launch_next(LAUNCH_RELEASED, e) >= 0)
                        assert_int_equal(launch_next(LAUNCH_RELEASED, e), LAUNCH_RELEASED);
        assert_error(launch_next(_LAUNCH_STATE_MAX, LAUNCH_EVENT_REFUSE), EINVAL);
        assert_error(launch_next(LAUNCH_OPEN, _LAUNCH_EVENT_MAX), EINVAL);
        assert_string_equal(launch_effect(LAUNCH_EVENT_RELEASE)->audit, "released");
}

/* An address that opens launches without end loses its own, never those of another address. */
static void fair_shares(_unused_ void **state) {
        const StoreLimits limits = { .expired = 0, .open_max = 16 };
        static const uint8_t hash[STORE_TOKEN_HASH_SIZE] = { 1 };
        StoreVm vm = { .id = (char *) "a",
                .owner = 1,
                .document = (char *) "{}",
                .sealed = (uint8_t *) "s",
                .sealed_size = 1 };
        StoreLaunch l = { .vm = vm.id, .created = 1, .keys = (uint8_t *) "k", .keys_size = 1 };
        static const uint8_t good[LAUNCH_ID_SIZE] = { 0xff, 0xff, 0xff, 0xff, 0xff };
        _cleanup_(store_launch_done) StoreLaunch found = {};
        _cleanup_store_ Store *s = NULL;

        open_test_store(":memory:", /* again= */ false, &s);
        assert_ok(s->ops->owner_add(s, "owner", hash));
        assert_ok(s->ops->vm_add(s, &vm));
        l.peer = (char *) "192.0.2.1";
        memcpy(l.id, good, sizeof(l.id));
        assert_ok(s->ops->launch_add(s, &l, &limits));
        for (uint32_t i = 1; i <= (postgresql_url() ? 300 : 10000); i++) {
                char peer[16];

                /* from few addresses */
                (void) snprintf(peer, sizeof(peer), "203.0.113.%u", i % 7);
                l.peer = peer;
                memset(l.id, 0, sizeof(l.id));
                memcpy(l.id, &i, sizeof(i));
                assert_ok(s->ops->launch_add(s, &l, &limits));
        }
        assert_ok(s->ops->launch_get(s, "a", good, &found));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(tables),
                cmocka_unit_test(fair_shares),
                cmocka_unit_test(random_events),
                cmocka_unit_test(clock_steps),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
