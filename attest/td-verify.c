/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Theory of operation (Intel TDX DCAP Quote Verification). The quote brings its chain of three certificates: PCK, Platform or Processor CA, root; the root counts only
 * by its pinned key. The PCK signed the report of the quoting enclave, which binds the attestation key, which signed header and body. Verdicts: a quote that
 * contradicts this, or was made by another enclave or module, is NOT_AUTHENTIC; a statement of Intel's that is missing, forged or not current says nothing about
 * the quote (COLLATERAL_UNAVAILABLE). */

#include "td-verify.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attest-anchors.h"
#include "bytes.h"
#include "crypto-pem.h"
#include "error.h"
#include "td-verify-internal.h"

#define CHAIN_BLOCKS 3u

/* "Intel SGX Quoting Enclave" as the maker of the quoting enclave: 939a7233-f79c-4ca9-940a-0db3957f0607. */
static const uint8_t vendor_intel[] = { 0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d,
        0xb3, 0x95, 0x7f, 0x06, 0x07 };

enum {
        HEADER_VENDOR = 12,
        QE_REPORT_DATA = 320,
        CHAIN_PEM = 5,
};

void td_trust_init(TdTrust *t) {
        *t = (TdTrust) {};
        static_assert(sizeof(t->fingerprint) == ANCHOR_FINGERPRINT_SIZE, "same size");
        memcpy(t->fingerprint, trust_anchors_intel()->items[0].fingerprint, sizeof(t->fingerprint));
}

int td_trust_insecure_acknowledging_forgery(TdTrust *t, const Certificate *c) {
        int r = certificate_fingerprint(c, t->fingerprint);

        t->insecure = r == 0;
        return r;
}

void td_result_done(TdResult *r) {
        free(r->sentence);
        free(r->crl_note);
        certificate_free(r->leaf);
        certificate_free(r->ca);
        certificate_free(r->root);
        *r = (TdResult) {};
}

#define forged(r, step, ...) td_fail(r, VERDICT_NOT_AUTHENTIC, step, __VA_ARGS__)

static int step_layout(const TdVerifyInput *in, TdResult *r) {
        _cleanup_free_ char *why = NULL;
        int k = td_quote_parse(in->quote, in->quote_size, &r->quote, &why);

        if (k == -ENOMEM)
                return k;
        if (k < 0)
                return forged(r, TD_STEP_LAYOUT, "%s", why ?: "not a quote");
        r->decoded = true;
        if (r->quote.version == 0)
                return forged(r, TD_STEP_LAYOUT,
                                "a TDREPORT can be verified only by the processor that made it; request a quote for it");
        if (memcmp(r->quote.signed_part.data + HEADER_VENDOR, vendor_intel, sizeof(vendor_intel)) != 0)
                return forged(r, TD_STEP_LAYOUT, "the quoting enclave in the header is not Intel's");
        if (r->quote.chain_type != CHAIN_PEM)
                return forged(r, TD_STEP_CHAIN,
                                "certification data of type %u; expected 5, a certificate chain in PEM",
                                r->quote.chain_type);
        return 1;
}

/* --- the chain ------------------------------------------------------------------------------------------------------------- */

/* The next block as written by every quoting enclave: what a lenient reader would pass over is not passed over here, as no signature covers it. */
static int read_block(const TdSpan *chain, size_t *pos, Certificate **ret, char **reterr) {
        _cleanup_free_ uint8_t *der = NULL;
        _cleanup_free_ char *again = NULL;
        const char *text = (const char *) chain->data, *label;
        size_t begin = *pos, label_size, size, n;
        int k = pem_next(text, chain->size, pos, &label, &label_size, &der, &size);

        if (k == -ENOMEM)
                return k;
        if (k <= 0)
                return error_set(reterr, -EBADMSG, "the chain has fewer than three certificates");
        again = pem_encode("CERTIFICATE", der, size);
        if (!again)
                return -ENOMEM;
        n = strlen(again);
        if (n > chain->size - begin || memcmp(again, text + begin, n) != 0)
                return error_set(reterr, -EBADMSG,
                                "the chain is not in the form that quoting enclaves write");
        *pos = begin + n;
        return certificate_new_profile(X509_ECDSA_P256, der, size, ret, reterr);
}

static int read_chain(TdResult *r) {
        Certificate **const places[CHAIN_BLOCKS] = { &r->leaf, &r->ca, &r->root };
        const TdSpan *chain = &r->quote.chain;
        size_t pos = 0;

        for (size_t i = 0; i < CHAIN_BLOCKS; i++) {
                _cleanup_free_ char *why = NULL;
                int k = read_block(chain, &pos, places[i], &why);

                if (k == -ENOMEM)
                        return k;
                if (k < 0)
                        return forged(r, TD_STEP_CHAIN, "certificate %zu of the quote: %s", i + 1,
                                        why ?: "?");
        }
        if (chain->size - pos > 1 || !bytes_are_zero(chain->data + pos, chain->size - pos))
                return forged(r, TD_STEP_CHAIN, "bytes follow the three certificates of the quote");
        return 1;
}

static int check_root(const TdVerifyInput *in, TdResult *r) {
        uint8_t fingerprint[SHA256_SIZE];
        int k = certificate_fingerprint(r->root, fingerprint);

        if (k < 0)
                return k;
        r->insecure_root = in->trust->insecure;
        if (memcmp(fingerprint, in->trust->fingerprint, sizeof(fingerprint)) != 0)
                return forged(r, TD_STEP_ROOT, "the root certificate '%s' of the quote does not have %s key",
                                r->root->common_name, in->trust->insecure ? "the given root's" : "Intel's");
        k = certificate_verify(r->root, r->root);
        if (k == -EKEYREJECTED || (k == 0 && !td_is_issuer(r->root, 1)))
                return forged(r, TD_STEP_ROOT, "the root certificate '%s' is not a proper self-signed root",
                                r->root->common_name);
        return k < 0 ? k : 1;
}

static int step_chain(const TdVerifyInput *in, TdResult *r) {
        int k = read_chain(r);

        if (k > 0)
                k = check_root(in, r);
        if (k <= 0)
                return k;
        if (strcmp(r->leaf->common_name, "Intel SGX PCK Certificate") != 0 ||
                        (strcmp(r->ca->common_name, TD_PLATFORM_CA) != 0 &&
                                        strcmp(r->ca->common_name, TD_PROCESSOR_CA) != 0))
                return forged(r, TD_STEP_CHAIN,
                                "the certificates are '%s' issued by '%s'; expected a PCK certificate of the Platform or Processor CA",
                                r->leaf->common_name, r->ca->common_name);
        k = certificate_verify(r->ca, r->root);
        if (k == -EKEYREJECTED || (k == 0 && !td_is_issuer(r->ca, 0)))
                return forged(r, TD_STEP_CHAIN, "the certificate '%s' is not an issuer signed by the root",
                                r->ca->common_name);
        if (k < 0)
                return k;
        k = certificate_verify(r->leaf, r->ca);
        if (k == -EKEYREJECTED || (k == 0 && r->leaf->is_ca))
                return forged(r, TD_STEP_CHAIN, "the PCK certificate is not signed by the '%s'",
                                r->ca->common_name);
        return k < 0 ? k : 1;
}

static int step_validity(const TdVerifyInput *in, TdResult *r) {
        const Certificate *const chain[] = { r->root, r->ca, r->leaf };

        for (size_t i = 0; i < ELEMENTSOF(chain); i++)
                if (in->now < chain[i]->not_before || in->now > chain[i]->not_after)
                        return forged(r, TD_STEP_VALIDITY,
                                        "the certificate '%s' is valid from %s to %s and is not valid at %s; use --time to verify for another time",
                                        chain[i]->common_name, date_text(chain[i]->not_before).text,
                                        date_text(chain[i]->not_after).text, date_text(in->now).text);
        return 1;
}

static int step_revocation(const TdVerifyInput *in, TdResult *r) {
        const Certificate *const pairs[][2] = { { r->root, r->ca }, { r->ca, r->leaf } };
        const char *missing = NULL;

        if (in->crl == SNP_CRL_OFF) {
                r->crl_note = strdup("turned off");
                return r->crl_note ? 1 : -ENOMEM;
        }
        for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
                bool current = false;
                int k = td_is_revoked(in, pairs[i][0], pairs[i][1], &current);

                if (k < 0)
                        return k;
                if (k > 0)
                        return forged(r, TD_STEP_REVOCATION, "the '%s' has revoked the certificate '%s'",
                                        pairs[i][0]->common_name, pairs[i][1]->common_name);
                if (!current && !missing)
                        missing = pairs[i][0]->common_name;
        }
        if (!missing)
                return 1;
        if (in->crl == SNP_CRL_REQUIRED)
                return td_fail(r, VERDICT_COLLATERAL_UNAVAILABLE, TD_STEP_REVOCATION,
                                "no genuine and current revocation list of the '%s' is available; pass it with --collateral",
                                missing);
        return asprintf(&r->crl_note, "no genuine and current list of the '%s' is available", missing) < 0
                        ? -ENOMEM
                        : 1;
}

/* --- signatures ---------------------------------------------------------------------------------------------------------- */

static int step_extensions(const TdVerifyInput *in, TdResult *r) {
        _cleanup_free_ char *why = NULL;
        int k = td_pck_read(r->leaf, &r->pck, &why);

        (void) in;
        return k == 0 ? 1 : k == -ENOMEM ? k : forged(r, TD_STEP_EXTENSIONS, "%s", why ?: "?");
}

static int step_qe_report(const TdVerifyInput *in, TdResult *r) {
        const TdQuote *q = &r->quote;
        int k = p256_key_verify(r->leaf->p256, q->qe_report.data, q->qe_report.size, q->qe_signature.data);

        (void) in;
        return k == 0 ? 1
                        : k == -EKEYREJECTED
                        ? forged(r, TD_STEP_QE_REPORT,
                                          "the PCK did not sign the report of the quoting enclave")
                        : k;
}

static int step_binding(const TdVerifyInput *in, TdResult *r) {
        const TdQuote *q = &r->quote;
        const uint8_t *data = q->qe_report.data + QE_REPORT_DATA;
        _cleanup_hash_ Hash *h = NULL;
        uint8_t digest[SHA256_SIZE];
        int k = hash_new(HASH_SHA256, &h);

        (void) in;
        if (k == 0)
                k = hash_update(h, q->key.data, q->key.size);
        if (k == 0)
                k = hash_update(h, q->qe_auth.data, q->qe_auth.size);
        if (k == 0)
                k = hash_final(h, digest);
        if (k < 0)
                return k;
        if (memcmp(data, digest, sizeof(digest)) != 0 ||
                        !bytes_are_zero(data + sizeof(digest),
                                        q->qe_report.size - QE_REPORT_DATA - sizeof(digest)))
                return forged(r, TD_STEP_BINDING,
                                "the attestation key is not the one in the quoting enclave's report");
        return 1;
}

static int step_signature(const TdVerifyInput *in, TdResult *r) {
        _cleanup_p256_key_ P256Key *key = NULL;
        const TdQuote *q = &r->quote;
        int k = p256_key_new(q->key.data, &key);

        (void) in;
        if (k == 0)
                k = p256_key_verify(key, q->signed_part.data, q->signed_part.size, q->signature.data);
        if (k == -EBADMSG || k == -EKEYREJECTED)
                return forged(r, TD_STEP_SIGNATURE,
                                "the signature of the quote is not by its attestation key");
        return k < 0 ? k : 1;
}

int td_verify(const TdVerifyInput *in, TdResult *ret) {
        static int (*const steps[])(const TdVerifyInput *, TdResult *) = {
                step_layout,
                step_chain,
                step_validity,
                step_revocation,
                step_extensions,
                step_qe_report,
                step_binding,
                step_signature,
                td_step_collateral,
                td_step_qe_identity,
                td_step_module,
        };
        TdResult r = {};
        int k = 1;

        for (size_t i = 0; k > 0 && i < ELEMENTSOF(steps); i++)
                k = steps[i](in, &r);
        if (k < 0) {
                td_result_done(&r);
                return k;
        }
        if (k > 0) {
                r.authentic = true;
                r.step = TD_STEP_POLICY;
        }
        *ret = r;
        return 0;
}
