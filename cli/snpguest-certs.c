/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* fetch and verify: snpguest's file names (ark, ask or asvk, vcek or vlek, crl; .pem or .der) around our pool, cache and verifier. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "crypto-pem.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "input.h"
#include "log.h"
#include "report.h"
#include "snp-policy.h"
#include "snpguest.h"
#include "strutil.h"

static int processor_of(const char *name, SnpGeneration *ret, char **reterr) {
        *ret = snp_generation_from_string(name);
        return *ret < 0 ? error_set(reterr, -EINVAL,
                                          "'%s' is no processor: expected milan, genoa, bergamo, siena or "
                                          "turin",
                                          name)
                        : 0;
}

static int read_report(const char *path, ReportFile *f, SnpReport *ret, char **reterr) {
        int r;

        r = report_file_read(path, f, reterr);
        if (r < 0)
                return r;
        if (!f->readable)
                return error_set(reterr, -EBADMSG, "%s: %s", path, f->complaint ?: "not a report");
        r = snp_report_decode(f->evidence.report, f->evidence.report_size, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "%s", path) : 0;
}

static int write_encoded(const char *dir, const char *name, bool pem, const char *label, const void *p,
                size_t n, char **reterr) {
        _cleanup_free_ char *path = NULL, *text = NULL;

        if (asprintf(&path, "%s/%s.%s", dir, name, pem ? "pem" : "der") < 0)
                return -ENOMEM;
        if (!pem)
                return snpguest_write(path, p, n, reterr);
        text = pem_encode(label, p, n);
        return text ? snpguest_write(path, text, strlen(text), reterr) : -ENOMEM;
}

static int write_pool(const char *dir, bool pem, const SnpCollateral *pool, char **reterr) {
        static const char *const names[] = {
                [SNP_ROLE_ARK] = "ark",
                [SNP_ROLE_ASK] = "ask",
                [SNP_ROLE_ASVK] = "asvk",
                [SNP_ROLE_VCEK] = "vcek",
                [SNP_ROLE_VLEK] = "vlek",
        };
        int r;

        r = make_directories(dir);
        if (r < 0)
                return error_set(reterr, r, "cannot make '%s': %s", dir, strerror(-r));
        for (size_t i = 0; i < pool->n_certificates; i++) {
                const SnpCertificate *c = pool->certificates[i];

                r = write_encoded(dir, names[c->role], pem, "CERTIFICATE", c->certificate->der,
                                c->certificate->size, reterr);
                if (r < 0)
                        return r;
        }
        FOREACH_ARRAY(l, pool->crls, pool->n_crls) {
                r = write_encoded(dir, "crl", pem, "X509 CRL", l->crl->der, l->crl->size, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

int snpguest_fetch(const char *what, const SnpguestArguments *a, char **words, char **reterr) {
        const ReportArguments options = { .kds_url = a->kds, .cache = a->cache };
        _cleanup_(report_network_done) ReportNetwork network = {};
        _cleanup_(snp_collateral_done) SnpCollateral pool = {};
        _cleanup_(report_file_done) ReportFile f = {};
        bool vcek = streq(what, "vcek"), vlek, pem;
        size_t n = strv_length(words);
        const char *path;
        SnpKdsItem item = {};
        SnpReport report;
        int64_t now;
        int r;

        if (n < 2 || n > 3 || (vcek && n != 3) ||
                        (strcasecmp(words[0], "pem") != 0 && strcasecmp(words[0], "der") != 0))
                return error_set(reterr, -EINVAL, "fetch %s: expected PEM or DER, a directory and %s", what,
                                vcek ? "a report" : "a processor (or --report)");
        pem = strcasecmp(words[0], "pem") == 0;
        if (a->endorser && strcasecmp(a->endorser, "vcek") != 0 && strcasecmp(a->endorser, "vlek") != 0)
                return error_set(
                                reterr, -EINVAL, "--endorser: expected vcek or vlek, not '%s'", a->endorser);
        vlek = a->endorser && strcasecmp(a->endorser, "vlek") == 0;

        path = vcek ? words[2] : a->report;
        item.generation = _SNP_GENERATION_INVALID;
        if (path) {
                r = read_report(path, &f, &report, reterr);
                if (r < 0)
                        return r;
                item.generation = snp_report_generation(&report);
        }
        if (a->processor || (!vcek && n == 3)) {
                r = processor_of(a->processor ?: words[2], &item.generation, reterr);
                if (r < 0)
                        return r;
        }
        if (item.generation < 0)
                return error_set(reterr, -EINVAL,
                                "the processor is not known: name it, or give a report of version 3 or "
                                "later");

        item.report = &report;
        item.kind = vcek                    ? SNP_KDS_VCEK
                        : streq(what, "ca") ? (vlek ? SNP_KDS_VLEK_CHAIN : SNP_KDS_VCEK_CHAIN)
                                            : (vlek ? SNP_KDS_VLEK_CRL : SNP_KDS_VCEK_CRL);
        r = report_time(NULL, &now, reterr);
        if (r == 0)
                r = report_network_init(&network, &options, now, reterr);
        if (r == 0)
                r = snp_kds_fetch(&network.kds, &item, &pool, reterr);
        return r < 0 ? r : write_pool(words[1], pem, &pool, reterr);
}

/* ark, ask or asvk, vcek or vlek from snpguest's directory; a VLEK goes before a VCEK, as there. */
static int read_directory(const char *dir, SnpCollateral *pool, char **reterr) {
        static const char *const sets[][3] = { { "vlek", "asvk", "ark" }, { "vcek", "ask", "ark" } };

        for (size_t s = 0; s < ELEMENTSOF(sets); s++)
                for (size_t i = 0; i < 3; i++) {
                        _cleanup_free_ char *data = NULL, *path = NULL;
                        size_t n;
                        int r;

                        if (asprintf(&path, "%s/%s.pem", dir, sets[s][i]) < 0)
                                return -ENOMEM;
                        r = file_read_all(path, CERTIFICATE_SIZE_MAX * 2, &data, &n);
                        if (r == -ENOENT) {
                                (void) snprintf(path + strlen(path) - 3, 4, "der");
                                r = file_read_all(path, CERTIFICATE_SIZE_MAX * 2, &data, &n);
                        }
                        if (r == -ENOENT && s == 0 && i == 0)
                                break; /* no VLEK: then it is about a VCEK */
                        if (r < 0)
                                return input_error(NULL, path, CERTIFICATE_SIZE_MAX * 2, r, reterr);
                        r = snp_collateral_add(pool, data, n, path, /* named= */ i == 0, reterr);
                        if (r < 0)
                                return error_prefix(reterr, r, "%s", path);
                        if (i == 2)
                                return 0;
                }
        return error_set(reterr, -ENOENT, "no certificates in '%s'", dir);
}

static int trust_root(SnpTrust *t, const char *path, char **reterr) {
        _cleanup_certificate_ Certificate *c = NULL;
        _cleanup_free_ char *data = NULL;
        size_t n;
        int r;

        if (!path)
                return 0;
        r = file_read_all(path, CERTIFICATE_SIZE_MAX, &data, &n);
        if (r == 0)
                r = certificate_new(data, n, &c, reterr);
        if (r == 0)
                r = snp_trust_insecure_acknowledging_forgery(t, c, reterr);
        return r < 0 ? error_set(reterr, r, "--insecure-root: cannot use '%s': %s", path, strerror(-r)) : 0;
}

int snpguest_verify_certs(const SnpguestArguments *a, char **words, char **reterr) {
        _cleanup_(snp_collateral_done) SnpCollateral pool = {};
        _cleanup_(snp_trust_done) SnpTrust trust;
        const SnpCertificate *leaf, *ca, *root;
        bool vlek;
        int r;

        snp_trust_init(&trust);
        if (strv_length(words) != 1)
                return error_set(reterr, -EINVAL, "verify certs: expected one directory");
        r = read_directory(words[0], &pool, reterr);
        if (r == 0)
                r = trust_root(&trust, a->insecure_root, reterr);
        if (r < 0)
                return r;
        if (pool.n_certificates != 3)
                return error_set(reterr, -EBADMSG,
                                "expected one leaf, one intermediate and one root certificate");
        leaf = pool.certificates[0];
        ca = pool.certificates[1];
        root = pool.certificates[2];
        vlek = leaf->role == SNP_ROLE_VLEK;
        if (root->role != SNP_ROLE_ARK || ca->role != (vlek ? SNP_ROLE_ASVK : SNP_ROLE_ASK) ||
                        (leaf->role != SNP_ROLE_VCEK && !vlek) || ca->generation != root->generation ||
                        leaf->generation != root->generation)
                return error_set(reterr, -EKEYREJECTED, "the certificates' names do not make a chain");
        r = snp_trust_offer(&trust, root->certificate, reterr);
        if (r <= 0)
                return r < 0 ? r : error_set(reterr, -EKEYREJECTED, "The ARK does not have AMD's key!");
        if (certificate_verify(ca->certificate, trust.roots[root->generation].certificate) < 0)
                return error_set(reterr, -EKEYREJECTED, "The AMD %s was not signed by the AMD ARK!",
                                vlek ? "ASVK" : "ASK");
        if (certificate_verify(leaf->certificate, ca->certificate) < 0 || !leaf->leaf_valid)
                return error_set(reterr, -EKEYREJECTED, "The %s was not signed by the AMD %s!",
                                vlek ? "VLEK" : "VCEK", vlek ? "ASVK" : "ASK");
        if (!a->quiet)
                printf("The AMD ARK was self-signed!\nThe AMD %s was signed by the AMD ARK!\nThe %s was "
                       "signed by the AMD %s!\n",
                                vlek ? "ASVK" : "ASK", vlek ? "VLEK" : "VCEK", vlek ? "ASVK" : "ASK");
        return 0;
}

/* Hex with or without 0x, or base64; snpguest takes text without 0x for bytes, and so lets a forgotten prefix compare nonsense. */
static int expect_field(SnpPolicy *p, SnpBytesField f, const char *s, char **reterr) {
        uint8_t value[64];
        int r;

        if (!s)
                return 0;
        r = bytes_from_text(s, value, snp_field_size(f), reterr);
        if (r < 0)
                return error_prefix(reterr, r, "%s", snp_field_to_string(f));
        return snp_policy_accept(p, f, value, reterr);
}

static int fill_policy(const SnpguestArguments *a, SnpPolicy *p, char **reterr) {
        int r;

        /* snpguest asks for none of these: what is not given is not compared, and the text says so. */
        if (!a->measurement)
                snp_policy_accept_any_measurement_acknowledging_forgery(p);
        if (!a->report_data)
                snp_policy_accept_any_report_data_acknowledging_replay(p);
        p->vmpl.rule = SNP_RULE_ANY;
        p->maximum_report_version.rule = SNP_RULE_ANY;
        r = expect_field(p, SNP_FIELD_MEASUREMENT, a->measurement, reterr);
        if (r == 0)
                r = expect_field(p, SNP_FIELD_HOST_DATA, a->host_data, reterr);
        if (r == 0)
                r = expect_field(p, SNP_FIELD_REPORT_DATA, a->report_data, reterr);
        if (r == 0)
                r = expect_field(p, SNP_FIELD_ID_KEY_DIGEST, a->id_key_digest, reterr);
        if (r == 0)
                r = expect_field(p, SNP_FIELD_AUTHOR_KEY_DIGEST, a->author_key_digest, reterr);
        return r;
}

int snpguest_verify_attestation(const SnpguestArguments *a, char **words, char **reterr) {
        _cleanup_(snp_violations_done) SnpViolations violations = {};
        _cleanup_(snp_collateral_done) SnpCollateral pool = {};
        _cleanup_(report_file_done) ReportFile f = {};
        _cleanup_(snp_result_done) SnpResult result = {};
        _cleanup_(snp_policy_done) SnpPolicy policy;
        _cleanup_(snp_trust_done) SnpTrust trust;
        SnpVerifyInput in = { .collateral = &pool, .trust = &trust, .generation = _SNP_GENERATION_INVALID };
        SnpReport report;
        int r;

        snp_trust_init(&trust);
        snp_policy_init(&policy);
        if (strv_length(words) != 2)
                return error_set(reterr, -EINVAL, "verify attestation: expected a directory and a report");
        r = read_directory(words[0], &pool, reterr);
        if (r == 0)
                r = trust_root(&trust, a->insecure_root, reterr);
        if (r == 0 && a->processor)
                r = processor_of(a->processor, &in.generation, reterr);
        if (r == 0)
                r = report_time(a->time, &in.now, reterr);
        if (r == 0)
                r = fill_policy(a, &policy, reterr);
        if (r == 0)
                r = read_report(words[1], &f, &report, reterr);
        if (r < 0)
                return r;
        in.report = f.evidence.report;
        in.report_size = f.evidence.report_size;
        r = snp_verify(&in, &result);
        if (r < 0)
                return r;
        if (!result.authentic)
                return error_set(reterr, -EKEYREJECTED, "%s", result.sentence ?: "not authentic");
        r = snp_policy_judge(&policy, &result, &violations, reterr);
        if (r < 0)
                return r;
        FOREACH_ARRAY(v, violations.list, violations.n)
                log_error("%s did not match: expected %s, got %s", v->rule, v->expected, v->got);
        if (violations.n > 0)
                return 1;
        if (!a->quiet)
                printf("Reported TCB and chip ID from certificate match the attestation report.\n"
                       "VEK signed the Attestation Report!\n");
        return 0;
}
