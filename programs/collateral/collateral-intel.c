/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the mirror does for Intel's PCS otherwise than for AMD's key service: statements and lists bring their issuer chain, which clients get in a header. */

#include <string.h>

#include "collateral-answer.h"

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
