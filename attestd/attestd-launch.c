/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* POST /vm/ID/launch: fresh keys for one launch on one verified platform. The answer is of use to that platform's secure
 * processor only. */

#include <errno.h>
#include <string.h>

#include "attest-session.h"
#include "attestd-service.h"
#include "encode.h"
#include "strutil.h"

/* What the host believes to launch must not differ from what was registered; it need not say. */
int service_check_wishes(const Registration *reg, const Json *body, Reply *reply) {
        const Json *scheme = js_get(body, "scheme"), *policy = js_get(body, "policy");
        uint64_t v;

        if (scheme && !streq_ptr(js_string_value(scheme), reg->scheme))
                return reply_problem(reply, 409, "scheme-mismatch", "Registered otherwise",
                                "scheme: this was registered with another one");
        if (policy && (js_u64_value(policy, &v) < 0 || v != reg->policy))
                return reply_problem(reply, 409, "policy-mismatch", "Registered otherwise",
                                "policy: this was registered with another one; leave it out to be told");
        return 1;
}

int service_store_launch(const Service *s, const Request *q, const Registration *reg, const void *keys,
                size_t keys_size, StoreLaunch *ret) {
        _cleanup_(store_launch_done)
                        StoreLaunch l = { .created = service_now(s), .policy = (uint32_t) reg->policy };
        const StoreLimits limits = {
                .expired = l.created - LAUNCH_TTL_SECONDS,
                .open_max = LAUNCH_OPEN_MAX,
                .window = l.created - (int64_t) reg->instance_window,
                .releases_max = reg->max_instances,
                .hold_expired = l.created - (int64_t) reg->hold_seconds,
        };
        int r = s->random(s->random_data, l.id, sizeof(l.id));

        if (r < 0)
                return r;
        l.vm = strdup(q->id);
        if (!l.vm)
                return -ENOMEM;
        r = vault_seal(s->vault, "launch", l.id, sizeof(l.id), keys, keys_size, s->random, s->random_data,
                        &l.keys, &l.keys_size);
        if (r >= 0)
                r = s->store->ops->launch_add(s->store, &l, &limits);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(l, (StoreLaunch) {});
        return 0;
}

int handle_launch(const Service *s, const Request *q, Reply *reply) {
        _cleanup_(registration_done) Registration reg = {};
        _cleanup_(store_launch_done) StoreLaunch launch = {};
        _cleanup_(secret_buf_done) SecretBuf memory = {};
        _cleanup_(store_vm_done) StoreVm v = {};
        _cleanup_free_ SevCert *pdh = NULL;
        _cleanup_js_ Json *body = NULL, *answer = js_object();
        SevSession *session;
        int r;

        r = service_load(s, q, &v, &reg, reply);
        if (r > 0)
                r = service_read_body(q, &body, reply);
        if (r > 0)
                r = service_check_wishes(&reg, body, reply);
        if (r <= 0)
                return r;
        if (reg.snp)
                return service_launch_snp(s, q, &reg, reply);
        pdh = malloc(sizeof(SevCert));
        if (!pdh || !answer)
                return -ENOMEM;
        r = service_platform(s, &reg, body, pdh, reply);
        if (r <= 0)
                return r;
        r = secret_buf_alloc(&memory, sizeof(SevSession));
        if (r < 0)
                return r;
        session = (SevSession *) memory.data;
        r = sev_session_new(pdh, (uint32_t) reg.policy, s->random, s->random_data, session, NULL);
        if (r >= 0)
                r = service_store_launch(s, q, &reg, &session->keys, sizeof(session->keys), &launch);
        if (r < 0)
                return r;
        if (js_set(answer, "launch-id", js_hex(launch.id, sizeof(launch.id))) < 0 ||
                        js_set(answer, "session", js_base64(session->blob, sizeof(session->blob))) < 0 ||
                        js_set(answer, "owner-cert", js_base64(session->godh, sizeof(session->godh))) < 0 ||
                        js_set(answer, "policy", js_u64(reg.policy)) < 0)
                return -ENOMEM;
        return reply_json(reply, 200, TAKE_PTR(answer));
}
