/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the mirror does for Intel's PCS otherwise than for AMD's key service: statements and lists bring their issuer chain, which clients get in a header, and the
 * ones that are in the cache are kept fresh. */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "collateral-answer.h"
#include "log.h"
#include "strutil.h"

int collateral_intel_hand_out(const CollateralRequest *q, const SnpKdsKept *k, HttpdAnswer *ret) {
        _cleanup_(td_pcs_form_done) TdPcsForm f = {};
        bool statement = q->pcs.kind == TD_PCS_TCB_INFO || q->pcs.kind == TD_PCS_QE_IDENTITY;
        int r = td_pcs_form_read(q->pcs.kind, k->data, k->size, &f);

        if (r < 0)
                return r;
        ret->type = statement ? "application/json" : "application/pkix-crl";
        ret->header_name = td_pcs_header(q->pcs.kind);
        if (ret->header_name) {
                ret->header_value = td_pcs_chain_encode(f.chain, f.chain_size);
                if (!ret->header_value)
                        return -ENOMEM;
        }
        ret->body = malloc(f.body_size + 1);
        if (!ret->body)
                return -ENOMEM;
        memcpy(ret->body, f.body, f.body_size);
        ret->size = f.body_size;
        return 0;
}

/* What clients asked for once is downloaded again before it is overdue; the queue asks for a name once. */
static int refresh(CollateralDesk *d, const char *name, const TdPcsItem *item) {
        _cleanup_(collateral_request_done) CollateralRequest q = {};
        _cleanup_(snp_kds_kept_done) SnpKdsKept k = {};
        int64_t wall = (int64_t) time(NULL);
        CollateralDecision decision;
        uint64_t msec;
        int r = collateral_store_load(&d->store, name, &k);

        if (r >= 0 && wall - k.stored < collateral_desk_period(d, &k, wall))
                return 0;
        if (r >= 0)
                r = collateral_request_intel(item, &q);
        if (r >= 0)
                r = collateral_desk_ask(d, &q, COLLATERAL_AHEAD, "", &decision, &msec);
        return r == -ENOENT ? 0 : r;
}

int collateral_intel_refresh(CollateralDesk *d) {
        _cleanup_strv_free_ char **list = NULL;
        int r = collateral_store_names(&d->store, &list, NULL);

        if (r < 0)
                return r == -ENOMEM ? r : 0;
        STRV_FOREACH(name, list) {
                TdPcsItem item;

                r = td_pcs_file_parse(*name, &item) < 0 ? 0 : refresh(d, *name, &item);
                if (r < 0)
                        return r;
        }
        return 0;
}
