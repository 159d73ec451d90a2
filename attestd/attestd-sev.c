/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The two requests of hosts for SEV and SEV-ES. `launch` makes fresh keys for one launch on one verified platform; the answer is of use to that
 * platform's secure processor only. `validate` compares a measurement with the registered launches under this launch's key, and answers with
 * the packet with the secrets. The packet is stored before it is sent: asked again with the same measurement, the service sends the same bytes,
 * so that a lost answer costs nothing and nothing is released twice. Nothing that the host says is believed but what the measurement covers. */

#include <errno.h>
#include <string.h>

#include "attest-launch.h"
#include "attest-secret.h"
#include "attest-session.h"
#include "attestd-service.h"
#include "attestd-sev.h"
#include "bytes.h"
#include "encode.h"
#include "strutil.h"

#define API_WITH_MEASURE                                                                                    \
        0x0011u /* 0.17: from here on the packet's MAC covers the measurement (AMD 55766, LAUNCH_SECRET) */

#define LAUNCHES_TRIED                                                                                      \
        64u /* of each state, without a launch-id: each costs an HMAC for each accepted digest */
#define RELEASED_COMPARED 256u /* packets that were given out */

typedef struct Claim {
        const ServiceCall *call;
        bool has_launch_id;
        uint8_t launch_id[LAUNCH_ID_SIZE];
        uint8_t api_major, api_minor, build;
        uint8_t measurement[LAUNCH_MEASURE_SIZE];
        StoreLaunch found; /* owned */
        SecretBuf keys;    /* owned: of `found`, if it fits */
} Claim;

static void claim_done(Claim *c) {
        store_launch_done(&c->found);
        secret_buf_done(&c->keys);
}

static int malformed(Reply *reply, const char *what) {
        return reply_problem(reply, 400, "malformed", "Malformed request", "%s", what);
}

static int read_claim(const Json *j, Claim *c, Reply *reply) {
        const struct {
                const char *name;
                uint8_t *to;
        } numbers[] = {
                { "api-major", &c->api_major },
                { "api-minor", &c->api_minor },
                { "build-id", &c->build },
        };
        static const Base64Member measurement = { "measurement", LAUNCH_MEASURE_SIZE, LAUNCH_MEASURE_SIZE };
        _cleanup_free_ uint8_t *data = NULL;
        const Json *id = js_get(j, "launch-id");
        size_t size;
        int r;

        FOREACH_ARRAY(n, numbers, ELEMENTSOF(numbers)) {
                uint64_t v;

                if (js_u64_value(js_get(j, n->name), &v) < 0 || v > UINT8_MAX)
                        return reply_problem(reply, 400, "malformed", "Malformed request",
                                        "%s: expected a number from 0 to 255", n->name);
                *n->to = (uint8_t) v;
        }
        if (id) {
                if (!js_string_value(id) ||
                                hex_decode_exact(js_string_value(id), c->launch_id, LAUNCH_ID_SIZE) < 0)
                        return malformed(reply, "launch-id: expected 32 hexadecimal digits");
                c->has_launch_id = true;
        }
        r = service_base64(j, &measurement, &data, &size, reply);
        if (r > 0)
                memcpy(c->measurement, data, LAUNCH_MEASURE_SIZE);
        return r;
}

/* Tries each accepted digest under the launch's key, always all of them. 1 fits, 0 does not. */
static int claim_fits(Claim *c, const StoreLaunch *l) {
        const Registration *reg = &c->call->reg;
        const DigestList *lists[] = { &reg->sev.digests, &reg->sev.computed, &reg->firmware };
        size_t n_lists = ELEMENTSOF(lists) - !registration_firmware_suffices(reg);
        _cleanup_(secret_buf_done) SecretBuf keys = {};
        SevMeasurement m = {
                .api_major = c->api_major,
                .api_minor = c->api_minor,
                .build = c->build,
                .policy = l->policy,
                .nonce_size = SEV_NONCE_SIZE,
        };
        const VaultPlace place = service_launch_place(l);
        bool fits = false;
        int r = vault_unseal(c->call->s->vault, &place, l->keys, l->keys_size, &keys);

        if (r < 0)
                return r;
        if (keys.size != sizeof(SevKeys))
                return -EBADMSG;
        memcpy(m.nonce, c->measurement + SEV_MEASURE_SIZE, SEV_NONCE_SIZE);
        for (size_t i = 0; i < n_lists; i++)
                FOREACH_ARRAY(d, lists[i]->items, lists[i]->n_items) {
                        Verdict v = VERDICT_UNVERIFIED;

                        memcpy(m.digest, *d, sizeof(m.digest));
                        r = sev_measurement_verify(
                                        ((const SevKeys *) keys.data)->tik, &m, c->measurement, &v);
                        if (r < 0)
                                return r;
                        fits = fits || v == VERDICT_AUTHENTIC;
                }
        if (fits)
                c->keys = TAKE_STRUCT(keys, (SecretBuf) {});
        return fits;
}

/* A copy that outlives the row. */
static int claim_take(Claim *c, const StoreLaunch *l) {
        Store *store = c->call->s->store;

        return store->ops->launch_get(store, l->vm, l->id, &c->found);
}

static int same_packet(void *userdata, const StoreLaunch *l) {
        Claim *c = userdata;
        int r;

        if (!constant_time_equal(l->measurement, c->measurement, LAUNCH_MEASURE_SIZE))
                return 0;
        r = claim_take(c, l);
        return r < 0 ? r : 1;
}

static int waits_and_fits(void *userdata, const StoreLaunch *l) {
        Claim *c = userdata;
        int r = service_launch_expired(c->call->s, &c->call->reg, l) ? 0 : claim_fits(c, l);

        if (r <= 0)
                return r;
        r = claim_take(c, l);
        return r < 0 ? r : 1;
}

static int mismatch(const Claim *c, const char *detail) {
        return reply_problem(
                        c->call->reply, 403, "measurement-mismatch", "Measurement mismatch", "%s", detail);
}

/* Counts against the launch that the host named, unless that is released. */
static int fail(const Claim *c) {
        const Service *s = c->call->s;
        uint64_t left = 0;
        int r = s->store->ops->launch_fail(s->store, &c->found, LAUNCH_FAILURES, service_now(s), &left);

        if (r < 0)
                return r;
        if (left == UINT64_MAX)
                return mismatch(c, "this launch has already received its secrets for another measurement");
        if (left == 0)
                return mismatch(c,
                                "the measurement matches none of the registered launches; the launch failed too often, start again with /launch");
        return mismatch(c,
                        "the measurement matches none of the registered launches under this launch's session: "
                        "firmware, kernel, initrd, command line, number or model of CPUs, API version or build differ; after three failures the launch ends");
}

/* 1: c->found is a launch that may have its secrets and fits, with its keys; else the reply is made. */
static int find_named(Claim *c) {
        int r = service_find_launch(c->call, c->launch_id, c->measurement, &c->found);

        if (r != 1)
                return r > 1 ? fail(c) : r;
        r = claim_fits(c, &c->found);
        return r == 0 ? fail(c) : r;
}

/* Without a launch-id each open launch is tried, those of the same address first. A failure counts against none of them: a client that knows
 * no launch-id must not be able to end the launches of others. */
static int find_any(Claim *c) {
        static const LaunchState waiting[] = { LAUNCH_OPEN, LAUNCH_CONFIRMED, LAUNCH_HELD };
        const Request *q = c->call->q;
        StoreQuery which = {
                .vm = q->id, .state = LAUNCH_RELEASED, .peer = q->peer, .max = RELEASED_COMPARED
        };
        Store *store = c->call->s->store;
        int r = store->ops->launch_each(store, &which, same_packet, c);

        if (r > 0) {
                r = service_send_packet(c->call, &c->found);
                return MIN(r, 0);
        }
        which.max = LAUNCHES_TRIED;
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(waiting); i++) {
                which.state = waiting[i];
                r = store->ops->launch_each(store, &which, waits_and_fits, c);
        }
        return r == 0 ? mismatch(c, "the measurement matches no open launch of this registration") : r;
}

static int check_platform(const Claim *c) {
        const RegistrationSev *sev = &c->call->reg.sev;
        unsigned api = (unsigned) c->api_major << 8 | c->api_minor;
        unsigned min = (unsigned) sev->min_api_major << 8 | (unsigned) sev->min_api_minor;

        if (api >= min && api >= API_WITH_MEASURE && c->build >= sev->min_build)
                return 1;
        return reply_problem(c->call->reply, 403, "platform-too-old", "Platform not accepted",
                        "the secure processor's firmware (API %u.%u, build %u) is older than the registration accepts",
                        c->api_major, c->api_minor, c->build);
}

static int release(Claim *c) {
        _cleanup_(secret_buf_done) SecretBuf table = {};
        const StoreVm *v = &c->call->vm;
        const Service *s = c->call->s;
        const VaultPlace place = service_secrets_place(v->id);
        StoreLaunch *l = &c->found;
        int r = vault_unseal(s->vault, &place, v->sealed, v->sealed_size, &table);

        if (r < 0)
                return r;
        l->payload = malloc(table.size);
        if (!l->payload)
                return -ENOMEM;
        l->payload_size = table.size;
        memcpy(l->measurement, c->measurement, sizeof(l->measurement));
        r = secret_packet_seal((const SevKeys *) c->keys.data, c->measurement, &table, s->random,
                        s->random_data, l->header, l->payload);
        return r < 0 ? r : service_release(c->call, l);
}

int sev_validate(ServiceCall *call) {
        _cleanup_(claim_done) Claim c = { .call = call };
        int r = read_claim(call->body, &c, call->reply);

        if (r > 0)
                r = c.has_launch_id ? find_named(&c) : find_any(&c);
        if (r > 0)
                r = check_platform(&c);
        return r > 0 ? release(&c) : r;
}

int sev_launch(ServiceCall *c) {
        _cleanup_(store_launch_done) StoreLaunch launch = {};
        _cleanup_(secret_buf_done) SecretBuf memory = {};
        _cleanup_free_ SevCert *pdh = malloc(sizeof(SevCert));
        _cleanup_js_ Json *answer = js_object();
        SevSession *session;
        int r;

        if (!pdh || !answer)
                return -ENOMEM;
        r = service_platform(c, pdh);
        if (r <= 0)
                return r;
        r = secret_buf_alloc(&memory, sizeof(SevSession));
        if (r < 0)
                return r;
        session = (SevSession *) memory.data;
        r = sev_session_new(pdh, (uint32_t) c->reg.policy, c->s->random, c->s->random_data, session, NULL);
        if (r >= 0)
                r = service_store_launch(c, &session->keys, sizeof(session->keys), &launch);
        if (r < 0)
                return r;
        if (js_set(answer, "launch-id", js_hex(launch.id, sizeof(launch.id))) < 0 ||
                        js_set(answer, "session", js_base64(session->blob, sizeof(session->blob))) < 0 ||
                        js_set(answer, "owner-cert", js_base64(session->godh, sizeof(session->godh))) < 0 ||
                        js_set(answer, "policy", js_u64(c->reg.policy)) < 0)
                return -ENOMEM;
        return reply_json(c->reply, 200, TAKE_PTR(answer));
}
