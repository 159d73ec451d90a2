/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Theory of operation. The path has exactly three certificates: root (ARK), intermediate (ASK for VCEK, ASVK for VLEK), leaf. The
 * root counts only by its pinned key (snp-trust.h). Candidates for the other two come from the pool, chosen by name and
 * issuer; a leaf that fits the report's chip and TCB is preferred, so that one directory can hold the leaves of a
 * fleet. Everything else is arithmetic over the bytes that were received. */

#include "snp-verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bytes.h"
#include "encode.h"
#include "error.h"
#include "strutil.h"

static const char *const step_names[] = {
        [SNP_STEP_LAYOUT] = "layout",
        [SNP_STEP_KEY] = "key",
        [SNP_STEP_GENERATION] = "generation",
        [SNP_STEP_COLLATERAL] = "collateral",
        [SNP_STEP_ROOT] = "root",
        [SNP_STEP_INTERMEDIATE] = "intermediate",
        [SNP_STEP_LEAF] = "leaf",
        [SNP_STEP_VALIDITY] = "validity",
        [SNP_STEP_REVOCATION] = "revocation",
        [SNP_STEP_EXTENSIONS] = "extensions",
        [SNP_STEP_TCB] = "tcb",
        [SNP_STEP_CHIP] = "chip",
        [SNP_STEP_SIGNATURE] = "signature",
        [SNP_STEP_POLICY] = "policy",
};
static_assert(ELEMENTSOF(step_names) == _SNP_STEP_MAX, "every step has a name");

static const char *const crl_names[] = {
        [SNP_CRL_IF_AVAILABLE] = "if-available",
        [SNP_CRL_OFF] = "off",
        [SNP_CRL_REQUIRED] = "required",
};
static_assert(ELEMENTSOF(crl_names) == _SNP_CRL_MODE_MAX, "every mode has a name");

const char *snp_step_to_string(SnpStep s) {
        return s >= 0 && s < _SNP_STEP_MAX ? step_names[s] : NULL;
}

const char *snp_crl_mode_to_string(SnpCrlMode m) {
        return m >= 0 && m < _SNP_CRL_MODE_MAX ? crl_names[m] : NULL;
}

SnpCrlMode snp_crl_mode_from_string(const char *s) {
        for (int m = 0; m < _SNP_CRL_MODE_MAX; m++)
                if (streq(s, crl_names[m]))
                        return (SnpCrlMode) m;
        return _SNP_CRL_MODE_INVALID;
}

void snp_result_done(SnpResult *r) {
        free(r->sentence);
        free(r->crl_note);
        *r = (SnpResult) {};
}

/* A step's answer: 1 go on, 0 the verdict is in *r, negative: no verdict. */
static int fail(SnpResult *r, Verdict v, SnpStep s, const char *format, ...) _printf_(4, 5);
static int fail(SnpResult *r, Verdict v, SnpStep s, const char *format, ...) {
        va_list ap;
        int n;

        r->verdict = v;
        r->step = s;
        va_start(ap, format);
        n = vasprintf(&r->sentence, format, ap);
        va_end(ap);
        if (n < 0) {
                r->sentence = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int step_layout(const SnpVerifyInput *in, SnpResult *r) {
        _cleanup_free_ char *why = NULL;
        int k;

        k = snp_report_decode(in->report, in->report_size, &r->report, &why);
        if (k == -ENOMEM)
                return k;
        if (k < 0)
                return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_LAYOUT, "%s", why ?: "not a report");
        r->decoded = true;
        return 1;
}

static int step_key(SnpResult *r) {
        const SnpReport *p = &r->report;

        if (p->signature_algorithm != SNP_SIGNATURE_ALGORITHM_P384)
                return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_KEY,
                                "signature algorithm %" PRIu32 "; expected 1 (ECDSA P-384 with SHA-384)",
                                p->signature_algorithm);
        if (p->signing_key != SNP_SIGNING_KEY_VCEK && p->signing_key != SNP_SIGNING_KEY_VLEK)
                return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_KEY,
                                p->signing_key == SNP_SIGNING_KEY_NONE
                                                ? "the report says that no key signed it (SIGNING_KEY %u)"
                                                : "signing key %u; expected 0 (VCEK) or 1 (VLEK)",
                                p->signing_key);
        if (p->signing_key == SNP_SIGNING_KEY_VCEK && p->mask_chip_key)
                return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_KEY,
                                "the host has masked the chip's key (MASK_CHIP_KEY): there is no signature "
                                "to check");
        return 1;
}

int snp_verify_generation(const SnpReport *p, SnpGeneration stated, SnpGeneration *ret, char **reterr) {
        SnpGeneration g = snp_report_generation(p);

        if (p->version >= 3 && g < 0)
                return error_set(reterr, -EOPNOTSUPP,
                                "CPUID family 0x%02x, model 0x%02x belongs to no processor generation known "
                                "here",
                                p->cpuid_family, p->cpuid_model);
        if (g >= 0 && stated >= 0 && g != stated)
                return error_set(reterr, -EOPNOTSUPP, "the report's CPUID says %s; %s was stated",
                                snp_generation_product(g), snp_generation_product(stated));
        *ret = g >= 0 ? g : stated;
        return 0;
}

static bool chip_fits(const SnpLeaf *leaf, const SnpReport *p) {
        return memcmp(leaf->hwid, p->chip_id, leaf->hwid_size) == 0 &&
                        bytes_are_zero(p->chip_id + leaf->hwid_size, sizeof(p->chip_id) - leaf->hwid_size);
}

static bool tcb_fits(const SnpLeaf *leaf, const SnpReport *p) {
        SnpTcb reported;

        return snp_tcb_decode(p->reported_tcb, leaf->generation, &reported) == 0 &&
                        snp_tcb_equal(&reported, &leaf->tcb);
}

/* 2: chip and TCB fit; 1: some key of the right kind; 0: no candidate. */
static int rate_leaf(const SnpCertificate *c, const SnpReport *p, SnpGeneration g) {
        SnpRole role = p->signing_key == SNP_SIGNING_KEY_VLEK ? SNP_ROLE_VLEK : SNP_ROLE_VCEK;

        if (c->role != role || c->generation < 0 || (g >= 0 && c->generation != g))
                return 0;
        if (!c->leaf_valid || !tcb_fits(&c->leaf, p))
                return 1;
        if (role == SNP_ROLE_VCEK && !bytes_are_zero(p->chip_id, sizeof(p->chip_id)) &&
                        !chip_fits(&c->leaf, p))
                return 1;
        return 2;
}

static int step_choose_leaf(const SnpVerifyInput *in, SnpResult *r) {
        const char *kind = r->report.signing_key == SNP_SIGNING_KEY_VLEK ? "VLEK" : "VCEK";
        const SnpCertificate *best = NULL, *named = NULL;
        size_t n = 0;

        for (size_t i = 0; i < in->collateral->n_certificates; i++) {
                const SnpCertificate *c = in->collateral->certificates[i];
                int rating = rate_leaf(c, &r->report, r->generation);

                if (c->named && !named)
                        named = c;
                if (rating == 0)
                        continue;
                n++;
                if (!best || rating > rate_leaf(best, &r->report, r->generation))
                        best = c;
        }
        /* A leaf that was named is the one to judge by, even if it cannot fit: the answer says why. */
        if (named) {
                if (rate_leaf(named, &r->report, r->generation) == 0)
                        return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_LEAF,
                                        "the report is signed by a %s%s%s, the leaf (%s) is '%s' issued by "
                                        "'%s'",
                                        r->generation >= 0 ? snp_generation_product(r->generation) : "",
                                        r->generation >= 0 ? " " : "", kind, named->origin,
                                        named->certificate->common_name,
                                        named->certificate->issuer_common_name);
                best = named;
        } else if (n == 0)
                return fail(r, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_COLLATERAL,
                                "no %s certificate at hand; give it with --leaf or --certs", kind);
        else if (n > 1 && rate_leaf(best, &r->report, r->generation) < 2)
                return fail(r, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_COLLATERAL,
                                "none of the %zu %s certificates at hand is for this chip and its reported "
                                "TCB",
                                n, kind);
        r->leaf = best;
        if (r->generation < 0)
                r->generation = best->generation;
        return 1;
}

/* The root whose key is pinned for the generation: prepared before, or among the pool. */
static int step_root(const SnpVerifyInput *in, SnpResult *r) {
        SnpRoot *root = in->trust->roots + r->generation;
        const char *product = snp_generation_product(r->generation);
        bool other_key = false;

        if (!root->pinned)
                return fail(r, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_ROOT,
                                "AMD's root key for %s is not known to this version of cvmspawn", product);
        r->insecure_root = root->insecure;
        for (size_t i = 0; i < in->collateral->n_certificates && !root->certificate; i++) {
                const SnpCertificate *c = in->collateral->certificates[i];
                _cleanup_free_ char *why = NULL;
                int k;

                if (c->role != SNP_ROLE_ARK || c->generation != r->generation)
                        continue;
                k = snp_trust_offer(in->trust, c->certificate, &why);
                if (k == -EBADMSG)
                        return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_ROOT, "%s (%s)", why ?: "bad root",
                                        c->origin);
                if (k < 0)
                        return k;
                other_key = other_key || k == 0;
        }
        if (root->certificate)
                return 1;
        if (other_key)
                return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_ROOT,
                                "a certificate is called ARK-%s, but its key is not AMD's", product);
        return fail(r, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_COLLATERAL,
                        "no root certificate ARK-%s at hand; give AMD's cert_chain file with --ca", product);
}

/* 1 if `issuer`, whose whole bytes have this digest, signed c, 0 if not; remembers the answer. */
static int signed_by(
                SnpCertificate *c, const Certificate *issuer, const uint8_t digest[static SHA256_SIZE]) {
        int k;

        if (c->verified && memcmp(c->verified_by, digest, SHA256_SIZE) == 0)
                return 1;
        k = certificate_verify(c->certificate, issuer);
        if (k == -EKEYREJECTED)
                return 0;
        if (k < 0)
                return k;
        c->verified = true;
        memcpy(c->verified_by, digest, SHA256_SIZE);
        return 1;
}

static int step_intermediate(const SnpVerifyInput *in, SnpResult *r) {
        const SnpRoot *root = in->trust->roots + r->generation;
        SnpRole role = r->leaf->role == SNP_ROLE_VLEK ? SNP_ROLE_ASVK : SNP_ROLE_ASK;
        SnpCertificate *leaf =
                        (SnpCertificate *) r->leaf; /* for the mark; the pool is the caller's to change */
        size_t n_candidates = 0, n_genuine = 0;

        for (size_t i = 0; i < in->collateral->n_certificates; i++) {
                SnpCertificate *c = in->collateral->certificates[i];
                const Certificate *x = c->certificate;
                int k;

                if (c->role != role || c->generation != r->generation)
                        continue;
                n_candidates++;
                k = signed_by(c, root->certificate, root->digest);
                if (k < 0)
                        return k;
                if (k == 0)
                        continue;
                n_genuine++;
                if (!x->is_ca || !x->has_key_usage || !(x->key_usage & CERTIFICATE_CERT_SIGN) ||
                                !x->has_path_length || x->path_length != 0)
                        continue;
                k = signed_by(leaf, x, c->digest);
                if (k < 0)
                        return k;
                if (k > 0) {
                        r->intermediate = c;
                        return 1;
                }
        }
        if (n_candidates == 0)
                return fail(r, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_COLLATERAL,
                                "no intermediate certificate SEV-%s%s at hand; give AMD's cert_chain file "
                                "with --ca",
                                role == SNP_ROLE_ASVK ? "VLEK-" : "", snp_generation_product(r->generation));
        if (n_genuine == 0)
                return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_INTERMEDIATE,
                                "the intermediate certificate is not signed by AMD's root key");
        return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_LEAF,
                        "the leaf certificate (%s) is not signed by AMD's intermediate key",
                        r->leaf->origin);
}

static int check_validity(SnpResult *r, const Certificate *c, const char *what, int64_t now) {
        const time_t times[] = { (time_t) c->not_before, (time_t) c->not_after, (time_t) now };
        char texts[ELEMENTSOF(times)][32];

        if (now >= c->not_before && now <= c->not_after)
                return 1;
        for (size_t i = 0; i < ELEMENTSOF(times); i++) {
                struct tm tm;

                if (!gmtime_r(&times[i], &tm) ||
                                strftime(texts[i], sizeof(texts[i]), "%Y-%m-%d %H:%M:%S", &tm) == 0)
                        (void) snprintf(texts[i], sizeof(texts[i]), "@%jd", (intmax_t) times[i]);
        }
        return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_VALIDITY,
                        "the %s certificate is valid from %s to %s UTC, and was to be verified as of %s; "
                        "--time states another time",
                        what, texts[0], texts[1], texts[2]);
}

static int step_validity(const SnpVerifyInput *in, SnpResult *r) {
        int k;

        k = check_validity(r, in->trust->roots[r->generation].certificate, "root", in->now);
        if (k <= 0)
                return k;
        k = check_validity(r, r->intermediate->certificate, "intermediate", in->now);
        if (k <= 0)
                return k;
        return check_validity(r, r->leaf->certificate, "leaf", in->now);
}

/* The newest list that the root signed and that covers the time of verification. Leaves have serial number 0 and cannot be
 * revoked by it: the list is about intermediates. */
static int step_revocation(const SnpVerifyInput *in, SnpResult *r) {
        const Certificate *root = in->trust->roots[r->generation].certificate;
        const char *why = "none at hand";
        const SnpCrl *best = NULL;
        int k;

        if (in->crl == SNP_CRL_OFF) {
                r->crl_note = strdup("turned off");
                return r->crl_note ? 1 : -ENOMEM;
        }
        FOREACH_ARRAY(l, in->collateral->crls, in->collateral->n_crls) {
                if (!(root->key_usage & CERTIFICATE_CRL_SIGN))
                        continue;
                k = crl_verify(l->crl, root);
                if (k == -EKEYREJECTED)
                        continue;
                if (k < 0)
                        return k;
                if (in->now < l->crl->this_update || in->now > l->crl->next_update) {
                        why = "the list at hand is not current";
                        continue;
                }
                if (!best || l->crl->this_update > best->crl->this_update)
                        best = l;
        }
        if (!best) {
                if (in->crl == SNP_CRL_REQUIRED)
                        return fail(r, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_REVOCATION,
                                        "a revocation list of ARK-%s is required: %s",
                                        snp_generation_product(r->generation), why);
                r->crl_note = strdup(why);
                return r->crl_note ? 1 : -ENOMEM;
        }
        k = crl_holds(best->crl, r->intermediate->certificate);
        if (k < 0)
                return k;
        if (k > 0)
                return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_REVOCATION,
                                "AMD has revoked the intermediate certificate '%s' (%s)",
                                r->intermediate->certificate->common_name, best->origin);
        return 1;
}

static char *tcb_words(const uint8_t raw[static SNP_TCB_SIZE], SnpGeneration g) {
        SnpTcb t;

        return snp_tcb_decode(raw, g, &t) < 0 ? hex_encode(raw, SNP_TCB_SIZE) : snp_tcb_text(&t, g);
}

static int step_tcb(SnpResult *r) {
        _cleanup_free_ char *leaf = NULL, *reported = NULL, *current = NULL, *committed = NULL,
                            *launch = NULL;
        const SnpReport *p = &r->report;
        SnpGeneration g = r->generation;
        SnpTcb t;

        if (snp_tcb_decode(p->reported_tcb, g, &t) < 0)
                return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_TCB,
                                "REPORTED_TCB has bytes set that %s does not use",
                                snp_generation_product(g));
        if (snp_tcb_equal(&t, &r->leaf->leaf.tcb))
                return 1;
        leaf = snp_tcb_text(&r->leaf->leaf.tcb, g);
        reported = tcb_words(p->reported_tcb, g);
        current = tcb_words(p->current_tcb, g);
        committed = tcb_words(p->committed_tcb, g);
        launch = tcb_words(p->launch_tcb, g);
        if (!leaf || !reported || !current || !committed || !launch)
                return -ENOMEM;
        return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_TCB,
                        "the leaf certificate is for another TCB: it has %s; the report has reported %s, "
                        "current %s, "
                        "committed %s, launch %s; the reported one counts",
                        leaf, reported, current, committed, launch);
}

static int step_chip(SnpResult *r) {
        const SnpReport *p = &r->report;
        _cleanup_free_ char *leaf = NULL, *chip = NULL;

        /* VLEKs belong to a provider, and MASK_CHIP_ID makes the field zero: nothing to compare with. */
        if (r->leaf->role != SNP_ROLE_VCEK || bytes_are_zero(p->chip_id, sizeof(p->chip_id)))
                return 1;
        if (chip_fits(&r->leaf->leaf, p))
                return 1;
        leaf = hex_encode(r->leaf->leaf.hwid, r->leaf->leaf.hwid_size);
        chip = hex_encode(p->chip_id, sizeof(p->chip_id));
        if (!leaf || !chip)
                return -ENOMEM;
        return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_CHIP,
                        "the leaf certificate is for another chip: expected hwID %s (CHIP_ID), got %s", chip,
                        leaf);
}

static int step_signature(const SnpVerifyInput *in, SnpResult *r) {
        EcSignature sig;
        int k;

        memcpy(sig.r, r->report.signature_r, sizeof(sig.r));
        memcpy(sig.s, r->report.signature_s, sizeof(sig.s));
        k = ec_key_verify(r->leaf->certificate->ec, HASH_SHA384, in->report, SNP_REPORT_SIGNED_SIZE, &sig);
        if (k == -EKEYREJECTED)
                return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_SIGNATURE,
                                "the report's signature was not made by the key of the leaf certificate "
                                "(%s)",
                                r->leaf->origin);
        return k < 0 ? k : 1;
}

static int verify(const SnpVerifyInput *in, SnpResult *r) {
        _cleanup_free_ char *why = NULL;
        int k;

        k = step_layout(in, r);
        if (k <= 0)
                return k;
        k = step_key(r);
        if (k <= 0)
                return k;
        if (snp_verify_generation(&r->report, in->generation, &r->generation, &why) < 0)
                return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_GENERATION, "%s",
                                why ?: "unknown generation");
        k = step_choose_leaf(in, r);
        if (k <= 0)
                return k;
        if (r->report.version < 3 && r->generation >= SNP_TURIN && in->generation < 0)
                return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_GENERATION,
                                "a version 2 report does not say its processor, and on %s the TCB is laid "
                                "out in another "
                                "way; state --generation if you know it",
                                snp_generation_product(r->generation));
        k = step_root(in, r);
        if (k <= 0)
                return k;
        k = step_intermediate(in, r);
        if (k <= 0)
                return k;
        k = step_validity(in, r);
        if (k <= 0)
                return k;
        k = step_revocation(in, r);
        if (k <= 0)
                return k;
        if (!r->leaf->leaf_valid)
                return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_EXTENSIONS, "leaf certificate (%s): %s",
                                r->leaf->origin, r->leaf->leaf_error ?: "bad extensions");
        k = step_tcb(r);
        if (k <= 0)
                return k;
        k = step_chip(r);
        if (k <= 0)
                return k;
        return step_signature(in, r);
}

int snp_verify(const SnpVerifyInput *in, SnpResult *ret) {
        SnpResult r = { .generation = _SNP_GENERATION_INVALID };
        int k;

        k = verify(in, &r);
        if (k < 0) {
                snp_result_done(&r);
                return k;
        }
        if (k > 0) {
                r.authentic = true;
                r.step = SNP_STEP_POLICY;
        }
        *ret = r;
        return 0;
}
