/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A quote for people and programs: one table of fields makes the text, the JSON and the single fields. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bytes.h"
#include "encode.h"
#include "strutil.h"
#include "td-quote.h"

typedef struct FieldRow {
        const char *name, *label;
        size_t offset, size; /* 8 as a number: attributes, XFAM */
        bool number, td15;
} FieldRow;

#define ROW(name, label, member, number, td15)                                                              \
        { name, label, offsetof(TdQuote, member), sizeof(((TdQuote *) 0)->member), number, td15 }

static const FieldRow rows[] = {
        ROW("attributes", "Attributes", attributes, true, false),
        ROW("xfam", "XFAM", xfam, true, false),
        ROW("mrtd", "MRTD", mrtd, false, false),
        ROW("rtmr0", "RTMR0", rtmr[0], false, false),
        ROW("rtmr1", "RTMR1", rtmr[1], false, false),
        ROW("rtmr2", "RTMR2", rtmr[2], false, false),
        ROW("rtmr3", "RTMR3", rtmr[3], false, false),
        ROW("mrconfigid", "MRCONFIGID", mrconfigid, false, false),
        ROW("mrowner", "MROWNER", mrowner, false, false),
        ROW("mrownerconfig", "MROWNERCONFIG", mrownerconfig, false, false),
        ROW("report-data", "Report data", report_data, false, false),
        ROW("tee-tcb-svn", "TEE TCB SVN", tee_tcb_svn, false, false),
        ROW("mrseam", "MRSEAM", mrseam, false, false),
        ROW("mrsignerseam", "MRSIGNERSEAM", mrsignerseam, false, false),
        ROW("seam-attributes", "SEAM attributes", seam_attributes, false, false),
        ROW("tee-tcb-svn2", "TEE TCB SVN 2", tee_tcb_svn2, false, true),
        ROW("mrservicetd", "MRSERVICETD", mrservicetd, false, true),
};

static const uint8_t *member(const TdQuote *q, const FieldRow *row) {
        return (const uint8_t *) q + row->offset;
}

static char *value(const TdQuote *q, const FieldRow *row) {
        char *s;

        if (!row->number)
                return hex_encode(member(q, row), row->size);
        return asprintf(&s, "0x%" PRIx64, *(const uint64_t *) (const void *) member(q, row)) < 0 ? NULL : s;
}

int td_quote_text(const TdQuote *q, char **ret) {
        _cleanup_(text_done) Text t = {};

        if (q->version > 0)
                text_putf(&t, "%-16s TD quote, version %u, not verified\n", "Kind", q->version);
        else
                text_putf(&t, "%-16s TDREPORT, which only the processor that made it can verify\n", "Kind");
        FOREACH_ARRAY(row, rows, ELEMENTSOF(rows)) {
                _cleanup_free_ char *s = value(q, row);

                if (!s)
                        return -ENOMEM;
                if (!row->td15 || q->td15)
                        text_putf(&t, "%-16s %s\n", row->label, s);
        }
        if (q->attributes & TDX_ATTRIBUTES_UNTRUSTED)
                text_putf(&t, "%-16s the host may debug this TD and read its memory\n", "Warning");
        if (!bytes_are_zero(q->rest.data, q->rest.size))
                text_putf(&t, "%-16s %zu bytes follow the quote, which no signature covers\n", "Warning",
                                q->rest.size);
        return text_finish(&t, ret);
}

int td_quote_json(const TdQuote *q, Json **ret) {
        _cleanup_js_ Json *j = NULL;
        int r = js_build(&j, "{s:s, s:b}", "kind", q->version > 0 ? "tdx-quote" : "tdx-report", "verified",
                        false);

        if (r >= 0 && q->version > 0)
                r = js_set(j, "version", js_u64(q->version));
        FOREACH_ARRAY(row, rows, ELEMENTSOF(rows)) {
                _cleanup_free_ char *s = value(q, row);

                if (!s)
                        return -ENOMEM;
                if (r >= 0 && (!row->td15 || q->td15))
                        r = js_set(j, row->name, js_string(s));
        }
        if (r >= 0)
                r = js_set(j, "debug", js_bool(q->attributes & TDX_ATTRIBUTES_UNTRUSTED));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(j);
        return 0;
}

int td_quote_field(const TdQuote *q, const char *name, char **ret) {
        static const struct {
                const char *name, *row;
        } names[] = { { "measurement", "mrtd" }, { "report-data", "report-data" },
                { "policy", "attributes" } };

        if (streq(name, "version"))
                return asprintf(ret, "%u", q->version) < 0 ? -ENOMEM : 0;
        FOREACH_ARRAY(n, names, ELEMENTSOF(names))
                FOREACH_ARRAY(row, rows, ELEMENTSOF(rows))
                        if (streq(n->name, name) && streq(n->row, row->name)) {
                                *ret = value(q, row);
                                return *ret ? 0 : -ENOMEM;
                        }
        return -ENOENT;
}
