/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "encode.h"
#include "error.h"
#include "snp-kds-internal.h"
#include "strutil.h"

/* The service's words for the parts of a TCB, in the order it documents; Turin and later put fmcSPL in front. */
static const struct {
        SnpTcbPart part;
        const char *name;
} spl[] = {
        { SNP_TCB_FMC, "fmcSPL" },
        { SNP_TCB_BOOTLOADER, "blSPL" },
        { SNP_TCB_TEE, "teeSPL" },
        { SNP_TCB_SNP, "snpSPL" },
        { SNP_TCB_MICROCODE, "ucodeSPL" },
};

int snp_kds_identity(const SnpKdsItem *item, char **ret_hwid, SnpTcb *ret_tcb, char **reterr) {
        size_t n = snp_generation_chip_id_size(item->generation);

        if (bytes_are_zero(item->report->chip_id, sizeof(item->report->chip_id)))
                return error_set(reterr, -ENODATA,
                                "the host masks the chip id, so that AMD's key service cannot be asked for its key; give the VCEK with --leaf");
        if (snp_tcb_decode(item->report->reported_tcb, item->generation, ret_tcb) < 0)
                return error_set(reterr, -EBADMSG, "the reported TCB is not one of %s",
                                snp_generation_product(item->generation));
        *ret_hwid = hex_encode(item->report->chip_id, n);
        return *ret_hwid ? 0 : -ENOMEM;
}

int snp_kds_path(const SnpKdsItem *item, char **ret, char **reterr) {
        static const char *const fixed[] = {
                [SNP_KDS_VCEK_CHAIN] = "/vcek/v1/%s/cert_chain",
                [SNP_KDS_VLEK_CHAIN] = "/vlek/v1/%s/cert_chain",
                [SNP_KDS_VCEK_CRL] = "/vcek/v1/%s/crl",
                [SNP_KDS_VLEK_CRL] = "/vlek/v1/%s/crl",
        };
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *hwid = NULL;
        char separator = '?';
        SnpTcb tcb;
        int r;

        if (item->kind != SNP_KDS_VCEK) {
                const char *kind = fixed[item->kind], *mark = strstr(kind, "%s");

                text_put_n(&t, kind, (size_t) (mark - kind));
                text_put(&t, snp_generation_product(item->generation));
                text_put(&t, mark + 2);
                return text_finish(&t, ret);
        }
        r = snp_kds_identity(item, &hwid, &tcb, reterr);
        if (r < 0)
                return r;
        text_putf(&t, "/vcek/v1/%s/%s", snp_generation_product(item->generation), hwid);
        FOREACH_ARRAY(s, spl, ELEMENTSOF(spl))
                if (snp_generation_has_tcb_part(item->generation, s->part)) {
                        text_putf(&t, "%c%s=%02u", separator, s->name, tcb.part[s->part]);
                        separator = '&';
                }
        return text_finish(&t, ret);
}
