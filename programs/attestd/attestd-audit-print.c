/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn-attestd --audit: the audit trail as JSON lines, each row with whether it is as it was written. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "attestd-audit.h"
#include "attestd.h"
#include "date.h"
#include "error.h"
#include "json.h"
#include "log.h"

#define STATUS_DAMAGED 2

typedef struct Print {
        uint64_t rows, damaged;
} Print;

static int print_row(void *userdata, const AuditRow *row, const uint8_t link[static STORE_AUDIT_SIZE],
                bool good) {
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        Print *p = userdata;
        int r = js_build(&j, "{s:s, s:s, s:s, s:I, s:o, s:b}", "time", date_text(row->time).text, "vm",
                        row->vm, "event", row->what, "position", row->position, "link",
                        js_hex(link, STORE_AUDIT_SIZE), "verified", good);

        p->rows++;
        p->damaged += !good;
        if (r >= 0 && row->launch[0])
                r = js_set(j, "launch-id", js_string(row->launch));
        if (r < 0)
                return r;
        text = js_text(j, JS_SHORT);
        if (!text)
                return -ENOMEM;
        return printf("%s\n", text) < 0 ? -EIO : 0;
}

int attestd_audit(const AttestdWorld *w, int *ret_status, char **reterr) {
        Print p = {};
        int r = audit_verify(w->store, print_row, &p);

        if (r < 0)
                return error_set(reterr, r, "--audit: cannot read '%s': %s", w->store_name, strerror(-r));
        if (p.damaged > 0) {
                log_error("--audit: %" PRIu64 " of %" PRIu64
                          " rows are not as they were written, or rows before them are missing",
                                p.damaged, p.rows);
                *ret_status = STATUS_DAMAGED;
        }
        return 0;
}
