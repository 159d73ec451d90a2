/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Is the platform that asks for a session genuine, and one that the owner accepts? Only certificates that are here decide: if one
 * is fetched, the host is told to ask again. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attestd-service.h"
#include "crypto-hash.h"
#include "encode.h"
#include "fd.h"
#include "secret.h"
#include "strutil.h"

#define CPU_ID_MAX        64u
#define CEK_FETCH_SECONDS 2u

int service_base64(const Json *j, const char *name, size_t min, size_t max, uint8_t **ret, size_t *ret_size,
                Reply *reply) {
        _cleanup_free_ uint8_t *data = NULL;
        const Json *value = js_get(j, name);
        const char *text = js_string_value(value);
        size_t size = 0;
        int r;

        if (!text)
                return reply_problem(reply, 400, "malformed", "The body is not valid",
                                "%s: missing, or not a string", name);
        r = base64_decode(text, js_string_length(value), &data, &size);
        if (r == -ENOMEM)
                return r;
        if (r < 0 || size < min || size > max)
                return reply_problem(reply, 400, "malformed", "The body is not valid",
                                "%s: expected base64 of %zu to %zu bytes, without newlines", name, min, max);
        *ret = TAKE_PTR(data);
        *ret_size = size;
        return 1;
}

static int read_chain(const Json *body, SevChain *chain, Reply *reply) {
        static const struct {
                const char *name;
                size_t min;
        } parts[] = { { "pdh", SEV_CERT_SIZE }, { "cert-chain", 3 * SEV_CERT_SIZE } };

        FOREACH_ARRAY(p, parts, ELEMENTSOF(parts)) {
                _cleanup_free_ uint8_t *data = NULL;
                _cleanup_free_ char *error = NULL;
                size_t size;
                int r = service_base64(body, p->name, p->min, SEV_CHAIN_SIZE_MAX, &data, &size, reply);

                if (r <= 0)
                        return r;
                r = sev_chain_add(chain, data, size, /* allow_unsigned_ark= */ false, &error);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        return reply_problem(reply, 400, "malformed", "The body is not valid", "%s: %s",
                                        p->name, error ?: "not a certificate chain");
        }
        if (!chain->has_pdh)
                return reply_problem(reply, 400, "malformed", "The body is not valid",
                                "pdh: there is no PDH certificate in it");
        return 1;
}

/* The chip's id as the store names it: *ret is owned, NULL if the host does not say. 1, or the reply is made. */
static int read_cpu_id(const Json *body, char **ret, Reply *reply) {
        _cleanup_free_ uint8_t *id = NULL;
        size_t size;
        int r;

        if (!js_get(body, "cpu-id"))
                return 1;
        r = service_base64(body, "cpu-id", 1, CPU_ID_MAX, &id, &size, reply);
        if (r <= 0)
                return r;
        *ret = hex_encode(id, size);
        return *ret ? 1 : -ENOMEM;
}

/* AMD's signature on this chip's CEK from the store, if it is there. */
static int add_stored_cek(const Service *s, const char *cpu_id, SevChain *chain, Reply *reply) {
        _cleanup_free_ char *path = NULL, *data = NULL;
        size_t size;
        int r;

        if (!cpu_id || !s->cek_store)
                return 1;
        if (asprintf(&path, "%s/cek-%s.cert", s->cek_store, cpu_id) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = file_read_all(path, SEV_CHAIN_SIZE_MAX, &data, &size);
        if (r == -ENOENT)
                return 1;
        if (r < 0)
                return r;
        r = sev_chain_add(chain, data, size, false, NULL);
        if (r == -EEXIST)
                return reply_problem(reply, 403, "cpu-id-mismatch", "The platform is not accepted",
                                "AMD's certificate for this cpu-id is of another chip than the chain's");
        return r < 0 ? r : 1;
}

/* The host's own chain, and it with each generation's ASK and ARK; the first that is authentic, else what came last. */
static int verify(const Service *s, const SevChain *chain, SevChainReport *ret) {
        const SevChainPolicy policy = { .anchors = s->anchors };
        _cleanup_free_ SevChain *c = malloc(sizeof(SevChain));
        int r;

        if (!c)
                return -ENOMEM;
        /* Alone it is verified only if it can be authentic, or if there is nothing to add: a verification costs milliseconds. */
        if ((chain->has_ask && chain->has_ark) || s->n_collateral == 0)
                return sev_chain_verify(chain, &policy, ret);
        for (size_t i = 0; i < s->n_collateral && ret->verdict != VERDICT_AUTHENTIC; i++) {
                _cleanup_(sev_chain_report_done) SevChainReport report = {};

                *c = *chain;
                c->ask = s->collateral[i].ask;
                c->ark = s->collateral[i].ark;
                c->has_ask = c->has_ark = true;
                r = sev_chain_verify(c, &policy, &report);
                if (r < 0)
                        return r;
                /* A chain that lacks a signature fits no generation; saying so beats "not authentic by the last one tried". */
                if (i == 0 || report.verdict == VERDICT_AUTHENTIC || ret->verdict != VERDICT_NOT_AUTHENTIC) {
                        sev_chain_report_done(ret);
                        *ret = TAKE_STRUCT(report, (SevChainReport) {});
                }
        }
        return 0;
}

static int refuse(const Service *s, const SevChainReport *report, const char *cpu_id, Reply *reply) {
        const SevChainStep *p = sev_chain_report_problem(report);
        bool is_cek = p && streq(p->subject, "CEK");

        if (report->verdict == VERDICT_COLLATERAL_UNAVAILABLE && is_cek && cpu_id && s->cek_fetch) {
                int r = s->cek_fetch(s->cek_fetch_data, cpu_id);

                if (r < 0)
                        return r;
                if (r > 0) {
                        reply->retry_after = CEK_FETCH_SECONDS;
                        return reply_problem(reply, 503, "cek-pending", "A certificate is being fetched",
                                        "AMD's signature on this chip's CEK is on its way: ask again with "
                                        "the same body");
                }
        }
        if (report->verdict == VERDICT_COLLATERAL_UNAVAILABLE)
                return reply_problem(reply, 424, is_cek ? "cek-unsigned" : "collateral-missing",
                                "A certificate is missing",
                                "%s, %s: send the chain with AMD's signature on the CEK and with ASK and "
                                "ARK ('cvmspawn "
                                "cert-chain', 'sevctl export --full'), or have the service's operator add "
                                "them",
                                p ? p->subject : "chain", p ? p->check : "complete");
        return reply_problem(reply, 403, "platform-not-authentic", "The platform is not accepted",
                        "its certificates do not lead to AMD: %s, %s", p ? p->subject : "chain",
                        p ? p->check : "complete");
}

/* 1 authentic; else the reply is made. */
static int believe(const Service *s, const SevChain *chain, const char *cpu_id, Reply *reply) {
        _cleanup_(sev_chain_report_done) SevChainReport report = {};
        uint8_t key[PLATFORM_KEY_SIZE];
        int r;

        if (s->platforms) {
                r = platform_key(s, chain, key);
                if (r < 0)
                        return r;
                if (platform_cache_has(s->platforms, key))
                        return 1;
        }
        r = verify(s, chain, &report);
        if (r < 0)
                return r;
        if (report.verdict != VERDICT_AUTHENTIC)
                return refuse(s, &report, cpu_id, reply);
        if (s->platforms)
                platform_cache_add(s->platforms, key);
        return 1;
}

int service_platform(const Service *s, const Registration *reg, const Json *body, SevCert *ret_pdh,
                Reply *reply) {
        _cleanup_free_ SevChain *chain = calloc(1, sizeof(SevChain));
        _cleanup_free_ char *cpu_id = NULL;
        bool accepted = reg->any_cloud;
        Digest32 oca;
        int r;

        if (!chain)
                return -ENOMEM;
        r = read_chain(body, chain, reply);
        if (r > 0)
                r = read_cpu_id(body, &cpu_id, reply);
        if (r > 0)
                r = add_stored_cek(s, cpu_id, chain, reply);
        if (r > 0)
                r = believe(s, chain, cpu_id, reply);
        if (r <= 0)
                return r;
        r = hash_digest(HASH_SHA256, chain->oca.raw, SEV_CERT_SIZE, oca);
        if (r < 0)
                return r;
        FOREACH_ARRAY(c, reg->clouds.items, reg->clouds.n_items)
                accepted = accepted || memcmp(*c, oca, sizeof(oca)) == 0;
        if (!accepted)
                return reply_problem(reply, 403, "platform-owner-not-accepted",
                                "The platform is not accepted",
                                "it belongs to an owner (OCA certificate) that this registration does not "
                                "accept");
        *ret_pdh = chain->pdh;
        return 1;
}
