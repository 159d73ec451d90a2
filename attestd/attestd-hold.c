/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What owners do with launches: list them, and confirm or reject those beyond a registration's limit. */

#include <errno.h>
#include <string.h>

#include "attestd-service.h"
#include "encode.h"

#define LAUNCHES_LISTED 256u /* of each state */

/* 1, with a registration that is this owner's; else the reply is made. */
static int load_own(ServiceCall *c) {
        int r = service_load(c);

        if (r > 0 && c->vm.owner != c->q->owner)
                return reply_problem(c->reply, 404, "unknown-vm", "Unknown registration",
                                "you have no registration with this id");
        return r;
}

typedef struct Listing {
        const Service *s;
        const Registration *reg;
        Json *list;
} Listing;

static int list_launch(void *userdata, const StoreLaunch *l) {
        const char *name = launch_state_to_string(l->state);
        const Listing *t = userdata;
        Json *j = NULL;
        int r;

        if (!name)
                return -EBADMSG;
        r = js_build(&j, "{s:o, s:s, s:I, s:I}", "launch-id", js_hex(l->id, sizeof(l->id)), "state",
                        service_launch_expired(t->s, t->reg, l) ? "expired" : name, "created", l->created,
                        "failures", (int64_t) l->failures);
        return r < 0 ? r : js_append(t->list, j);
}

int handle_launches(const Service *s, const Request *q, Reply *reply) {
        static const LaunchState order[] = { LAUNCH_HELD, LAUNCH_CONFIRMED, LAUNCH_OPEN, LAUNCH_RELEASED,
                LAUNCH_BURNED };
        _cleanup_(service_call_done) ServiceCall c = { .s = s, .q = q, .reply = reply };
        _cleanup_js_ Json *list = js_array();
        Listing t = { s, &c.reg, list };
        int r;

        if (!list)
                return -ENOMEM;
        r = load_own(&c);
        if (r <= 0)
                return r;
        FOREACH_ARRAY(state, order, ELEMENTSOF(order)) {
                const StoreQuery which = { .vm = q->id, .state = *state, .max = LAUNCHES_LISTED };

                r = s->store->ops->launch_each(s->store, &which, list_launch, &t);
                if (r < 0)
                        return r;
        }
        return reply_json(reply, 200, TAKE_PTR(list));
}

int handle_refusals(const Service *s, const Request *q, Reply *reply) {
        _cleanup_js_ Json *list = js_array();
        uint64_t before = UINT64_MAX;
        const Refusal *f;
        Json *j = NULL;
        int r = list ? 0 : -ENOMEM;

        while (r >= 0 && s->refusals && (f = refusals_before(s->refusals, q->owner, before))) {
                r = js_build(&j, "{s:I, s:s, s:s, s:s, s:s}", "time", f->time, "vm", f->vm, "request",
                                f->request, "code", f->code, "detail", f->detail);
                if (r >= 0)
                        r = js_append(list, j);
                before = f->number;
        }
        return r < 0 ? r : reply_json(reply, 200, TAKE_PTR(list));
}

/* 1, with the launch that the path names, which is not decided yet; else the reply is made. */
static int load_held(const Service *s, const Request *q, StoreLaunch *ret, Reply *reply) {
        _cleanup_(service_call_done) ServiceCall c = { .s = s, .q = q, .reply = reply };
        uint8_t id[LAUNCH_ID_SIZE];
        int r = load_own(&c);

        if (r <= 0)
                return r;
        r = hex_decode_exact(q->launch, id, sizeof(id));
        if (r >= 0)
                r = s->store->ops->launch_get(s->store, q->id, id, ret);
        if (r == -ENOENT || r == -EINVAL || r == -EBADMSG)
                return reply_problem(reply, 404, "unknown-launch", "Unknown launch",
                                "this registration has no launch with this id");
        if (r < 0)
                return r;
        if (service_launch_expired(s, &c.reg, ret))
                return reply_problem(reply, 410, "launch-expired", "Launch expired",
                                "the launch waited longer than hold-seconds of its registration allows");
        return 1;
}

static int not_held(Reply *reply) {
        return reply_problem(reply, 409, "not-held", "Nothing to decide",
                        "the launch is not waiting for a confirmation");
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

/* Also an open launch, whose measurement has not arrived yet. */
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
