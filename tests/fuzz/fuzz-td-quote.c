/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Quotes and reports of TDs: a refusal has a sentence; what is accepted can be shown, and its parts lie inside the input. None is authentic: that takes
 * statements of Intel's, and there are none here. */

#include <stdint.h>
#include <stdlib.h>

#include "macro.h"
#include "td-quote.h"
#include "td-verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void verify(const uint8_t *data, size_t size) {
        _cleanup_(td_result_done) TdResult result = {};
        TdCollateral pool = {};
        TdTrust trust;
        TdVerifyInput in = {
                .quote = data, .quote_size = size, .collateral = &pool, .trust = &trust, .now = 1780000000
        };

        td_trust_init(&trust);
        if (td_verify(&in, &result) == 0 &&
                        (result.authentic || !result.sentence ||
                                        (result.verdict != VERDICT_NOT_AUTHENTIC &&
                                                        result.verdict != VERDICT_COLLATERAL_UNAVAILABLE)))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *error = NULL, *text = NULL, *field = NULL;
        _cleanup_js_ Json *j = NULL;
        TdQuote q;

        verify(data, size);
        if (td_quote_parse(data, size, &q, &error) < 0) {
                if (!error)
                        abort();
                return 0;
        }
        const TdSpan spans[] = { q.signed_part, q.signature, q.key, q.qe_report, q.qe_signature, q.qe_auth,
                q.chain, q.rest };

        FOREACH_ARRAY(s, spans, ELEMENTSOF(spans))
                if (s->size > 0 && (s->data < data || s->data + s->size > data + size))
                        abort();
        if (td_quote_text(&q, &text) < 0 || td_quote_json(&q, &j) < 0 ||
                        td_quote_field(&q, "measurement", &field) < 0)
                abort();
        return 0;
}
