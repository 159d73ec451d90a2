/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* POST /vm/ID/validate, for SEV and SEV-ES: a measurement in, and if it is one of the registered launches under this launch's key, the packet with the
 * secrets out. The packet is stored before it is sent: asked again with the same measurement, the service sends the same bytes, so that a
 * lost answer costs nothing and nothing is released twice. Nothing that the host says is believed but what the measurement covers. */

#include <errno.h>
#include <string.h>

#include "attest-launch.h"
#include "attest-secret.h"
#include "attestd-service.h"
#include "bytes.h"
#include "encode.h"
#include "strutil.h"

#define API_WITH_MEASURE                                                                                    \
        0x0011u /* 0.17: from here on the packet's MAC covers the measurement (AMD 55766, LAUNCH_SECRET) */

typedef struct Claim {
        const Service *s;
        const Registration *reg;
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
        return reply_problem(reply, 400, "malformed", "The body is not valid", "%s", what);
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
        _cleanup_free_ uint8_t *data = NULL;
        const Json *id = js_get(j, "launch-id");
        size_t size;
        int r;

        FOREACH_ARRAY(n, numbers, ELEMENTSOF(numbers)) {
                uint64_t v;

                if (js_u64_value(js_get(j, n->name), &v) < 0 || v > UINT8_MAX)
                        return reply_problem(reply, 400, "malformed", "The body is not valid",
                                        "%s: expected a number of 0 to 255", n->name);
                *n->to = (uint8_t) v;
        }
        if (id) {
                if (!js_string_value(id) ||
                                hex_decode_exact(js_string_value(id), c->launch_id, LAUNCH_ID_SIZE) < 0)
                        return malformed(reply, "launch-id: expected 32 hexadecimal digits");
                c->has_launch_id = true;
        }
        r = service_base64(j, "measurement", LAUNCH_MEASURE_SIZE, LAUNCH_MEASURE_SIZE, &data, &size, reply);
        if (r > 0)
                memcpy(c->measurement, data, LAUNCH_MEASURE_SIZE);
        return r;
}

/* Tries each accepted digest under the launch's key, always all of them. 1 fits, 0 does not. */
static int claim_fits(Claim *c, const StoreLaunch *l) {
        const DigestList *lists[] = { &c->reg->digests, &c->reg->computed, &c->reg->firmware };
        size_t n_lists = ELEMENTSOF(lists) - !registration_firmware_suffices(c->reg);
        _cleanup_(secret_buf_done) SecretBuf keys = {};
        SevMeasurement m = {
                .api_major = c->api_major,
                .api_minor = c->api_minor,
                .build = c->build,
                .policy = l->policy,
                .nonce_size = SEV_NONCE_SIZE,
        };
        bool fits = false;
        int r = vault_unseal(c->s->vault, "launch", l->id, sizeof(l->id), l->keys, l->keys_size, &keys);

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
        return c->s->store->ops->launch_get(c->s->store, l->vm, l->id, &c->found);
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
        int r = service_launch_expired(c->s, c->reg, l) ? 0 : claim_fits(c, l);

        if (r <= 0)
                return r;
        r = claim_take(c, l);
        return r < 0 ? r : 1;
}

static int mismatch(Reply *reply, const char *detail) {
        return reply_problem(reply, 403, "measurement-mismatch", "The launch is not the registered one",
                        "%s", detail);
}

/* Counts against the launch that the host named. */
static int fail(Claim *c, Reply *reply) {
        uint64_t left = 0;
        int r = c->s->store->ops->launch_fail(
                        c->s->store, &c->found, LAUNCH_FAILURES, service_now(c->s), &left);

        if (r < 0)
                return r;
        if (left == 0)
                return mismatch(reply,
                                "the measurement is not one of the registered launches; this launch is used "
                                "up, start again with /launch");
        return mismatch(reply,
                        "the measurement is not one of the registered launches under this launch's session: "
                        "other "
                        "firmware, kernel, initrd, command line, number or model of CPUs, API version or "
                        "build; "
                        "each failure brings the launch nearer to its end");
}

/* 1: c->found is a launch that may have its secrets and fits, with its keys; else the reply is made. */
static int find_named(Claim *c, const char *vm, Reply *reply) {
        int r = service_find_launch(c->s, c->reg, vm, c->launch_id, c->measurement, &c->found, reply);

        if (r != 1)
                return r > 1 ? fail(c, reply) : r;
        r = claim_fits(c, &c->found);
        return r == 0 ? fail(c, reply) : r;
}

/* Without a launch-id each open launch is tried. A failure counts against none of them: whoever knows no launch-id must not be
 * able to end the launches of others. */
static int find_any(Claim *c, const char *vm, Reply *reply) {
        static const LaunchState waiting[] = { LAUNCH_OPEN, LAUNCH_CONFIRMED, LAUNCH_HELD };
        const StoreOps *ops = c->s->store->ops;
        int r = ops->launch_each(c->s->store, vm, LAUNCH_RELEASED, same_packet, c);

        if (r > 0)
                return service_send_packet(c->reg, &c->found, reply);
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(waiting); i++)
                r = ops->launch_each(c->s->store, vm, waiting[i], waits_and_fits, c);
        return r == 0 ? mismatch(reply, "the measurement fits no open launch of this registration") : r;
}

static int check_platform(Claim *c, Reply *reply) {
        unsigned api = (unsigned) c->api_major << 8 | c->api_minor;
        unsigned min = (unsigned) c->reg->min_api_major << 8 | (unsigned) c->reg->min_api_minor;

        if (api >= min && api >= API_WITH_MEASURE && c->build >= c->reg->min_build)
                return 1;
        return reply_problem(reply, 403, "platform-too-old", "The platform is not accepted",
                        "the secure processor's firmware (API %u.%u, build %u) is older than the owner "
                        "accepts",
                        c->api_major, c->api_minor, c->build);
}

static int release(Claim *c, const StoreVm *v, Reply *reply) {
        _cleanup_(secret_buf_done) SecretBuf table = {};
        const Service *s = c->s;
        StoreLaunch *l = &c->found;
        int r;

        r = vault_unseal(s->vault, "secrets", v->id, strlen(v->id), v->sealed, v->sealed_size, &table);
        if (r < 0)
                return r;
        l->payload = malloc(table.size);
        if (!l->payload)
                return -ENOMEM;
        l->payload_size = table.size;
        memcpy(l->measurement, c->measurement, sizeof(l->measurement));
        r = secret_packet_seal((const SevKeys *) c->keys.data, c->measurement, &table, s->random,
                        s->random_data, l->header, l->payload);
        return r < 0 ? r : service_release(s, c->reg, l, reply);
}

int handle_validate(const Service *s, const Request *q, Reply *reply) {
        _cleanup_(registration_done) Registration reg = {};
        _cleanup_(store_vm_done) StoreVm v = {};
        _cleanup_(claim_done) Claim c = { .s = s, .reg = &reg };
        _cleanup_js_ Json *body = NULL;
        uint64_t policy;
        int r;

        r = service_load(s, q, &v, &reg, reply);
        if (r > 0)
                r = service_read_body(q, &body, reply);
        if (r > 0 && reg.snp)
                return service_validate_snp(s, q, &v, &reg, body, reply);
        if (r > 0)
                r = read_claim(body, &c, reply);
        if (r <= 0)
                return r;
        if (js_get(body, "policy") &&
                        (js_u64_value(js_get(body, "policy"), &policy) < 0 || policy != reg.policy))
                return reply_problem(reply, 409, "policy-mismatch", "Registered otherwise",
                                "policy: this was registered with another one");
        r = c.has_launch_id ? find_named(&c, q->id, reply) : find_any(&c, q->id, reply);
        if (r <= 0 || reply->status != 0)
                return r < 0 ? r : 0;
        r = check_platform(&c, reply);
        return r <= 0 ? r : release(&c, &v, reply);
}
