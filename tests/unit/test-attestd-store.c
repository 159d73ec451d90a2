/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The service on a store that is not SQLite's: one that hands everything on, and whose n-th call fails, before or after it was done. Nothing
 * of the service reaches around the interface; whatever fails, nothing is given out that was not stored, and asking again goes on. */

#include <limits.h>

#include "attestd-world.h"

#include "strutil.h"

typedef struct Shaky {
        Store store;
        Store *below; /* weak */
        unsigned calls, fail_at;
        int error;
        bool after; /* it was done, and nobody heard of it */
} Shaky;

static int shake(Shaky *s, int r) {
        return s->calls++ == s->fail_at ? s->error : r;
}

/* An operation of the store, handed on. */
#define FORWARD(name, parameters, arguments)                                                                \
        static int shaky_##name parameters {                                                                \
                Shaky *s = (Shaky *) store;                                                                 \
                Store *below = s->below;                                                                    \
                                                                                                            \
                return !s->after && s->calls == s->fail_at ? shake(s, 0)                                    \
                                                           : shake(s, below->ops->name arguments);          \
        }

FORWARD(owner_find, (Store * store, const uint8_t *h, int64_t *ret), (below, h, ret))
FORWARD(vm_add, (Store * store, const StoreVm *v), (below, v))
FORWARD(vm_update, (Store * store, const StoreVm *v, int64_t t, uint64_t *ret), (below, v, t, ret))
FORWARD(vm_get, (Store * store, const char *id, bool counted, StoreVm *ret), (below, id, counted, ret))
FORWARD(vm_delete, (Store * store, int64_t owner, const char *id, int64_t t), (below, owner, id, t))
FORWARD(launch_add, (Store * store, const StoreLaunch *l, const StoreLimits *limits), (below, l, limits))
FORWARD(launch_get, (Store * store, const char *vm, const uint8_t *id, StoreLaunch *ret),
                (below, vm, id, ret))
FORWARD(launch_count, (Store * store, LaunchState state, uint64_t *ret), (below, state, ret))
FORWARD(launch_each, (Store * store, const StoreQuery *q, StoreLaunchFunction f, void *p), (below, q, f, p))
FORWARD(launch_fail, (Store * store, const StoreLaunch *l, uint64_t max, int64_t t, uint64_t *ret),
                (below, l, max, t, ret))
FORWARD(launch_release, (Store * store, const StoreLaunch *l, const StoreLimits *limits, int64_t t),
                (below, l, limits, t))
FORWARD(launch_hold, (Store * store, const StoreLaunch *l, const StoreLimits *limits, int64_t t),
                (below, l, limits, t))
FORWARD(launch_confirm, (Store * store, const StoreLaunch *l, int64_t t), (below, l, t))
FORWARD(events, (Store * store, int64_t owner, const char *vm, StoreEventFunction f, void *p),
                (below, owner, vm, f, p))

static const StoreOps shaky_ops = {
        .owner_find = shaky_owner_find,
        .vm_add = shaky_vm_add,
        .vm_update = shaky_vm_update,
        .vm_get = shaky_vm_get,
        .vm_delete = shaky_vm_delete,
        .launch_add = shaky_launch_add,
        .launch_get = shaky_launch_get,
        .launch_count = shaky_launch_count,
        .launch_each = shaky_launch_each,
        .launch_fail = shaky_launch_fail,
        .launch_release = shaky_launch_release,
        .launch_hold = shaky_launch_hold,
        .launch_confirm = shaky_launch_confirm,
        .events = shaky_events,
};

static const char held[] =
                "{\"scheme\":\"amd-sev\",\"policy\":3,\"cloud-cert\":\"any\",\"launch-digests\":[\"" DIGEST
                "\"],\"over-limit\":\"hold\",\"secrets\":[{\"type\":\"luks-passphrase\",\"passphrase\":"
                "\"sesame\"}]}";

/* One that failed is asked again, once: it must have failed as it should, and be answered now as `wanted` or, if it was done the
 * first time, as `done`. */
static void assert_settles(World *w, Shaky *s, unsigned first, unsigned (*again)(World *w, void *userdata),
                void *userdata, unsigned wanted, unsigned done) {
        unsigned status = first;

        if (first == 500 || first == 503) {
                assert_int_equal(first, s->error == -EIO ? 500 : 503);
                assert_null(js_get(w->reply.body, "secret-payload"));
                assert_null(js_get(w->reply.body, "session"));
                assert_int_equal(w->reply.error, s->error);
                status = again(w, userdata);
        }
        if (status != wanted && !(s->after && status == done))
                fail_msg("call %u: %u, not %u", s->fail_at, status, wanted);
}

static unsigned again_register(World *w, void *userdata) {
        return ask(w, "POST", "/vm/a", OWNER, userdata);
}

static unsigned again_launch(World *w, _unused_ void *userdata) {
        return launch(w);
}

static unsigned again_validate(World *w, void *userdata) {
        return validate(w, userdata, true);
}

static unsigned again_confirm(World *w, void *userdata) {
        char path[96];

        (void) snprintf(path, sizeof(path), "/vm/a/launches/%s/confirm", ((const Measured *) userdata)->id);
        return ask(w, "POST", path, OWNER, NULL);
}

static unsigned again_delete(World *w, _unused_ void *userdata) {
        return ask(w, "DELETE", "/vm/a", OWNER, NULL);
}

static size_t events_named(World *w, const char *name) {
        size_t n = 0;

        assert_int_equal(ask(w, "GET", "/vm/a/events", OWNER, NULL), 200);
        for (size_t i = 0; i < js_length(w->reply.body); i++)
                n += streq(js_string_value(js_get(js_at(w->reply.body, i), "event")), name);
        return n;
}

/* Registered; one launch has its secrets, the next is held, confirmed and has them too. */
static void whole_way(World *w, Shaky *s, unsigned fail_at) {
        size_t released = events_named(w, "released");
        Measured first, second;

        s->calls = 0;
        s->fail_at = fail_at;
        assert_settles(w, s, again_register(w, (void *) held), again_register, (void *) held, 201, 409);
        assert_settles(w, s, again_launch(w, NULL), again_launch, NULL, 200, 200);
        first = measured(w, 0x11, 3);
        assert_settles(w, s, again_validate(w, &first), again_validate, &first, 200, 200);
        open_packet(w, &first);
        assert_settles(w, s, again_launch(w, NULL), again_launch, NULL, 200, 200);
        second = measured(w, 0x11, 3);
        assert_settles(w, s, again_validate(w, &second), again_validate, &second, 202, 202);
        assert_null(js_get(w->reply.body, "secret-payload"));
        assert_settles(w, s, again_confirm(w, &second), again_confirm, &second, 200, 200);
        assert_settles(w, s, again_validate(w, &second), again_validate, &second, 200, 200);
        open_packet(w, &second);
        assert_settles(w, s, again_delete(w, NULL), again_delete, NULL, 204, 404);
        s->fail_at = UINT_MAX;
        assert_int_equal(events_named(w, "released"), released + 2);
}

static void shaky(void **state) {
        static const int errors[] = { -ENOSPC, -EAGAIN, -EIO };
        World *w = *state;
        Shaky s = { .store.ops = &shaky_ops, .below = w->s.store, .fail_at = UINT_MAX };
        unsigned n;

        w->s.store = &s.store;
        whole_way(w, &s, UINT_MAX);
        n = s.calls - 2; /* without looking at what happened */
        assert_in_range(n, 20, 200);
        for (unsigned i = 0; i < n; i++)
                for (unsigned after = 0; after < 2; after++) {
                        s.error = errors[i % ELEMENTSOF(errors)];
                        s.after = after;
                        whole_way(w, &s, i);
                        w->now += 10000; /* another hour's instance */
                }
        w->s.store = s.below;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(shaky, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
