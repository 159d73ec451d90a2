/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the schemes share when a launch is found, and when its secrets go out. The packet is stored before it is sent, so that the same
 * evidence gets the same bytes again. */

#include <errno.h>
#include <string.h>

#include "attestd-service.h"
#include "secret.h"
#include "snp-packet.h"
#include "strutil.h"

int service_find_launch(const Service *s, const Registration *reg, const char *vm,
                const uint8_t id[static LAUNCH_ID_SIZE], const uint8_t evidence[static LAUNCH_MEASURE_SIZE],
                StoreLaunch *ret, Reply *reply) {
        int r = s->store->ops->launch_get(s->store, vm, id, ret);

        if (r == -ENOENT)
                return reply_problem(reply, 404, "unknown-launch", "No such launch",
                                "launch-id: not of this registration, or forgotten: a launch is kept for %d "
                                "minutes",
                                LAUNCH_TTL_SECONDS / 60);
        if (r < 0)
                return r;
        if (ret->state == LAUNCH_BURNED)
                return reply_problem(reply, 410, "launch-burned", "The launch is used up",
                                "it had %u failures, or its owner has refused it; start again with /launch",
                                LAUNCH_FAILURES);
        if (ret->state == LAUNCH_RELEASED)
                return constant_time_equal(ret->measurement, evidence, LAUNCH_MEASURE_SIZE)
                                ? service_send_packet(reg, ret, reply)
                                : 2;
        if (service_launch_expired(s, reg, ret))
                return reply_problem(reply, 410, "launch-expired", "The launch took too long",
                                "a launch is open for %d minutes, or as long as its owner may take to "
                                "confirm it; "
                                "start again with /launch",
                                LAUNCH_TTL_SECONDS / 60);
        return 1;
}

int service_release(const Service *s, const Registration *reg, StoreLaunch *l, Reply *reply) {
        int64_t now = service_now(s);
        const StoreLimits limits = {
                .window = now - (int64_t) reg->instance_window,
                .releases_max = reg->max_instances,
        };
        int r = s->store->ops->launch_release(s->store, l, &limits, now);

        if (r == -EDQUOT && streq_ptr(reg->over_limit, "hold"))
                return service_hold(s, reg, l, reply);
        if (r == -EDQUOT) {
                reply->retry_after = (unsigned) MIN(reg->instance_window, 3600u);
                return reply_problem(reply, 429, "too-many-instances", "Not now",
                                "the owner allows no more instances of this at the moment");
        }
        return r < 0 ? r : service_send_packet(reg, l, reply);
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

int service_send_packet(const Registration *reg, const StoreLaunch *l, Reply *reply) {
        _cleanup_js_ Json *j = NULL;

        if (reg->snp)
                return send_snp(l, reply);
        j = js_object();
        if (!j || js_set(j, "launch-id", js_hex(l->id, sizeof(l->id))) < 0 ||
                        js_set(j, "secret-header", js_base64(l->header, sizeof(l->header))) < 0 ||
                        js_set(j, "secret-payload", js_base64(l->payload, l->payload_size)) < 0 ||
                        js_set(j, "secret-table", js_base64(l->payload, l->payload_size)) < 0)
                return -ENOMEM;
        return reply_json(reply, 200, TAKE_PTR(j));
}
