/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attest-chain.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "crypto-ec.h"
#include "crypto-rsa.h"
#include "strutil.h"

/* ARK: anchor, self signed; ASK, CEK; OCA; PEK twice; PDH. A chain with fewer checks is not authentic, whatever they say. */
#define STEPS_OF_A_WHOLE_CHAIN 8u

void sev_chain_report_done(SevChainReport *r) {
        FOREACH_ARRAY(s, r->steps, r->n_steps)
                free(s->detail);
        *r = (SevChainReport) {};
}

const SevChainStep *sev_chain_report_problem(const SevChainReport *r) {
        FOREACH_ARRAY(s, r->steps, r->n_steps)
                if (s->verdict == VERDICT_NOT_AUTHENTIC)
                        return s;
        FOREACH_ARRAY(s, r->steps, r->n_steps)
                if (s->verdict != VERDICT_AUTHENTIC)
                        return s;
        return NULL;
}

static int add_step(SevChainReport *r, const char *subject, const char *check, Verdict v, const char *format,
                ...) _printf_(5, 6);

static int add_step(SevChainReport *r, const char *subject, const char *check, Verdict v, const char *format,
                ...) {
        SevChainStep *s = &r->steps[r->n_steps];
        va_list ap;
        int k;

        assert(r->n_steps < SEV_CHAIN_STEPS_MAX);
        *s = (SevChainStep) { .subject = subject, .check = check, .verdict = v };
        if (format) {
                va_start(ap, format);
                k = vasprintf(&s->detail, format, ap);
                va_end(ap);
                if (k < 0) {
                        s->detail = NULL;
                        return -ENOMEM;
                }
        }
        r->n_steps++;
        return 0;
}

static int missing(SevChainReport *r, const char *subject, const char *remedy) {
        return add_step(r, subject, "present", VERDICT_COLLATERAL_UNAVAILABLE, "%s", remedy);
}

/* r: what a signature check returned. -EKEYREJECTED is a verdict, other failures are errors. */
static int add_signature_step(SevChainReport *report, const char *subject, const char *check, int r) {
        if (r == -EKEYREJECTED || r == -EBADMSG)
                return add_step(report, subject, check, VERDICT_NOT_AUTHENTIC,
                                "the signature does not hold");
        if (r < 0)
                return r;
        return add_step(report, subject, check, VERDICT_AUTHENTIC, NULL);
}

static int load_rsa(const AmdCert *c, RsaKey **ret) {
        return rsa_key_new(c->modulus, c->number_size, c->exponent, c->number_size, ret);
}

/* AMD's keys of 2048 bits sign with SHA-256, those of 4096 with SHA-384. */
static HashAlgorithm amd_hash(const AmdCert *c) {
        return c->number_size == 256 ? HASH_SHA256 : HASH_SHA384;
}

static int verify_ark(const SevChain *chain, const SevChainPolicy *policy, SevChainReport *report,
                RsaKey **ret_key) {
        _cleanup_rsa_key_ RsaKey *key = NULL;
        uint8_t fingerprint[ANCHOR_FINGERPRINT_SIZE];
        const TrustAnchor *anchor;
        int r;

        if (!chain->has_ark)
                return missing(report, "ARK", "give AMD's ask_ark file of the processor generation");
        r = load_rsa(&chain->ark, &key);
        if (r == -EBADMSG)
                return add_step(report, "ARK", "key", VERDICT_NOT_AUTHENTIC, "not a usable RSA key");
        if (r >= 0)
                r = rsa_key_fingerprint(key, fingerprint);
        if (r < 0)
                return r;
        anchor = trust_anchors_find(policy->anchors, fingerprint);
        if (!anchor)
                return add_step(report, "ARK", "is a trust anchor", VERDICT_NOT_AUTHENTIC,
                                "the key of this root is not one of the pinned ones");
        r = add_step(report, "ARK", "is a trust anchor", VERDICT_AUTHENTIC, "%s", anchor->generation);
        if (r < 0)
                return r;
        report->generation = anchor->generation;

        if (memcmp(chain->ark.key_id, chain->ark.certifying_id, AMD_CERT_KEY_ID_SIZE) != 0)
                return add_step(report, "ARK", "self signed", VERDICT_NOT_AUTHENTIC,
                                "names a different signer");
        if (!chain->ark.has_signature && policy->accept_unsigned_ark)
                r = add_step(report, "ARK", "self signed", VERDICT_AUTHENTIC,
                                "has no signature; accepted on request, since its key is pinned");
        else if (!chain->ark.has_signature)
                return add_step(report, "ARK", "self signed", VERDICT_NOT_AUTHENTIC, "has no signature");
        else
                r = add_signature_step(report, "ARK", "self signed",
                                rsa_key_verify_pss(key, amd_hash(&chain->ark), chain->ark.raw,
                                                chain->ark.signed_size, chain->ark.signature,
                                                chain->ark.number_size));
        if (r < 0)
                return r;
        if (report->steps[report->n_steps - 1].verdict == VERDICT_AUTHENTIC)
                *ret_key = TAKE_PTR(key);
        return 0;
}

static int verify_ask(const SevChain *chain, const RsaKey *ark, SevChainReport *report, RsaKey **ret_key) {
        int r;

        if (!chain->has_ask)
                return missing(report, "ASK", "give AMD's ask_ark file of the processor generation");
        if (!chain->has_ark)
                return 0; /* reported already */
        if (!ark)
                return add_step(report, "ASK", "signed by ARK", VERDICT_NOT_AUTHENTIC,
                                "its ARK is not authentic");
        if (memcmp(chain->ask.certifying_id, chain->ark.key_id, AMD_CERT_KEY_ID_SIZE) != 0)
                return add_step(report, "ASK", "signed by ARK", VERDICT_NOT_AUTHENTIC,
                                "names a different signer: ASK and ARK are of different generations");
        if (chain->ask.number_size != chain->ark.number_size || !chain->ask.has_signature)
                return add_step(report, "ASK", "signed by ARK", VERDICT_NOT_AUTHENTIC, "key sizes differ");
        r = rsa_key_verify_pss(ark, amd_hash(&chain->ark), chain->ask.raw, chain->ask.signed_size,
                        chain->ask.signature, chain->ask.number_size);
        if (r >= 0) {
                r = load_rsa(&chain->ask, ret_key);
                if (r == -EBADMSG)
                        return add_step(report, "ASK", "key", VERDICT_NOT_AUTHENTIC, "not a usable RSA key");
        }
        return add_signature_step(report, "ASK", "signed by ARK", r);
}

static const SevSignature *find_signature(const SevCert *c, SevUsage signer, unsigned *ret_n) {
        const SevSignature *found = NULL;

        *ret_n = 0;
        FOREACH_ARRAY(s, c->signatures, SEV_CERT_SIGNATURES)
                if (s->usage == signer) {
                        found = found ?: s;
                        (*ret_n)++;
                }
        return found;
}

static int verify_cek(const SevChain *chain, const RsaKey *ask, SevChainReport *report) {
        uint8_t number[AMD_CERT_NUMBER_MAX];
        const SevSignature *s;
        unsigned n;

        if (!chain->has_cek)
                return missing(report, "CEK",
                                "give the platform's certificate chain (QMP query-sev-capabilities)");
        s = find_signature(&chain->cek, SEV_USAGE_ASK, &n);
        if (n == 0)
                return add_step(report, "CEK", "signed by ASK", VERDICT_COLLATERAL_UNAVAILABLE,
                                "AMD's signature is missing: fetch the signed CEK of this chip from AMD's key service");
        if (n > 1)
                return add_step(report, "CEK", "signed by ASK", VERDICT_NOT_AUTHENTIC,
                                "two signatures of one signer");
        if (!chain->has_ask || !chain->has_ark)
                return 0; /* reported already */
        if (!ask)
                return add_step(report, "CEK", "signed by ASK", VERDICT_NOT_AUTHENTIC,
                                "its ASK is not authentic");
        if (s->algorithm !=
                        (chain->ask.number_size == 256 ? SEV_ALGORITHM_RSA_SHA256
                                                       : SEV_ALGORITHM_RSA_SHA384))
                return add_step(report, "CEK", "signed by ASK", VERDICT_NOT_AUTHENTIC,
                                "algorithm %s does not fit an ASK of %zu bits",
                                sev_algorithm_to_string(s->algorithm), chain->ask.number_size * 8);
        if (sev_signature_rsa(s, chain->ask.number_size, number) < 0)
                return add_step(report, "CEK", "signed by ASK", VERDICT_NOT_AUTHENTIC,
                                "the signature is too long");
        return add_signature_step(report, "CEK", "signed by ASK",
                        rsa_key_verify_pss(ask, amd_hash(&chain->ask), chain->cek.raw, SEV_CERT_SIGNED_SIZE,
                                        number, chain->ask.number_size));
}

/* One ECDSA signature: exactly one slot of that signer, with the algorithm of the signer's key. */
static int verify_by(const SevCert *c, const SevCert *signer, const char *check, SevChainReport *report) {
        const char *subject = sev_usage_to_string(c->usage);
        _cleanup_ec_key_ EcKey *key = NULL;
        const SevSignature *s;
        EcSignature sig;
        EcPoint p;
        unsigned n;
        int r;

        s = find_signature(c, (SevUsage) signer->usage, &n);
        if (n != 1)
                return add_step(report, subject, check, VERDICT_NOT_AUTHENTIC,
                                n == 0 ? "that signature is missing" : "two signatures of one signer");
        if (s->algorithm != signer->algorithm || !sev_algorithm_is_ecdsa(s->algorithm))
                return add_step(report, subject, check, VERDICT_NOT_AUTHENTIC,
                                "algorithm %s does not fit the signer's key (%s)",
                                sev_algorithm_to_string(s->algorithm),
                                sev_algorithm_to_string(signer->algorithm));
        memcpy(p.x, signer->x, sizeof(p.x));
        memcpy(p.y, signer->y, sizeof(p.y));
        r = ec_key_from_point(&p, &key);
        if (r == -EBADMSG)
                return add_step(report, subject, check, VERDICT_NOT_AUTHENTIC,
                                "the key of the %s is not a point of the curve",
                                sev_usage_to_string(signer->usage));
        if (r < 0)
                return r;
        r = sev_signature_ecdsa(s, sig.r, sig.s);
        if (r >= 0)
                r = ec_key_verify(key,
                                s->algorithm == SEV_ALGORITHM_ECDSA_SHA256 ? HASH_SHA256 : HASH_SHA384,
                                c->raw, SEV_CERT_SIGNED_SIZE, &sig);
        return add_signature_step(report, subject, check, r);
}

static int verify_oca(const SevChain *chain, const SevChainPolicy *policy, SevChainReport *report) {
        uint8_t fingerprint[SHA256_SIZE];
        int r;

        if (!chain->has_oca)
                return missing(report, "OCA",
                                "give the platform's certificate chain (QMP query-sev-capabilities)");
        r = verify_by(&chain->oca, &chain->oca, "self signed", report);
        if (r < 0 || !policy->oca_fingerprint)
                return r;
        r = hash_digest(HASH_SHA256, chain->oca.raw, SEV_CERT_SIZE, fingerprint);
        if (r < 0)
                return r;
        if (memcmp(fingerprint, policy->oca_fingerprint, sizeof(fingerprint)) != 0)
                return add_step(report, "OCA", "is the expected owner", VERDICT_POLICY_NOT_MET,
                                "the platform belongs to another owner than the pinned one");
        return add_step(report, "OCA", "is the expected owner", VERDICT_AUTHENTIC, NULL);
}

static int verify_pek(const SevChain *chain, SevChainReport *report) {
        int r = 0;

        if (!chain->has_pek)
                return missing(report, "PEK",
                                "give the platform's certificate chain (QMP query-sev-capabilities)");
        if (chain->has_oca)
                r = verify_by(&chain->pek, &chain->oca, "signed by OCA", report);
        if (r >= 0 && chain->has_cek)
                r = verify_by(&chain->pek, &chain->cek, "signed by CEK", report);
        return r;
}

/* Without a doubt first: what is not authentic stays so, whatever is missing elsewhere. */
static Verdict worst(const SevChainReport *report) {
        static const Verdict order[] = { VERDICT_NOT_AUTHENTIC, VERDICT_COLLATERAL_UNAVAILABLE,
                VERDICT_POLICY_NOT_MET, VERDICT_UNVERIFIED };

        FOREACH_ARRAY(v, order, ELEMENTSOF(order))
                FOREACH_ARRAY(s, report->steps, report->n_steps)
                        if (s->verdict == *v)
                                return *v;
        return report->n_steps >= STEPS_OF_A_WHOLE_CHAIN ? VERDICT_AUTHENTIC : VERDICT_UNVERIFIED;
}

int sev_chain_verify(const SevChain *chain, const SevChainPolicy *policy, SevChainReport *ret) {
        _cleanup_(sev_chain_report_done) SevChainReport report = {};
        _cleanup_rsa_key_ RsaKey *ark = NULL, *ask = NULL;
        int r;

        r = verify_ark(chain, policy, &report, &ark);
        if (r >= 0)
                r = verify_ask(chain, ark, &report, &ask);
        if (r >= 0)
                r = verify_cek(chain, ask, &report);
        if (r >= 0)
                r = verify_oca(chain, policy, &report);
        if (r >= 0)
                r = verify_pek(chain, &report);
        if (r >= 0 && !chain->has_pdh)
                r = missing(&report, "PDH", "give the platform's PDH (QMP query-sev-capabilities)");
        else if (r >= 0 && chain->has_pek)
                r = verify_by(&chain->pdh, &chain->pek, "signed by PEK", &report);
        if (r < 0)
                return r;

        report.verdict = worst(&report);
        *ret = TAKE_STRUCT(report, (SevChainReport) {});
        return 0;
}

int sev_chain_amd_holds(const SevChain *chain, const SevChainPolicy *policy, bool *ret) {
        _cleanup_(sev_chain_report_done) SevChainReport report = {};
        bool holds = chain->has_ask && chain->has_ark, cek = false;
        int r = sev_chain_verify(chain, policy, &report);

        if (r < 0)
                return r;
        FOREACH_ARRAY(step, report.steps, report.n_steps) {
                bool is_cek = streq(step->subject, "CEK") && streq(step->check, "signed by ASK");

                if (is_cek || streq(step->subject, "ARK") || streq(step->subject, "ASK"))
                        holds = holds && step->verdict == VERDICT_AUTHENTIC;
                cek = cek || is_cek;
        }
        *ret = holds && (cek || !chain->has_cek);
        return 0;
}
