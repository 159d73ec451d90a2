/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Theory of operation. The path has exactly three certificates: root (ARK), intermediate (ASK for VCEK, ASVK for VLEK), leaf. The
 * root counts only by its pinned key (snp-trust.h); snp-path.h finds the path. Verdicts: a certificate that is missing or does
 * not verify up to the pinned root says nothing about the report, which then cannot be judged (COLLATERAL_UNAVAILABLE); NOT_AUTHENTIC is
 * for reports that contradict a path that verified, or that no genuine firmware makes. */

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
#include "snp-path.h"

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
                                                ? "the report is not signed (SIGNING_KEY %u)"
                                                : "signing key %u; expected 0 (VCEK) or 1 (VLEK)",
                                p->signing_key);
        if (p->signing_key == SNP_SIGNING_KEY_VCEK && p->mask_chip_key)
                return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_KEY,
                                "the host has masked the chip's key (MASK_CHIP_KEY): there is no signature to check");
        return 1;
}

int snp_verify_generation(const SnpReport *p, SnpGeneration stated, SnpGeneration *ret, char **reterr) {
        SnpGeneration g = snp_report_generation(p);

        if (p->version >= 3 && g < 0)
                return error_set(reterr, -ENOENT,
                                "no known processor generation has CPUID family 0x%02x, model 0x%02x",
                                p->cpuid_family, p->cpuid_model);
        if (g >= 0 && stated >= 0 && g != stated)
                return error_set(reterr, -EOPNOTSUPP,
                                "the report's CPUID belongs to %s, not to %s as stated",
                                snp_generation_product(g), snp_generation_product(stated));
        *ret = g >= 0 ? g : stated;
        return 0;
}

static int step_choose_leaf(const SnpVerifyInput *in, SnpResult *r) {
        const char *kind = r->report.signing_key == SNP_SIGNING_KEY_VLEK ? "VLEK" : "VCEK";
        const SnpCertificate *best;
        SnpChoice all, named;
        int k = snp_leaf_choose(in, &r->report, r->generation, &all, &named);

        if (k < 0)
                return k;
        /* A leaf that was named is the one to judge by, even if it cannot fit: the answer says why. */
        best = named.best ?: all.best;
        if (named.best && named.rating == 0)
                return fail(r, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_LEAF,
                                "the report is signed by a %s%s%s, but the leaf (%s) is '%s' issued by '%s'",
                                r->generation >= 0 ? snp_generation_product(r->generation) : "",
                                r->generation >= 0 ? " " : "", kind, named.best->origin,
                                named.best->certificate->common_name,
                                named.best->certificate->issuer_common_name);
        if (!best)
                return fail(r, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_COLLATERAL,
                                "no %s certificate is available; pass it with --leaf or --certs", kind);
        if (!named.best && all.n > 1 && all.rating < 2)
                return fail(r, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_COLLATERAL,
                                "none of the %zu available %s certificates is for this chip and its reported TCB",
                                all.n, kind);
        r->leaf = best;
        if (r->generation < 0)
                r->generation = best->generation;
        return 1;
}

/* The root whose key is pinned for the generation, and the intermediate. A certificate that does not verify says nothing against
 * the report: the one that would decide is still missing. */
static int step_path(const SnpVerifyInput *in, SnpResult *r) {
        const SnpRoot *root = in->trust->roots + r->generation;
        const char *product = snp_generation_product(r->generation);
        const char *vlek = r->leaf->role == SNP_ROLE_VLEK ? "VLEK-" : "";
        SnpPath path = {};
        int k;

        if (!root->pinned)
                return fail(r, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_ROOT,
                                "this version of cvmspawn does not know AMD's root key for %s", product);
        r->insecure_root = root->insecure;
        k = snp_path_find(in, (SnpCertificate *) r->leaf /* for the mark */, &path);
        if (k < 0)
                return k;
        r->intermediate = path.intermediate;
        if (path.intermediate)
                return 1;
        if (!path.has_root && path.bad_root)
                return fail(r, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_ROOT,
                                "the root certificate ARK-%s (%s) has AMD's key, but is not a proper self-signed root",
                                product, path.bad_root);
        if (!path.has_root && path.foreign_root)
                return fail(r, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_ROOT,
                                "the certificate named ARK-%s (%s) does not have AMD's key", product,
                                path.foreign_root);
        if (!path.has_root)
                return fail(r, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_COLLATERAL,
                                "no root certificate ARK-%s is available; pass AMD's cert_chain file with --ca",
                                product);
        if (path.has_intermediate)
                return fail(r, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_LEAF,
                                "the leaf certificate (%s) is not signed by AMD's intermediate key SEV-%s%s",
                                r->leaf->origin, vlek, product);
        if (path.bad_intermediate)
                return fail(r, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_INTERMEDIATE,
                                "the intermediate certificate SEV-%s%s (%s) is not an issuer signed by AMD's root key",
                                vlek, product, path.bad_intermediate);
        return fail(r, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_COLLATERAL,
                        "no intermediate certificate SEV-%s%s is available; pass AMD's cert_chain file with --ca",
                        vlek, product);
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
                        "the %s certificate is valid from %s to %s UTC and is not valid at %s; use --time to verify for another time",
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

/* The newest list that the root signed and that covers the time of verification. What any genuine list revokes is revoked, however old
 * it is: AMD takes nothing back. Leaves have serial number 0 and cannot be revoked by it: the list is about intermediates. */
static int step_revocation(const SnpVerifyInput *in, SnpResult *r) {
        const Certificate *root = in->trust->roots[r->generation].certificate;
        const char *why = "no list is available";
        bool current = false;
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
                k = crl_holds(l->crl, r->intermediate->certificate);
                if (k < 0)
                        return k;
                if (k > 0)
                        return fail(r, VERDICT_NOT_AUTHENTIC, SNP_STEP_REVOCATION,
                                        "AMD has revoked the intermediate certificate '%s' (%s)",
                                        r->intermediate->certificate->common_name, l->origin);
                if (in->now < l->crl->this_update || in->now > l->crl->next_update)
                        why = "the available list is not current";
                else
                        current = true;
        }
        if (current)
                return 1;
        if (in->crl == SNP_CRL_REQUIRED)
                return fail(r, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_REVOCATION,
                                "a revocation list of ARK-%s is required: %s",
                                snp_generation_product(r->generation), why);
        r->crl_note = strdup(why);
        return r->crl_note ? 1 : -ENOMEM;
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
                                "REPORTED_TCB has non-zero bytes that %s does not use",
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
                        "committed %s, launch %s (REPORTED_TCB is the one that must match)",
                        leaf, reported, current, committed, launch);
}

static int step_chip(SnpResult *r) {
        const SnpReport *p = &r->report;
        _cleanup_free_ char *leaf = NULL, *chip = NULL;

        /* VLEKs belong to a provider, and MASK_CHIP_ID makes the field zero: nothing to compare with. */
        if (r->leaf->role != SNP_ROLE_VCEK || bytes_are_zero(p->chip_id, sizeof(p->chip_id)))
                return 1;
        if (snp_leaf_fits_chip(&r->leaf->leaf, p))
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
                                "the report's signature was not made by the key of the leaf certificate (%s)",
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
        k = snp_verify_generation(&r->report, in->generation, &r->generation, &why);
        if (k < 0)
                return fail(r, k == -ENOENT ? VERDICT_COLLATERAL_UNAVAILABLE : VERDICT_NOT_AUTHENTIC,
                                SNP_STEP_GENERATION, "%s", why ?: "unknown generation");
        k = step_choose_leaf(in, r);
        if (k <= 0)
                return k;
        if (r->report.version < 3 && snp_generation_has_tcb_part(r->generation, SNP_TCB_FMC) &&
                        in->generation < 0)
                return fail(r, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_GENERATION,
                                "version 2 reports do not name the processor, and %s uses a different TCB layout; pass --generation (snpguest: -p %s)",
                                snp_generation_product(r->generation),
                                snp_generation_to_string(r->generation));
        k = step_path(in, r);
        if (k <= 0)
                return k;
        k = step_validity(in, r);
        if (k <= 0)
                return k;
        k = step_revocation(in, r);
        if (k <= 0)
                return k;
        if (!r->leaf->leaf_valid)
                return fail(r, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_EXTENSIONS,
                                "leaf certificate (%s): %s", r->leaf->origin,
                                r->leaf->leaf_error ?: "bad extensions");
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
