/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* fetch: snpguest's file names (ark, ask or asvk, vcek, crl; .pem or .der) for what AMD's key service answers. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "crypto-pem.h"
#include "error.h"
#include "fd.h"
#include "report.h"
#include "snpguest.h"
#include "strutil.h"

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
        _cleanup_(snp_trust_done) SnpTrust trust;
        bool vcek = streq(what, "vcek"), vlek, pem;
        size_t n = strv_length(words);
        const char *path, *processor;
        SnpKdsItem item = {};
        SnpReport report;
        int64_t now;
        int r;

        snp_trust_init(&trust);
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
        processor = a->processor ?: !vcek && n == 3 ? words[2] : NULL;
        item.generation = _SNP_GENERATION_INVALID;
        if (path) {
                r = snpguest_read_report(path, &f, &report, reterr);
                if (r == 0)
                        r = snpguest_report_generation(&report, processor, &item.generation, reterr);
        } else
                r = processor ? snpguest_processor(processor, &item.generation, reterr) : 0;
        if (r < 0)
                return r;
        if (item.generation < 0)
                return path && report.version >= 3
                                ? error_set(reterr, -EINVAL,
                                                  "no known processor generation has CPUID family 0x%02x, model 0x%02x; pass -p",
                                                  report.cpuid_family, report.cpuid_model)
                                : error_set(reterr, -EINVAL,
                                                  path ? "version 2 reports do not name the processor; pass -p milan, -p genoa or -p turin"
                                                       : "expected a processor (milan, genoa or turin) or --report");

        item.report = &report;
        item.kind = vcek                    ? SNP_KDS_VCEK
                        : streq(what, "ca") ? (vlek ? SNP_KDS_VLEK_CHAIN : SNP_KDS_VCEK_CHAIN)
                                            : (vlek ? SNP_KDS_VLEK_CRL : SNP_KDS_VCEK_CRL);
        r = report_time(NULL, &now, reterr);
        if (r == 0)
                r = report_network_init(&network, &options, now, reterr);
        network.kds.trust = &trust;
        network.kds.unverified = true; /* verifying is the verify command's job */
        if (r == 0)
                r = snp_kds_fetch(&network.kds, &item, &pool, reterr);
        return r < 0 ? r : write_pool(words[1], pem, &pool, reterr);
}
