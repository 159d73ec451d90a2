/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Certificates of SEV platforms, as a host sends them. What must hold for any input: what was read formats back to the same bytes,
 * and no chain is authentic unless it ends at an anchor (here there is none, so none ever is). */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "attest-chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_sev(const SevCert *c) {
        SevCert copy = *c;

        memset(copy.raw, 0xee, sizeof(copy.raw));
        sev_cert_format(&copy);
        assert(memcmp(copy.raw, c->raw, sizeof(c->raw)) == 0);
}

static void check_amd(const AmdCert *c) {
        AmdCert copy = *c;

        memset(copy.raw, 0xee, sizeof(copy.raw));
        amd_cert_format(&copy);
        assert(copy.raw_size == c->raw_size && memcmp(copy.raw, c->raw, c->raw_size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const TrustAnchors nobody = { NULL, 0 };
        _cleanup_(sev_chain_report_done) SevChainReport report = {};
        _cleanup_free_ SevChain *chain = calloc(1, sizeof(SevChain));
        _cleanup_free_ char *error = NULL;
        int r;

        if (!chain)
                abort();
        r = sev_chain_add(chain, data, size, /* allow_unsigned_ark= */ size % 2, &error);
        assert(r >= 0 || error);
        if (chain->has_pdh)
                check_sev(&chain->pdh);
        if (chain->has_pek)
                check_sev(&chain->pek);
        if (chain->has_cek)
                check_sev(&chain->cek);
        if (chain->has_ask)
                check_amd(&chain->ask);
        if (chain->has_ark)
                check_amd(&chain->ark);
        if (r < 0)
                return 0;
        r = sev_chain_verify(chain, &(SevChainPolicy) { .anchors = &nobody, .accept_unsigned_ark = true },
                        &report);
        assert(r >= 0);
        assert(report.verdict == VERDICT_NOT_AUTHENTIC || report.verdict == VERDICT_COLLATERAL_UNAVAILABLE);
        return 0;
}
