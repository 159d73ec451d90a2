/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* As with SEV, the same evidence gets the same bytes again, and other evidence counts as a failure. What a report means is for the scheme's judge. */

#include "attestd-guest.h"

#include <errno.h>
#include <string.h>

#include "attestd-scheme.h"
#include "crypto-hash.h"
#include "encode.h"
#include "strutil.h"

#define CERTS_SIZE_MAX 40000u /* a certificate table has 16 KiB; all in a body of 64 KiB */

static void evidence_done(GuestEvidence *e) {
        free(e->report);
        free(e->certs);
}

int guest_launch(ServiceCall *c) {
        _cleanup_(store_launch_done) StoreLaunch launch = {};
        uint8_t nonce[SNP_PACKET_NONCE_SIZE];
        Json *answer = NULL;
        int r = c->s->random(c->s->random_data, nonce, sizeof(nonce));

        if (r >= 0)
                r = service_store_launch(c, nonce, sizeof(nonce), &launch);
        if (r >= 0)
                r = js_build(&answer, "{s:o, s:o, s:I}", "launch-id", js_hex(launch.id, sizeof(launch.id)),
                                "nonce", js_base64(nonce, sizeof(nonce)), "policy", (int64_t) c->reg.policy);
        return r < 0 ? r : reply_json(c->reply, 200, answer);
}

static int read_evidence(const ServiceCall *c, GuestEvidence *e) {
        static const Base64Member public_key = { "public-key", HPKE_KEY_SIZE, HPKE_KEY_SIZE },
                                  certs = { "certs", 1, CERTS_SIZE_MAX };
        const Scheme *scheme = c->reg.scheme;
        const Base64Member report = { "report", scheme->report_size_min, scheme->report_size_max };
        const Json *body = c->body;
        const char *id = js_string_value(js_get(body, "launch-id"));
        Reply *reply = c->reply;
        _cleanup_free_ uint8_t *key = NULL;
        _cleanup_hash_ Hash *hash = NULL;
        size_t size;
        int r;

        if (!id || hex_decode_exact(id, e->launch_id, sizeof(e->launch_id)) < 0)
                return reply_problem(reply, 400, "malformed", "Malformed request",
                                "launch-id: expected 32 hexadecimal digits");
        static_assert(LAUNCH_ID_SIZE == SNP_PACKET_ID_SIZE, "the same thing");
        memcpy(e->binding.launch_id, e->launch_id, sizeof(e->launch_id));
        r = service_base64(body, &public_key, &key, &size, reply);
        if (r <= 0)
                return r;
        memcpy(e->binding.key, key, HPKE_KEY_SIZE);
        r = service_base64(body, &report, &e->report, &e->report_size, reply);
        if (r > 0 && js_get(body, "certs"))
                r = service_base64(body, &certs, &e->certs, &e->certs_size, reply);
        if (r <= 0)
                return r;
        static_assert(SHA384_SIZE == LAUNCH_MEASURE_SIZE, "fits the store");
        r = hash_new(HASH_SHA384, &hash);
        if (r >= 0)
                r = hash_update(hash, e->report, e->report_size);
        if (r >= 0)
                r = hash_update(hash, e->binding.key, HPKE_KEY_SIZE);
        if (r >= 0)
                r = hash_final(hash, e->digest);
        return r < 0 ? r : 1;
}

int guest_refuse(const ServiceCall *c, const StoreLaunch *l, const char *code, const char *detail) {
        uint64_t left = 0;
        int r = c->s->store->ops->launch_fail(c->s->store, l, LAUNCH_FAILURES, service_now(c->s), &left);

        if (r < 0)
                return r;
        return reply_problem(c->reply, 403, code, "Guest not accepted", "%s%s", detail,
                        left == UINT64_MAX ? ""
                                        : left == 0
                                        ? "; the launch failed too often, start again with /launch"
                                        : "; after three failures the launch ends");
}

bool guest_violated(const Violations *v, const char *rule) {
        FOREACH_ARRAY(x, v->list, v->n)
                if (streq(x->rule, rule))
                        return true;
        return false;
}

static int load_nonce(const Service *s, const StoreLaunch *l, SnpBinding *b) {
        _cleanup_(secret_buf_done) SecretBuf nonce = {};
        const VaultPlace place = service_launch_place(l);
        int r = vault_unseal(s->vault, &place, l->keys, l->keys_size, &nonce);

        if (r < 0)
                return r;
        if (nonce.size != sizeof(b->nonce))
                return -EBADMSG;
        memcpy(b->nonce, nonce.data, sizeof(b->nonce));
        return 0;
}

/* The payload as it is stored has the signature after it. */
static int seal(const ServiceCall *c, const GuestEvidence *e, StoreLaunch *l) {
        const StoreVm *v = &c->vm;
        const Service *s = c->s;
        _cleanup_(secret_buf_done) SecretBuf secrets = {};
        _cleanup_(snp_packet_done) SnpPacket p = {};
        _cleanup_free_ uint8_t *whole = NULL;
        _cleanup_ec_key_ EcKey *signer = NULL;
        const VaultPlace place = service_secrets_place(v->id);
        int r = vault_unseal(s->vault, &place, v->sealed, v->sealed_size, &secrets);

        if (r >= 0)
                r = vault_signer(s->vault, &signer);
        static_assert(SNP_PACKET_HEADER_SIZE <= sizeof(l->header), "fits the store");
        if (r >= 0)
                r = snp_packet_seal(&e->binding, signer, &secrets, s->random, s->random_data, &p);
        if (r < 0)
                return r;
        whole = malloc(p.size + sizeof(p.signature));
        if (!whole)
                return -ENOMEM;
        memcpy(l->header, p.header, sizeof(p.header));
        memcpy(whole, p.payload, p.size);
        memcpy(whole + p.size, p.signature, sizeof(p.signature));
        free(l->payload);
        l->payload = TAKE_PTR(whole);
        l->payload_size = p.size + sizeof(p.signature);
        memcpy(l->measurement, e->digest, sizeof(l->measurement));
        return 0;
}

int guest_validate(ServiceCall *c) {
        _cleanup_(store_launch_done) StoreLaunch l = {};
        _cleanup_(evidence_done) GuestEvidence e = {};
        int r = read_evidence(c, &e);

        if (r > 0)
                r = service_find_launch(c, e.launch_id, e.digest, &l);
        if (r == 2)
                return guest_refuse(c, &l, "measurement-mismatch",
                                "this launch has already received its secrets for another report or another key");
        if (r <= 0)
                return r;
        r = load_nonce(c->s, &l, &e.binding);
        if (r >= 0)
                r = c->reg.scheme->judge(c, &l, &e);
        if (r <= 0)
                return r;
        r = seal(c, &e, &l);
        if (r == -EBADMSG)
                return guest_refuse(c, &l, "binding-mismatch", "public-key is not an X25519 public key");
        return r < 0 ? r : service_release(c, &l);
}
