/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the schemes share when a launch begins and while it is open. */

#include <errno.h>
#include <string.h>

#include "attestd-service.h"
#include "strutil.h"

int service_check_request(const ServiceCall *c) {
        const Json *scheme = js_get(c->body, "scheme"), *policy = js_get(c->body, "policy");
        uint64_t v;

        if (scheme && !streq_ptr(js_string_value(scheme), registration_scheme(&c->reg)))
                return reply_problem(c->reply, 409, "scheme-mismatch", "Registration differs",
                                "scheme: differs from the registered scheme");
        if (policy && (js_u64_value(policy, &v) < 0 || v != c->reg.policy))
                return reply_problem(c->reply, 409, "policy-mismatch", "Registration differs",
                                "policy: the policy differs from the registered one; omit it to use the registered policy");
        return 1;
}

int service_store_launch(const ServiceCall *c, const void *keys, size_t keys_size, StoreLaunch *ret) {
        const Service *s = c->s;
        _cleanup_(store_launch_done)
                        StoreLaunch l = { .created = service_now(s), .policy = (uint32_t) c->reg.policy };
        const StoreLimits limits = {
                .expired = l.created - LAUNCH_TTL_SECONDS,
                .open_max = LAUNCH_OPEN_MAX,
                .window = l.created - (int64_t) c->reg.instance_window,
                .releases_max = c->reg.max_instances,
                .released_expired = l.created -
                                (int64_t) MAX(c->reg.instance_window, (uint64_t) LAUNCH_TTL_SECONDS),
                .hold_expired = l.created - (int64_t) c->reg.hold_seconds,
        };
        VaultPlace place;
        int r = s->random(s->random_data, l.id, sizeof(l.id));

        if (r < 0)
                return r;
        l.vm = strdup(c->q->id);
        l.peer = strdup(c->q->peer ?: "");
        if (!l.vm || !l.peer)
                return -ENOMEM;
        place = service_launch_place(&l);
        r = vault_seal(s->vault, &place, keys, keys_size, &l.keys, &l.keys_size);
        if (r >= 0)
                r = s->store->ops->launch_add(s->store, &l, &limits);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(l, (StoreLaunch) {});
        return 0;
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
