/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The two requests for SNP, which come out of the running guest through whoever passes bytes on: `launch` gives a nonce, `validate` judges a
 * report that names that nonce and a key of the guest's, and seals the secrets to that key (attest/snp-packet.h). As with SEV, the same
 * evidence gets the same bytes again, and other evidence counts as a failure. Only certificates that are here or in the request decide:
 * nothing is fetched while a guest waits. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attestd-service.h"
#include "crypto-hash.h"
#include "encode.h"
#include "error.h"
#include "snp-evidence.h"
#include "snp-kds.h"
#include "snp-packet.h"
#include "snp-policy.h"
#include "strutil.h"

#define KDS_FETCH_SECONDS 2u
#define CERTS_SIZE_MAX    40000u /* a certificate table has 16 KiB; all in a body of 64 KiB */

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

int service_launch_snp(const Service *s, const Request *q, const Registration *reg, Reply *reply) {
        _cleanup_(store_launch_done) StoreLaunch launch = {};
        uint8_t nonce[SNP_PACKET_NONCE_SIZE];
        Json *answer = NULL;
        int r = s->random(s->random_data, nonce, sizeof(nonce));

        if (r >= 0)
                r = service_store_launch(s, q, reg, nonce, sizeof(nonce), &launch);
        if (r >= 0)
                r = js_build(&answer, "{s:o, s:o, s:I}", "launch-id", js_hex(launch.id, sizeof(launch.id)),
                                "nonce", js_base64(nonce, sizeof(nonce)), "policy", (int64_t) reg->policy);
        return r < 0 ? r : reply_json(reply, 200, answer);
}

static int read_evidence(const Json *body, Evidence *e, Reply *reply) {
        const char *id = js_string_value(js_get(body, "launch-id"));
        _cleanup_free_ uint8_t *key = NULL;
        _cleanup_hash_ Hash *hash = NULL;
        size_t size;
        int r;

        if (!id || hex_decode_exact(id, e->launch_id, sizeof(e->launch_id)) < 0)
                return reply_problem(reply, 400, "malformed", "The body is not valid",
                                "launch-id: expected 32 hexadecimal digits");
        static_assert(LAUNCH_ID_SIZE == SNP_PACKET_ID_SIZE, "the same thing");
        memcpy(e->binding.launch_id, e->launch_id, sizeof(e->launch_id));
        r = service_base64(body, "public-key", HPKE_KEY_SIZE, HPKE_KEY_SIZE, &key, &size, reply);
        if (r <= 0)
                return r;
        memcpy(e->binding.key, key, HPKE_KEY_SIZE);
        r = service_base64(body, "report", SNP_REPORT_SIZE, SNP_REPORT_SIZE, &e->report, &e->report_size,
                        reply);
        if (r > 0 && js_get(body, "certs"))
                r = service_base64(body, "certs", 1, CERTS_SIZE_MAX, &e->certs, &e->certs_size, reply);
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

/* What comes with the report is the host's words: what cannot be read is left out. */
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
        };

        return s->kds_cache ? snp_kds_verify(&kds, &in, ret) : snp_verify(&in, ret);
}

static int refuse(
                const Service *s, const StoreLaunch *l, Reply *reply, const char *code, const char *detail) {
        uint64_t left = 0;
        int r = s->store->ops->launch_fail(s->store, l, LAUNCH_FAILURES, service_now(s), &left);

        if (r < 0)
                return r;
        return reply_problem(reply, 403, code, "The guest is not the registered one", "%s; %s", detail,
                        left == 0 ? "this launch is used up, start again with /launch"
                                  : "each failure brings the launch nearer to its end");
}

static bool violated(const SnpViolations *v, const char *rule) {
        FOREACH_ARRAY(x, v->list, v->n)
                if (streq(x->rule, rule))
                        return true;
        return false;
}

/* The names of the rules: never what they ask for. */
static int refuse_policy(const Service *s, const StoreLaunch *l, const SnpViolations *v, Reply *reply) {
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *detail = NULL;
        int r;

        if (violated(v, "report_data"))
                return refuse(s, l, reply, "binding-mismatch",
                                "report_data is not made of this launch's nonce and id and of public-key");
        if (violated(v, "measurement"))
                return refuse(s, l, reply, "measurement-mismatch",
                                "the measurement is not one of the registered launches: other firmware, "
                                "kernel, "
                                "initrd, command line, number or model of CPUs, or guest features");
        text_put(&t, "the report does not meet what its owner asks of:");
        FOREACH_ARRAY(x, v->list, v->n)
                text_putf(&t, " %s", x->rule);
        r = text_finish(&t, &detail);
        return r < 0 ? r : refuse(s, l, reply, "policy-not-met", detail);
}

/* Has what is missing fetched: 1 it may come, 0 it is not to be had. */
static int want(const Service *s, const SnpResult *result) {
        SnpKdsItem items[SNP_KDS_ITEMS_MAX];
        size_t n = 0;
        bool coming = false;

        if (!s->kds_cache || !s->kds_fetch)
                return 0;
        snp_kds_missing(result, _SNP_GENERATION_INVALID, items, &n);
        FOREACH_ARRAY(item, items, n) {
                _cleanup_free_ char *name = NULL, *path = NULL, *what = NULL;
                int r = snp_kds_file(item, &name, NULL);

                if (r >= 0)
                        r = snp_kds_path(item, &path, NULL);
                if (r < 0)
                        return r == -ENOMEM ? r : 0; /* a masked chip */
                if (asprintf(&what, "%s %s", name, path) < 0) {
                        what = NULL;
                        return -ENOMEM;
                }
                r = s->kds_fetch(s->kds_fetch_data, what);
                if (r < 0)
                        return r;
                coming = coming || r > 0;
        }
        return coming;
}

/* 1: the report is genuine and says what it must; else the reply is made. */
static int judge(const Service *s, const Registration *reg, const StoreLaunch *l, const Evidence *e,
                Reply *reply) {
        _cleanup_(snp_collateral_done) SnpCollateral pool = {};
        _cleanup_(snp_violations_done) SnpViolations violations = {};
        _cleanup_(snp_result_done) SnpResult result = {};
        _cleanup_free_ char *detail = NULL;
        uint8_t data[SNP_PACKET_DATA_SIZE];
        int r = fill_pool(s, e, &pool);

        if (r >= 0)
                r = verify(s, e, &pool, &result);
        if (r < 0)
                return r;
        r = result.authentic ? 0 : want(s, &result);
        if (r < 0)
                return r;
        if (r > 0) {
                reply->retry_after = KDS_FETCH_SECONDS;
                return reply_problem(reply, 503, "vcek-pending", "A certificate is being fetched",
                                "AMD's certificates for this chip are on their way: ask again with the same "
                                "body");
        }
        if (result.verdict == VERDICT_COLLATERAL_UNAVAILABLE)
                return reply_problem(reply, 424, "collateral-missing", "A certificate is missing",
                                "of the report's chain, step %s: send the VCEK or VLEK and the ASK in "
                                "certs, or "
                                "have the service's operator add them",
                                snp_step_to_string(result.step));
        if (!result.authentic) {
                if (asprintf(&detail, "the report is not authentic, step %s",
                                    snp_step_to_string(result.step)) < 0) {
                        detail = NULL;
                        return -ENOMEM;
                }
                return refuse(s, l, reply, "report-not-authentic", detail);
        }
        r = snp_binding_report_data(&e->binding, data);
        if (r >= 0)
                r = snp_policy_accept(reg->snp, SNP_FIELD_REPORT_DATA, data, NULL);
        if (r >= 0)
                r = snp_policy_judge(reg->snp, &result, &violations, NULL);
        if (r < 0)
                return r;
        return result.verdict == VERDICT_VERIFIED ? 1 : refuse_policy(s, l, &violations, reply);
}

static int load_nonce(const Service *s, const StoreLaunch *l, SnpBinding *b) {
        _cleanup_(secret_buf_done) SecretBuf nonce = {};
        int r = vault_unseal(s->vault, "launch", l->id, sizeof(l->id), l->keys, l->keys_size, &nonce);

        if (r < 0)
                return r;
        if (nonce.size != sizeof(b->nonce))
                return -EBADMSG;
        memcpy(b->nonce, nonce.data, sizeof(b->nonce));
        return 0;
}

/* The payload as it is stored has the signature behind it. */
static int seal(const Service *s, const StoreVm *v, const Evidence *e, StoreLaunch *l) {
        _cleanup_(secret_buf_done) SecretBuf secrets = {};
        _cleanup_free_ uint8_t *payload = NULL, *whole = NULL;
        _cleanup_ec_key_ EcKey *signer = NULL;
        uint8_t signature[SNP_PACKET_SIGNATURE_SIZE];
        size_t n = 0;
        int r = vault_unseal(s->vault, "secrets", v->id, strlen(v->id), v->sealed, v->sealed_size, &secrets);

        if (r >= 0)
                r = vault_signer(s->vault, &signer);
        static_assert(SNP_PACKET_HEADER_SIZE <= sizeof(l->header), "fits the store");
        if (r >= 0)
                r = snp_packet_seal(&e->binding, signer, &secrets, s->random, s->random_data, l->header,
                                &payload, &n, signature);
        if (r < 0)
                return r;
        whole = malloc(n + sizeof(signature));
        if (!whole)
                return -ENOMEM;
        memcpy(whole, payload, n);
        memcpy(whole + n, signature, sizeof(signature));
        free(l->payload);
        l->payload = TAKE_PTR(whole);
        l->payload_size = n + sizeof(signature);
        memcpy(l->measurement, e->digest, sizeof(l->measurement));
        return 0;
}

int service_validate_snp(const Service *s, const Request *q, const StoreVm *v, const Registration *reg,
                const Json *body, Reply *reply) {
        _cleanup_(store_launch_done) StoreLaunch l = {};
        _cleanup_(evidence_done) Evidence e = {};
        int r = service_check_wishes(reg, body, reply);

        if (r > 0)
                r = read_evidence(body, &e, reply);
        if (r > 0)
                r = service_find_launch(s, reg, q->id, e.launch_id, e.digest, &l, reply);
        if (r == 2)
                return refuse(s, &l, reply, "measurement-mismatch",
                                "this launch has given its secrets to another report or another key");
        if (r <= 0)
                return r;
        r = load_nonce(s, &l, &e.binding);
        if (r >= 0)
                r = judge(s, reg, &l, &e, reply);
        if (r <= 0)
                return r;
        r = seal(s, v, &e, &l);
        if (r == -EBADMSG)
                return refuse(s, &l, reply, "binding-mismatch", "public-key is no X25519 public key");
        return r < 0 ? r : service_release(s, reg, &l, reply);
}
