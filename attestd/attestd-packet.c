/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the schemes share when a launch is found, and when its secrets are released. The packet is stored before it is sent, so that the
 * same evidence gets the same bytes again. */

#include <errno.h>
#include <string.h>

#include "attestd-service.h"
#include "secret.h"
#include "snp-packet.h"
#include "strutil.h"

#define ASK_AGAIN_SECONDS 10u
#define LATER_SECONDS_MAX 3600u

static int expired(Reply *reply) {
        return reply_problem(reply, 410, "launch-expired", "Launch expired",
                        "an open launch expires after %d minutes, a held one after hold-seconds; start again with /launch",
                        LAUNCH_TTL_SECONDS / 60);
}

int service_find_launch(const ServiceCall *c, const uint8_t id[static LAUNCH_ID_SIZE],
                const uint8_t evidence[static LAUNCH_MEASURE_SIZE], StoreLaunch *ret) {
        int r = c->s->store->ops->launch_get(c->s->store, c->q->id, id, ret);

        if (r == -ENOENT)
                return reply_problem(c->reply, 404, "unknown-launch", "Unknown launch",
                                "launch-id: not a launch of this registration, or deleted; start again with /launch");
        if (r < 0)
                return r;
        if (ret->state == LAUNCH_BURNED)
                return reply_problem(c->reply, 410, "launch-burned", "Launch ended",
                                "the launch failed %u times, or its owner rejected it; start again with /launch",
                                LAUNCH_FAILURES);
        if (ret->state == LAUNCH_RELEASED)
                return ret->payload_size > 0 &&
                                                constant_time_equal(ret->measurement, evidence,
                                                                LAUNCH_MEASURE_SIZE)
                                ? service_send_packet(c, ret)
                                : 2;
        return service_launch_expired(c->s, &c->reg, ret) ? expired(c->reply) : 1;
}

static int later(const ServiceCall *c, const char *detail) {
        c->reply->retry_after = (unsigned) MIN(c->reg.instance_window, (uint64_t) LATER_SECONDS_MAX);
        return reply_problem(c->reply, 429, "too-many-instances", "Too many instances", "%s", detail);
}

/* Only a launch whose evidence was accepted is held: nobody can ask for an owner's attention without a genuine platform and the right
 * bytes. */
static int hold(const ServiceCall *c, const StoreLaunch *l) {
        const StoreLimits limits = { .held_max = LAUNCH_HELD_MAX };
        Json *j = NULL;
        int r = c->s->store->ops->launch_hold(c->s->store, l, &limits, service_now(c->s));

        if (r == -EDQUOT)
                return later(c, "too many launches of this registration are already waiting for confirmation");
        if (r < 0)
                return r;
        r = js_build(&j, "{s:o, s:s, s:s}", "launch-id", js_hex(l->id, sizeof(l->id)), "state", "held",
                        "detail",
                        "the launch matches its registration and waits for its owner's confirmation; send the same request again");
        if (r < 0)
                return r;
        c->reply->retry_after = ASK_AGAIN_SECONDS;
        return reply_json(c->reply, 202, j);
}

int service_release(const ServiceCall *c, StoreLaunch *l) {
        int64_t now = service_now(c->s);
        const StoreLimits limits = {
                .window = now - (int64_t) c->reg.instance_window,
                .releases_max = c->reg.max_instances,
        };
        int r = c->s->store->ops->launch_release(c->s->store, l, &limits, now);

        if (r == -EDQUOT)
                return c->reg.over_limit == OVER_LIMIT_HOLD
                                ? hold(c, l)
                                : later(c, "the registration's max-instances is reached; retry later");
        return r < 0 ? r : service_send_packet(c, l);
}

static int send_snp(const StoreLaunch *l, Reply *reply) {
        _cleanup_js_ Json *j = js_object();
        size_t n;

        if (l->payload_size < SNP_PACKET_SIGNATURE_SIZE)
                return -EBADMSG;
        n = l->payload_size - SNP_PACKET_SIGNATURE_SIZE;
        if (!j || js_set(j, "launch-id", js_hex(l->id, sizeof(l->id))) < 0 ||
                        js_set(j, "secret-header", js_base64(l->header, SNP_PACKET_HEADER_SIZE)) < 0 ||
                        js_set(j, "secret-payload", js_base64(l->payload, n)) < 0 ||
                        js_set(j, "signature", js_base64(l->payload + n, SNP_PACKET_SIGNATURE_SIZE)) < 0)
                return -ENOMEM;
        return reply_json(reply, 200, TAKE_PTR(j));
}

int service_send_packet(const ServiceCall *c, const StoreLaunch *l) {
        _cleanup_js_ Json *j = NULL;

        if (coco_of(c->reg.mode)->guest_report)
                return send_snp(l, c->reply);
        j = js_object();
        if (!j || js_set(j, "launch-id", js_hex(l->id, sizeof(l->id))) < 0 ||
                        js_set(j, "secret-header", js_base64(l->header, sizeof(l->header))) < 0 ||
                        js_set(j, "secret-payload", js_base64(l->payload, l->payload_size)) < 0 ||
                        js_set(j, "secret-table", js_base64(l->payload, l->payload_size)) < 0)
                return -ENOMEM;
        return reply_json(c->reply, 200, TAKE_PTR(j));
}
