/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The two requests for SEV-SNP, which come from the running guest through its host. `launch` gives a nonce; `validate` verifies a report that
 * names that nonce and a key of the guest's, and seals the secrets to that key (attest/snp-packet.h). As with SEV, the same evidence gets the
 * same bytes again, and other evidence counts as a failure. Only certificates that are here or in the request decide: nothing is downloaded
 * while a guest waits. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attestd-revocation.h"
#include "attestd-service.h"
#include "attestd-sev.h"
#include "crypto-hash.h"
#include "encode.h"
#include "error.h"
#include "snp-evidence.h"
#include "snp-kds.h"
#include "snp-packet.h"
#include "snp-policy.h"
#include "strutil.h"

#define CERTS_SIZE_MAX 40000u /* a certificate table has 16 KiB; all in a body of 64 KiB */

typedef struct Evidence {
        uint8_t launch_id[LAUNCH_ID_SIZE];
        SnpBinding binding;
        uint8_t *report, *certs; /* owned */
        size_t report_size, certs_size;
        uint8_t digest[LAUNCH_MEASURE_SIZE]; /* of report and key: what makes it the same evidence */
} Evidence;

static void evidence_done(Evidence *e) {
        free(e->report);
        free(e->certs);
}

int snp_launch(ServiceCall *c) {
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

static int read_evidence(const Json *body, Evidence *e, Reply *reply) {
        static const Base64Member public_key = { "public-key", HPKE_KEY_SIZE, HPKE_KEY_SIZE },
                                  report = { "report", SNP_REPORT_SIZE, SNP_REPORT_SIZE },
                                  certs = { "certs", 1, CERTS_SIZE_MAX };
        const char *id = js_string_value(js_get(body, "launch-id"));
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

/* The host says what comes with the report: what cannot be read is left out. */
static int fill_pool(const Service *s, const Evidence *e, SnpCollateral *pool) {
        SnpCertTable table;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < s->n_snp_files; i++)
                r = snp_collateral_add(pool, s->snp_files[i].data, s->snp_files[i].size,
                                s->snp_files[i].name,
                                /* named= */ false, NULL);
        if (r < 0 || !e->certs)
                return r;
        if (snp_cert_table_decode(e->certs, e->certs_size, &table, NULL) >= 0)
                return snp_collateral_add_table(pool, &table, "the request's certificate table");
        r = snp_collateral_add(pool, e->certs, e->certs_size, "the request", /* named= */ false, NULL);
        return r == -ENOMEM ? r : 0;
}

/* Verifies, looks into the cache for what is missing, and verifies again. */
static int verify(const Service *s, const Evidence *e, SnpCollateral *pool, SnpResult *ret) {
        const SnpKds kds = { .cache = s->kds_cache, .offline = true, .now = service_now(s) };
        const SnpVerifyInput in = {
                .report = e->report,
                .report_size = e->report_size,
                .collateral = pool,
                .trust = s->snp_trust,
                .now = service_now(s),
                .generation = _SNP_GENERATION_INVALID,
                .crl = s->crl,
        };
        int r = s->kds_cache ? snp_kds_verify(&kds, &in, ret) : snp_verify(&in, ret);

        if (r >= 0)
                r = service_revocation(s, ret, pool);
        if (r <= 0)
                return r;
        snp_result_done(ret);
        *ret = (SnpResult) {};
        return snp_verify(&in, ret);
}

static int refuse(const ServiceCall *c, const StoreLaunch *l, const char *code, const char *detail) {
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

static bool violated(const Violations *v, const char *rule) {
        FOREACH_ARRAY(x, v->list, v->n)
                if (streq(x->rule, rule))
                        return true;
        return false;
}

/* The names of the rules, never what they require. */
static int refuse_policy(const ServiceCall *c, const StoreLaunch *l, const Violations *v) {
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *detail = NULL;
        int r;

        if (violated(v, "report_data"))
                return refuse(c, l, "binding-mismatch",
                                "report_data was not computed from this launch's nonce and id and from public-key");
        if (violated(v, "measurement"))
                return refuse(c, l, "measurement-mismatch",
                                "the measurement matches none of the registered launches: firmware, kernel, "
                                "initrd, "
                                "command line, number or model of CPUs, or guest features differ");
        text_put(&t, "the report does not meet the registered policy:");
        FOREACH_ARRAY(x, v->list, v->n)
                text_putf(&t, " %s", x->rule);
        r = text_finish(&t, &detail);
        return r < 0 ? r : refuse(c, l, "policy-not-met", detail);
}

/* Has what is missing fetched: 1 it may come, after *ret_seconds; 0 it is not available. */
static int want(const ServiceCall *c, const SnpResult *result, unsigned *ret_seconds) {
        const Service *s = c->s;
        SnpKdsItem items[SNP_KDS_ITEMS_MAX];
        size_t n = 0;
        bool coming = false;

        if (!s->kds_cache || !s->fetch)
                return 0;
        snp_kds_missing(result, _SNP_GENERATION_INVALID, items, &n);
        FOREACH_ARRAY(item, items, n) {
                _cleanup_free_ char *name = NULL, *path = NULL, *what = NULL;
                unsigned seconds = 1;
                int r = snp_kds_file(item, &name, NULL);

                if (r >= 0)
                        r = snp_kds_path(item, &path, NULL);
                if (r < 0)
                        return r == -ENOMEM ? r : 0; /* a masked chip */
                if (asprintf(&what, "%s %s", name, path) < 0) {
                        what = NULL;
                        return -ENOMEM;
                }
                r = s->fetch(s->fetch_data, what, c->q->peer, &seconds);
                if (r < 0)
                        return r;
                if (r > 0)
                        *ret_seconds = coming ? MAX(*ret_seconds, seconds) : seconds;
                coming = coming || r > 0;
        }
        return coming;
}

/* 1: the report is authentic and meets the policy; else the reply is made. */
static int judge(const ServiceCall *c, const StoreLaunch *l, const Evidence *e) {
        const Service *s = c->s;
        _cleanup_(snp_collateral_done) SnpCollateral pool = {};
        _cleanup_(violations_done) Violations violations = {};
        _cleanup_(snp_result_done) SnpResult result = {};
        _cleanup_free_ char *detail = NULL;
        uint8_t data[SNP_PACKET_DATA_SIZE];
        unsigned seconds = 1;
        int r = fill_pool(s, e, &pool);

        if (r >= 0)
                r = verify(s, e, &pool, &result);
        if (r < 0)
                return r;
        r = result.authentic ? 0 : want(c, &result, &seconds);
        if (r < 0)
                return r;
        if (r > 0) {
                c->reply->retry_after = seconds;
                return reply_problem(c->reply, 503, "vcek-pending", "Certificate pending",
                                "AMD's certificates for this chip are being downloaded; send the same request again");
        }
        if (result.verdict == VERDICT_COLLATERAL_UNAVAILABLE)
                return reply_problem(c->reply, 424, "collateral-missing", "Certificate missing",
                                "the report's certificate chain is incomplete (step %s): "
                                "send the VCEK or VLEK and the ASK in certs, or ask the service's operator to add them",
                                snp_step_to_string(result.step));
        if (!result.authentic) {
                if (asprintf(&detail, "the report is not authentic, step %s",
                                    snp_step_to_string(result.step)) < 0) {
                        detail = NULL;
                        return -ENOMEM;
                }
                return refuse(c, l, "report-not-authentic", detail);
        }
        r = snp_binding_report_data(&e->binding, data);
        if (r >= 0)
                r = snp_policy_accept(c->reg.snp.policy, SNP_FIELD_REPORT_DATA, data, NULL);
        if (r >= 0)
                r = snp_policy_judge(c->reg.snp.policy, &result, &violations, NULL);
        if (r < 0)
                return r;
        return result.verdict == VERDICT_VERIFIED ? 1 : refuse_policy(c, l, &violations);
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
static int seal(const ServiceCall *c, const Evidence *e, StoreLaunch *l) {
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

int snp_validate(ServiceCall *c) {
        _cleanup_(store_launch_done) StoreLaunch l = {};
        _cleanup_(evidence_done) Evidence e = {};
        int r = read_evidence(c->body, &e, c->reply);

        if (r > 0)
                r = service_find_launch(c, e.launch_id, e.digest, &l);
        if (r == 2)
                return refuse(c, &l, "measurement-mismatch",
                                "this launch has already received its secrets for another report or another key");
        if (r <= 0)
                return r;
        r = load_nonce(c->s, &l, &e.binding);
        if (r >= 0)
                r = judge(c, &l, &e);
        if (r <= 0)
                return r;
        r = seal(c, &e, &l);
        if (r == -EBADMSG)
                return refuse(c, &l, "binding-mismatch", "public-key is not an X25519 public key");
        return r < 0 ? r : service_release(c, &l);
}
