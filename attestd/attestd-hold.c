/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Launches beyond a registration's limit that wait for their owner. Only a launch that has proven to be the registered one is held:
 * nobody can ask for an owner's attention without a genuine platform and the right bytes. */

#include <errno.h>
#include <string.h>

#include "attestd-service.h"
#include "encode.h"

#define ASK_AGAIN_SECONDS 10u

int service_hold(const Service *s, const Registration *reg, const StoreLaunch *l, Reply *reply) {
        const StoreLimits limits = { .held_max = LAUNCH_HELD_MAX };
        Json *j = NULL;
        int r = s->store->ops->launch_hold(s->store, l, &limits, service_now(s));

        if (r == -EDQUOT) {
                reply->retry_after = (unsigned) MIN(reg->instance_window, 3600u);
                return reply_problem(reply, 429, "too-many-instances", "Not now",
                                "so many launches of this wait for their owner already that no more may");
        }
        if (r < 0)
                return r;
        r = js_build(&j, "{s:o, s:s, s:s}", "launch-id", js_hex(l->id, sizeof(l->id)), "state", "held",
                        "detail",
                        "the launch is the registered one; its owner has to confirm it: ask again with the "
                        "same body");
        if (r < 0)
                return r;
        reply->retry_after = ASK_AGAIN_SECONDS;
        return reply_json(reply, 202, j);
}

/* Also if the clock went back: that must not make a session live longer than twice its time. */
static bool too_far(int64_t age, int64_t limit) {
        return age > limit || age < -limit;
}

bool service_launch_expired(const Service *s, const Registration *reg, const StoreLaunch *l) {
        int64_t now = service_now(s);

        switch (l->state) {
        case LAUNCH_OPEN:
                return too_far(now - l->created, LAUNCH_TTL_SECONDS);
        case LAUNCH_HELD:
        case LAUNCH_CONFIRMED:
                return too_far(now - l->held, (int64_t) reg->hold_seconds);
        default:
                return false;
        }
}

/* 1, with a registration that is this owner's; else the reply is made. */
static int load_own(const Service *s, const Request *q, StoreVm *ret_vm, Registration *ret, Reply *reply) {
        int r = service_load(s, q, ret_vm, ret, reply);

        if (r > 0 && ret_vm->owner != q->owner)
                return reply_problem(reply, 404, "unknown-vm", "Nobody has registered this",
                                "you have no registration with this id");
        return r;
}

typedef struct Listing {
        const Service *s;
        const Registration *reg;
        Json *list;
} Listing;

static int list_launch(void *userdata, const StoreLaunch *l) {
        static const char *const names[] = {
                [LAUNCH_OPEN] = "open",
                [LAUNCH_RELEASED] = "released",
                [LAUNCH_BURNED] = "burned",
                [LAUNCH_HELD] = "held",
                [LAUNCH_CONFIRMED] = "confirmed",
        };
        static_assert(ELEMENTSOF(names) == _LAUNCH_STATE_MAX, "every state has a name");
        const Listing *t = userdata;
        Json *j = NULL;
        int r;

        if (l->state >= _LAUNCH_STATE_MAX)
                return -EBADMSG;
        r = js_build(&j, "{s:o, s:s, s:I, s:I}", "launch-id", js_hex(l->id, sizeof(l->id)), "state",
                        service_launch_expired(t->s, t->reg, l) ? "expired" : names[l->state], "created",
                        l->created, "failures", (int64_t) l->failures);
        return r < 0 ? r : js_append(t->list, j);
}

int handle_launches(const Service *s, const Request *q, Reply *reply) {
        static const LaunchState order[] = { LAUNCH_HELD, LAUNCH_CONFIRMED, LAUNCH_OPEN, LAUNCH_RELEASED,
                LAUNCH_BURNED };
        _cleanup_(registration_done) Registration reg = {};
        _cleanup_(store_vm_done) StoreVm v = {};
        _cleanup_js_ Json *list = js_array();
        Listing t = { s, &reg, list };
        int r;

        if (!list)
                return -ENOMEM;
        r = load_own(s, q, &v, &reg, reply);
        if (r <= 0)
                return r;
        FOREACH_ARRAY(state, order, ELEMENTSOF(order)) {
                r = s->store->ops->launch_each(s->store, q->id, *state, list_launch, &t);
                if (r < 0)
                        return r;
        }
        return reply_json(reply, 200, TAKE_PTR(list));
}

/* 1, with the launch that the path names, which is still to be decided; else the reply is made. */
static int load_held(const Service *s, const Request *q, StoreLaunch *ret, Reply *reply) {
        _cleanup_(registration_done) Registration reg = {};
        _cleanup_(store_vm_done) StoreVm v = {};
        uint8_t id[LAUNCH_ID_SIZE];
        int r = load_own(s, q, &v, &reg, reply);

        if (r <= 0)
                return r;
        r = hex_decode_exact(q->launch, id, sizeof(id));
        if (r >= 0)
                r = s->store->ops->launch_get(s->store, q->id, id, ret);
        if (r == -ENOENT || r == -EINVAL || r == -EBADMSG)
                return reply_problem(reply, 404, "unknown-launch", "No such launch",
                                "this registration has no launch with this id");
        if (r < 0)
                return r;
        if (service_launch_expired(s, &reg, ret))
                return reply_problem(reply, 410, "launch-expired", "The launch took too long",
                                "the launch waited longer than its registration allows (hold-seconds)");
        return 1;
}

static int not_held(Reply *reply) {
        return reply_problem(reply, 409, "not-held", "Nothing to decide",
                        "the launch does not wait for a confirmation");
}

int handle_confirm(const Service *s, const Request *q, Reply *reply) {
        _cleanup_(store_launch_done) StoreLaunch l = {};
        Json *j = NULL;
        int r = load_held(s, q, &l, reply);

        if (r <= 0)
                return r;
        if (l.state != LAUNCH_CONFIRMED) {
                r = s->store->ops->launch_confirm(s->store, &l, service_now(s));
                if (r == -ESTALE)
                        return not_held(reply);
                if (r < 0)
                        return r;
        }
        r = js_build(&j, "{s:o, s:s}", "launch-id", js_hex(l.id, sizeof(l.id)), "state", "confirmed");
        return r < 0 ? r : reply_json(reply, 200, j);
}

/* Also an open launch, whose measurement has not come yet. */
int handle_reject(const Service *s, const Request *q, Reply *reply) {
        _cleanup_(store_launch_done) StoreLaunch l = {};
        int r = load_held(s, q, &l, reply);

        if (r <= 0)
                return r;
        r = s->store->ops->launch_reject(s->store, &l, service_now(s));
        if (r == -ESTALE)
                return not_held(reply);
        if (r < 0)
                return r;
        reply->status = 204;
        return 0;
}
