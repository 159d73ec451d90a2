/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "guest-device.h"
#include "td-quote.h"

int guest_quote_check(const GuestReport *r, const uint8_t data[static GUEST_REPORT_DATA], char **reterr) {
        _cleanup_free_ char *why = NULL;
        TdQuote quote;
        int k = td_quote_parse(r->report, r->report_size, &quote, &why);

        if (k == -ENOMEM)
                return k;
        if (k < 0 || quote.version == 0)
                return error_set(reterr, -EBADMSG, "what the host's quote service sent is not a quote: %s",
                                why ?: "it has no signature");
        if (memcmp(quote.report_data, data, GUEST_REPORT_DATA) != 0)
                return error_set(reterr, -EBADMSG,
                                "the report data of the quote differ from the requested data: the quote was discarded");
        return 0;
}
