/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Is the platform that asks for a session authentic, and one that the owner accepts? Only certificates that are here decide: if one has to
 * be downloaded, the host is told to ask again. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attestd-service.h"
#include "crypto-hash.h"
#include "encode.h"
#include "fd.h"
#include "secret.h"
#include "strutil.h"

#define CPU_ID_MAX 64u

int service_base64(const Json *j, const Base64Member *m, uint8_t **ret, size_t *ret_size, Reply *reply) {
        _cleanup_free_ uint8_t *data = NULL;
        const Json *value = js_get(j, m->name);
        const char *text = js_string_value(value);
        size_t size = 0;
        int r;

        if (!text)
                return reply_problem(reply, 400, "malformed", "Malformed request",
                                "%s: missing, or not a string", m->name);
        r = base64_decode(text, js_string_length(value), &data, &size);
        if (r == -ENOMEM)
                return r;
        if (r < 0 || size < m->min || size > m->max)
                return reply_problem(reply, 400, "malformed", "Malformed request",
                                "%s: expected base64 of %zu to %zu bytes, without newlines", m->name, m->min,
                                m->max);
        *ret = TAKE_PTR(data);
        *ret_size = size;
        return 1;
}

static int read_chain(const Json *body, SevChain *chain, Reply *reply) {
        static const Base64Member parts[] = {
                { "pdh", SEV_CERT_SIZE, SEV_CHAIN_SIZE_MAX },
                { "cert-chain", 3 * SEV_CERT_SIZE, SEV_CHAIN_SIZE_MAX },
        };

        FOREACH_ARRAY(p, parts, ELEMENTSOF(parts)) {
                _cleanup_free_ uint8_t *data = NULL;
                _cleanup_free_ char *error = NULL;
                size_t size;
                int r = service_base64(body, p, &data, &size, reply);

                if (r <= 0)
                        return r;
                r = sev_chain_add(chain, data, size, /* allow_unsigned_ark= */ false, &error);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        return reply_problem(reply, 400, "malformed", "Malformed request", "%s: %s", p->name,
                                        error ?: "not a certificate chain");
        }
        if (!chain->has_pdh)
                return reply_problem(reply, 400, "malformed", "Malformed request",
                                "pdh: does not contain a PDH certificate");
        return 1;
}

/* The chip's id as the store names it: *ret is owned, NULL if the host does not say. 1, or the reply is made. */
static int read_cpu_id(const Json *body, char **ret, Reply *reply) {
        static const Base64Member member = { "cpu-id", 1, CPU_ID_MAX };
        _cleanup_free_ uint8_t *id = NULL;
        size_t size;
        int r;

        if (!js_get(body, "cpu-id"))
                return 1;
        r = service_base64(body, &member, &id, &size, reply);
        if (r <= 0)
                return r;
        *ret = hex_encode(id, size);
        return *ret ? 1 : -ENOMEM;
}

/* AMD's signature on this chip's CEK from the store, if it is there: 1 if it was added. -EEXIST: it belongs to another chip than the chain does. */
static int add_stored_cek(const Service *s, const char *cpu_id, SevChain *chain) {
        _cleanup_free_ char *path = NULL, *data = NULL;
        size_t size;
        int r;

        if (!cpu_id || !s->cek_store)
                return 0;
        if (asprintf(&path, "%s/cek-%s.cert", s->cek_store, cpu_id) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = file_read_all(path, SEV_CHAIN_SIZE_MAX, &data, &size);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        r = sev_chain_add(chain, data, size, false, NULL);
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

/* Whether AMD's signature on the CEK is what is missing, and is being fetched: 1, the reply is made. */
static int wait_for_cek(const ServiceCall *c, const SevChainReport *report, const char *cpu_id) {
        const SevChainStep *p = sev_chain_report_problem(report);
        const Service *s = c->s;
        unsigned seconds = 1;
        int r;

        if (report->verdict != VERDICT_COLLATERAL_UNAVAILABLE || !p || !streq(p->subject, "CEK") ||
                        !cpu_id || !s->cek_store || !s->fetch)
                return 0;
        r = s->fetch(s->fetch_data, cpu_id, c->q->peer, &seconds);
        if (r <= 0)
                return r;
        c->reply->retry_after = seconds;
        r = reply_problem(c->reply, 503, "cek-pending", "Certificate pending",
                        "AMD's signature on this chip's CEK is being downloaded; send the same request again");
        return r < 0 ? r : 1;
}

static int refuse(const ServiceCall *c, const SevChainReport *report) {
        const SevChainStep *p = sev_chain_report_problem(report);

        if (report->verdict == VERDICT_COLLATERAL_UNAVAILABLE)
                return reply_problem(c->reply, 424,
                                p && streq(p->subject, "CEK") ? "cek-unsigned" : "collateral-missing",
                                "Certificate missing",
                                "%s, %s: send the chain with AMD's signature on the CEK and with ASK and ARK ('cvmspawn cert-chain', 'sevctl export --full'), "
                                "or ask the service's operator to add them",
                                p ? p->subject : "chain", p ? p->check : "complete");
        return reply_problem(c->reply, 403, "platform-not-authentic", "Platform not accepted",
                        "its certificate chain does not lead to AMD: %s, %s", p ? p->subject : "chain",
                        p ? p->check : "complete");
}

/* The chain without what the store has: that can be a lie of a mirror, and then it is fetched once more. */
static int without_stored(const ServiceCall *c, const SevChain *chain, const char *cpu_id, bool mismatch,
                const SevChainReport *with) {
        _cleanup_(sev_chain_report_done) SevChainReport report = {};
        int r = verify(c->s, chain, &report);

        if (r < 0)
                return r;
        if (report.verdict == VERDICT_AUTHENTIC)
                return 1;
        r = wait_for_cek(c, &report, cpu_id);
        if (r != 0)
                return r < 0 ? r : 0;
        if (mismatch)
                return reply_problem(c->reply, 403, "cpu-id-mismatch", "Platform not accepted",
                                "AMD's certificate for this cpu-id belongs to another chip than the chain does");
        return refuse(c, with);
}

/* 1 authentic; else the reply is made. */
static int believe(const ServiceCall *c, const SevChain *chain, const char *cpu_id) {
        const Service *s = c->s;
        _cleanup_(sev_chain_report_done) SevChainReport report = {};
        _cleanup_free_ SevChain *with = malloc(sizeof(SevChain));
        uint8_t key[PLATFORM_KEY_SIZE];
        int stored, r;

        if (!with)
                return -ENOMEM;
        *with = *chain;
        stored = add_stored_cek(s, cpu_id, with);
        if (stored == -EEXIST)
                return without_stored(c, chain, cpu_id, /* mismatch= */ true, &report);
        if (stored < 0 && stored != -EBADMSG)
                return stored;
        if (s->platforms) {
                r = platform_key(s, with, key);
                if (r < 0)
                        return r;
                if (platform_cache_has(s->platforms, key))
                        return 1;
        }
        r = verify(s, with, &report);
        if (r < 0)
                return r;
        if (report.verdict == VERDICT_AUTHENTIC) {
                if (s->platforms)
                        platform_cache_add(s->platforms, key);
                return 1;
        }
        if (stored > 0)
                return without_stored(c, chain, cpu_id, /* mismatch= */ false, &report);
        r = wait_for_cek(c, &report, cpu_id);
        return r < 0 ? r : r > 0 ? 0 : refuse(c, &report);
}

int service_platform(const ServiceCall *c, SevCert *ret_pdh) {
        const RegistrationSev *sev = &c->reg.sev;
        _cleanup_free_ SevChain *chain = calloc(1, sizeof(SevChain));
        _cleanup_free_ char *cpu_id = NULL;
        bool accepted = sev->any_cloud;
        Digest32 oca;
        int r;

        if (!chain)
                return -ENOMEM;
        r = read_chain(c->body, chain, c->reply);
        if (r > 0)
                r = read_cpu_id(c->body, &cpu_id, c->reply);
        if (r > 0)
                r = believe(c, chain, cpu_id);
        if (r <= 0)
                return r;
        r = hash_digest(HASH_SHA256, chain->oca.raw, SEV_CERT_SIZE, oca);
        if (r < 0)
                return r;
        FOREACH_ARRAY(cloud, sev->clouds.items, sev->clouds.n_items)
                accepted = accepted || memcmp(*cloud, oca, sizeof(oca)) == 0;
        if (!accepted)
                return reply_problem(c->reply, 403, "platform-owner-not-accepted", "Platform not accepted",
                                "its owner (OCA certificate) is not one that the registration accepts");
        *ret_pdh = chain->pdh;
        return 1;
}
