/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "collateral-request.h"

#include <errno.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "strutil.h"

#define NUMBER_DIGITS 3u /* 0 to 255 */

static const struct {
        const char *name;
        SnpTcbPart part;
} parameters[] = {
        { "fmcSPL", SNP_TCB_FMC },
        { "blSPL", SNP_TCB_BOOTLOADER },
        { "teeSPL", SNP_TCB_TEE },
        { "snpSPL", SNP_TCB_SNP },
        { "ucodeSPL", SNP_TCB_MICROCODE },
};

void collateral_request_done(CollateralRequest *q) {
        free(q->name);
        free(q->path);
        *q = (CollateralRequest) {};
}

SnpKdsKind collateral_chain_of(SnpKdsKind kind) {
        return kind == SNP_KDS_VLEK_CRL || kind == SNP_KDS_VLEK_CHAIN ? SNP_KDS_VLEK_CHAIN
                                                                      : SNP_KDS_VCEK_CHAIN;
}

static int name_it(const SnpKdsItem *item, CollateralRequest *ret, char **reterr) {
        _cleanup_(collateral_request_done)
                        CollateralRequest q = { .kind = item->kind, .generation = item->generation };
        int r = snp_kds_path(item, &q.path, reterr);

        if (r >= 0)
                r = snp_kds_file(item, &q.name, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(q, (CollateralRequest) {});
        return 0;
}

int collateral_request_of(SnpKdsKind kind, SnpGeneration generation, CollateralRequest *ret) {
        const SnpKdsItem item = { .kind = kind, .generation = generation };

        return name_it(&item, ret, NULL);
}

int collateral_request_intel(const TdPcsItem *item, CollateralRequest *ret) {
        _cleanup_(collateral_request_done)
                        CollateralRequest q = { .service = COLLATERAL_INTEL, .pcs = *item };
        int r = td_pcs_path(item, &q.path);

        if (r >= 0)
                r = td_pcs_file(item, &q.name);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(q, (CollateralRequest) {});
        return 0;
}

/* One "NAME=NUMBER" of the query. */
static int read_parameter(const char *text, size_t n, SnpGeneration g, bool seen[static _SNP_TCB_PART_MAX],
                SnpTcb *tcb) {
        const char *sign = memchr(text, '=', n);
        size_t name_size = sign ? (size_t) (sign - text) : 0, digits = sign ? n - name_size - 1 : 0;
        unsigned value = 0;

        if (digits == 0 || digits > NUMBER_DIGITS)
                return -EINVAL;
        for (size_t i = 0; i < digits; i++) {
                char c = sign[1 + i];

                if (c < '0' || c > '9')
                        return -EINVAL;
                value = value * 10 + (unsigned) (c - '0');
        }
        FOREACH_ARRAY(p, parameters, ELEMENTSOF(parameters))
                if (strlen(p->name) == name_size && memcmp(p->name, text, name_size) == 0) {
                        if (seen[p->part] || value > UINT8_MAX || !snp_generation_has_tcb_part(g, p->part))
                                return -EINVAL;
                        seen[p->part] = true;
                        tcb->part[p->part] = (uint8_t) value;
                        return 0;
                }
        return -EINVAL;
}

static int read_query(const char *query, SnpGeneration g, SnpTcb *ret) {
        bool seen[_SNP_TCB_PART_MAX] = {};
        SnpTcb tcb = {};

        for (;;) {
                size_t n = strcspn(query, "&");
                int r = read_parameter(query, n, g, seen, &tcb);

                if (r < 0)
                        return r;
                if (!query[n])
                        break;
                query += n + 1;
        }
        FOREACH_ARRAY(p, parameters, ELEMENTSOF(parameters))
                if (snp_generation_has_tcb_part(g, p->part) && !seen[p->part])
                        return -EINVAL;
        *ret = tcb;
        return 0;
}

static int read_leaf(const char *rest, SnpGeneration g, CollateralRequest *ret, char **reterr) {
        const char *query = strchr(rest, '?');
        size_t n = query ? (size_t) (query - rest) : strlen(rest), size = snp_generation_chip_id_size(g);
        _cleanup_free_ uint8_t *id = NULL;
        SnpReport report = {};
        const SnpKdsItem item = { SNP_KDS_VCEK, g, &report };
        size_t id_size = 0;
        SnpTcb tcb;

        if (!query || n != 2 * size || hex_decode(rest, n, &id, &id_size) < 0)
                return error_set(reterr, -EINVAL,
                                "expected cert_chain, crl, or the %zu hexadecimal digits of a %s chip and its TCB",
                                2 * size, snp_generation_product(g));
        if (read_query(query + 1, g, &tcb) < 0)
                return error_set(reterr, -EINVAL,
                                "expected each of %sblSPL, teeSPL, snpSPL and ucodeSPL once, as numbers up to 255",
                                snp_generation_has_tcb_part(g, SNP_TCB_FMC) ? "fmcSPL, " : "");
        memcpy(report.chip_id, id, MIN(id_size, sizeof(report.chip_id)));
        snp_tcb_encode(&tcb, g, report.reported_tcb);
        return name_it(&item, ret, reterr);
}

/* "/vcek/v1/Milan/...": what follows the product, or NULL. */
static const char *skip_product(const char *target, const char *kind, SnpGeneration *ret) {
        const char *rest = startswith(target, kind);

        for (int g = 0; rest && g < _SNP_GENERATION_MAX; g++) {
                const char *after = startswith(rest, snp_generation_product((SnpGeneration) g));

                if (after && *after == '/') {
                        *ret = (SnpGeneration) g;
                        return after + 1;
                }
        }
        return NULL;
}

int collateral_request_parse(const char *target, CollateralRequest *ret, char **reterr) {
        SnpGeneration g = _SNP_GENERATION_INVALID;
        const char *rest;
        TdPcsItem item;
        int r;

        if (strlen(target) > COLLATERAL_TARGET_MAX)
                return error_set(reterr, -ENOENT, "the address is longer than %u characters",
                                COLLATERAL_TARGET_MAX);
        if (td_pcs_path_parse(target, &item) >= 0)
                return collateral_request_intel(&item, ret);
        if (startswith(target, "/tdx/") || startswith(target, "/sgx/"))
                return error_set(reterr, -ENOENT,
                                "expected an address of Intel's PCS, version 4, that is mirrored: /tdx/certification/v4/tcb?fmspc=FMSPC, /tdx/certification/v4/qe/identity or /sgx/certification/v4/pckcrl?ca=platform&encoding=der (or processor)");
        rest = skip_product(target, "/vcek/v1/", &g);
        if (rest) {
                if (streq(rest, "cert_chain"))
                        return collateral_request_of(SNP_KDS_VCEK_CHAIN, g, ret);
                if (streq(rest, "crl"))
                        return collateral_request_of(SNP_KDS_VCEK_CRL, g, ret);
                r = read_leaf(rest, g, ret, reterr);
                return r == -ENODATA || r == -EBADMSG ? -EINVAL : r;
        }
        rest = skip_product(target, "/vlek/v1/", &g);
        if (rest && streq(rest, "cert_chain"))
                return collateral_request_of(SNP_KDS_VLEK_CHAIN, g, ret);
        if (rest && streq(rest, "crl"))
                return collateral_request_of(SNP_KDS_VLEK_CRL, g, ret);
        if (rest)
                return error_set(reterr, -ENOENT,
                                "AMD's key service has no VLEKs: AMD gives them to cloud providers, which hand them out with the report; only cert_chain and crl are mirrored below /vlek/v1/PRODUCT/");
        return error_set(reterr, -ENOENT,
                        "unknown address; expected /vcek/v1/PRODUCT/... or /vlek/v1/PRODUCT/... as at AMD's key service, or an address of Intel's PCS");
}
