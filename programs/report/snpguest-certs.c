/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* verify: snpguest's file names (ark, ask or asvk, vcek or vlek; .pem or .der) around our pool and verifier. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "bytes.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "input.h"
#include "log.h"
#include "report.h"
#include "snp-policy.h"
#include "snpguest.h"
#include "strutil.h"

#define LEAVES "vcek.pem, vcek.der, vlek.pem or vlek.der"

/* The first of NAME.pem and NAME.der: 1, 0 if there is neither. */
static int read_certificate(
                const char *dir, const char *name, bool named, SnpCollateral *pool, char **reterr) {
        static const char *const endings[] = { "pem", "der" };

        FOREACH_ARRAY(ending, endings, ELEMENTSOF(endings)) {
                _cleanup_free_ char *data = NULL, *path = NULL;
                size_t n;
                int r;

                if (asprintf(&path, "%s/%s.%s", dir, name, *ending) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                r = file_read_all(path, CERTIFICATE_SIZE_MAX * 2, &data, &n);
                if (r == -ENOENT)
                        continue;
                if (r < 0)
                        return input_error(NULL, path, CERTIFICATE_SIZE_MAX * 2, r, reterr);
                r = snp_collateral_add(pool, data, n, path, named, reterr);
                return r < 0 ? error_prefix(reterr, r, "%s", path) : 1;
        }
        return 0;
}

/* ark, ask or asvk, vcek or vlek from snpguest's directory; a VLEK takes precedence over a VCEK, as there. */
static int read_directory(const char *dir, SnpCollateral *pool, char **reterr) {
        static const char *const sets[][3] = { { "vlek", "asvk", "ark" }, { "vcek", "ask", "ark" } };
        struct stat st;
        int r, s = 0;

        if (stat(dir, &st) < 0)
                return error_set(reterr, -errno,
                                "cannot read the directory '%s': %s; expected " LEAVES " in it", dir,
                                strerror(errno));
        if (!S_ISDIR(st.st_mode))
                return error_set(reterr, -ENOTDIR,
                                "'%s' is not a directory; the certificates are looked up in one", dir);
        r = read_certificate(dir, sets[0][0], /* named= */ true, pool, reterr);
        if (r == 0) {
                s = 1;
                r = read_certificate(dir, sets[1][0], /* named= */ true, pool, reterr);
        }
        if (r == 0)
                return error_set(reterr, -ENOENT, "no leaf certificate in '%s': expected " LEAVES, dir);
        for (size_t i = 1; r > 0 && i < 3; i++) {
                r = read_certificate(dir, sets[s][i], /* named= */ false, pool, reterr);
                if (r == 0)
                        return error_set(reterr, -ENOENT,
                                        "no %s certificate in '%s': expected %s.pem or %s.der%s", sets[s][i],
                                        dir, sets[s][i], sets[s][i],
                                        s == 0 ? " (a VLEK is signed by asvk, not by ask)" : "");
        }
        return r < 0 ? r : 0;
}

/* --lax: snpguest's own judgement. Whatever root lies in the directory is trusted, for a time at which all certificates are valid. */
static int trust_directory(SnpTrust *t, const SnpCollateral *pool, int64_t *ret_now, char **reterr) {
        int64_t latest = INT64_MIN;
        int r = 0;

        for (size_t i = 0; r == 0 && i < pool->n_certificates; i++) {
                const Certificate *c = pool->certificates[i]->certificate;

                latest = MAX(latest, c->not_before);
                if (pool->certificates[i]->role == SNP_ROLE_ARK)
                        r = snp_trust_insecure_acknowledging_forgery(t, c, reterr);
        }
        if (r == 0) {
                log_warning("--lax: any root certificate is trusted and validity is not checked, as in snpguest");
                *ret_now = latest;
        }
        return r;
}

static int set_trust(const SnpguestArguments *a, SnpCollateral *pool, SnpTrust *t, int64_t *ret_now,
                char **reterr) {
        _cleanup_(snp_collateral_done) SnpCollateral roots = {};
        int r;

        r = report_time(a->time, ret_now, reterr);
        if (r < 0 || a->lax)
                return r < 0 ? r : trust_directory(t, pool, ret_now, reterr);
        if (!a->insecure_root)
                return 0;
        log_warning("--insecure-root: '%s' is trusted instead of AMD's root key", a->insecure_root);
        return report_trust_root(t, a->insecure_root, &roots, reterr);
}

static int check_certificate(const SnpCertificate *c, bool issuer, int64_t now, char **reterr) {
        const Certificate *x = c->certificate;

        if (now < x->not_before || now > x->not_after)
                return error_set(reterr, -EKEYREJECTED,
                                "%s: the certificate %s; use --time to verify for another time", c->origin,
                                now < x->not_before ? "is not valid yet" : "has expired");
        if (issuer && !snp_certificate_is_issuer(x))
                return error_set(reterr, -EKEYREJECTED, "%s: not marked as a CA of leaf certificates",
                                c->origin);
        return 0;
}

int snpguest_verify_certs(const SnpguestArguments *a, char **words, char **reterr) {
        _cleanup_(snp_collateral_done) SnpCollateral pool = {};
        _cleanup_(snp_trust_done) SnpTrust trust;
        const SnpCertificate *leaf, *ca, *root;
        int64_t now = 0;
        bool vlek;
        int r;

        snp_trust_init(&trust);
        if (strv_length(words) != 1)
                return error_set(reterr, -EINVAL, "verify certs: expected one directory");
        r = read_directory(words[0], &pool, reterr);
        if (r == 0)
                r = set_trust(a, &pool, &trust, &now, reterr);
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
                return error_set(reterr, -EKEYREJECTED, "the certificates' names do not form a chain");
        r = snp_trust_offer(&trust, root->certificate, reterr);
        if (r <= 0)
                return r < 0 ? r : error_set(reterr, -EKEYREJECTED, "The ARK does not have AMD's key!");
        if (certificate_verify(ca->certificate, trust.roots[root->generation].certificate) < 0)
                return error_set(reterr, -EKEYREJECTED, "The AMD %s was not signed by the AMD ARK!",
                                vlek ? "ASVK" : "ASK");
        if (certificate_verify(leaf->certificate, ca->certificate) < 0 || !leaf->leaf_valid)
                return error_set(reterr, -EKEYREJECTED, "The %s was not signed by the AMD %s!",
                                vlek ? "VLEK" : "VCEK", vlek ? "ASVK" : "ASK");
        r = check_certificate(root, /* issuer= */ false, now, reterr);
        if (r == 0)
                r = check_certificate(ca, /* issuer= */ true, now, reterr);
        if (r == 0)
                r = check_certificate(leaf, /* issuer= */ false, now, reterr);
        if (r < 0)
                return r;
        if (!a->quiet)
                printf("The AMD ARK was self-signed!\n"
                       "The AMD %s was signed by the AMD ARK!\n"
                       "The %s was signed by the AMD %s!\n",
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
        p->vmpl.rule = SNP_RULE_ANY; /* `snpguest report` asks for VMPL 1 */
        if (a->lax) {
                p->maximum_report_version.rule = SNP_RULE_ANY;
                p->allow_debug = p->allow_migration_agent = true;
        }
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

/* The lines of snpguest 0.9.2 in its order (FMC: since Turin), then those of 0.10 and newer. The line about the chip is last: all versions
 * up to 0.10 have it in their source, but take a VCEK for an intermediate certificate ("sev" in its name) and never print it. */
static void print_verified(const SnpguestArguments *a, const SnpResult *r) {
        static const struct {
                SnpTcbPart part;
                const char *name;
        } parts[] = {
                { SNP_TCB_BOOTLOADER, "Boot Loader" },
                { SNP_TCB_TEE, "TEE" },
                { SNP_TCB_SNP, "SNP" },
                { SNP_TCB_MICROCODE, "Microcode" },
                { SNP_TCB_FMC, "FMC" },
        };
        const struct {
                const char *value, *name;
        } fields[] = {
                { a->measurement, "Measurement" },
                { a->host_data, "Host Data" },
                { a->report_data, "Report Data" },
                { a->id_key_digest, "ID Key Digest" },
                { a->author_key_digest, "Author Key Digest" },
        };
        static const char format[] = "Reported TCB %s from certificate matches the attestation report.\n";

        if (!a->signature) {
                FOREACH_ARRAY(p, parts, ELEMENTSOF(parts))
                        if (snp_generation_has_tcb_part(r->generation, p->part))
                                printf(format, p->name);
        }
        if (!a->tcb)
                printf("VEK signed the Attestation Report!\n");
        FOREACH_ARRAY(f, fields, ELEMENTSOF(fields))
                if (f->value)
                        printf("%s verified successfully.\n", f->name);
        if (!a->signature && r->leaf->role == SNP_ROLE_VCEK &&
                        !bytes_are_zero(r->report.chip_id, sizeof(r->report.chip_id)))
                printf("Chip ID from certificate matches the attestation report.\n");
}

int snpguest_verify_attestation(const SnpguestArguments *a, char **words, char **reterr) {
        _cleanup_(violations_done) Violations violations = {};
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
                r = set_trust(a, &pool, &trust, &in.now, reterr);
        if (r == 0 && a->processor)
                r = snpguest_processor(a->processor, &in.generation, reterr);
        if (r == 0)
                r = fill_policy(a, &policy, reterr);
        if (r == 0)
                r = snpguest_read_report(words[1], &f, &report, reterr);
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
        if (!a->lax && report.vmpl > 1)
                return error_set(reterr, -EKEYREJECTED,
                                "the report was requested at VMPL %u, by less trusted software than the kernel of the guest; --lax accepts it",
                                report.vmpl);
        if (!a->quiet)
                print_verified(a, &result);
        return 0;
}
