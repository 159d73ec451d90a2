/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-rtmr.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "strutil.h"

void rtmr_events_done(RtmrEvents *e) {
        FOREACH_ARRAY(i, e->items, e->n_items)
                free(i->name);
        free(e->items);
        *e = (RtmrEvents) {};
}

const char *rtmr_host_credentials(const RtmrEvents *predicted) {
        return predicted->imports ? "imported" : predicted->in_rtmr0 ? "rtmr0" : "ignored";
}

int edk2_profile_from_string(const char *s, Edk2Profile *ret, char **reterr) {
        _cleanup_free_ char *number = strndup(s, strcspn(s, "-"));
        const char *build = s + strcspn(s, "-");
        Edk2Profile p = {};

        if (!number)
                return -ENOMEM;
        /* The first release that logs anything; the last month of this century. */
        if (strlen(number) != 6 || parse_unsigned(number, &p.release) < 0 || p.release < 202208 ||
                        p.release > 209912 || (!streq(build, "-inteltdx") && !streq(build, "-ovmfx64")))
                return error_set(reterr, -EINVAL,
                                "expected a release of edk2 since 202208 and a build, such as 202608-inteltdx or 202502-ovmfx64, not '%s'",
                                s);
        p.secure_boot = streq(build, "-inteltdx");
        *ret = p;
        return 0;
}

int rtmr_events_from_log(const TdxLog *log, RtmrEvents *ret) {
        _cleanup_(rtmr_events_done) RtmrEvents e = {};
        unsigned acpi = 0;

        e.items = calloc(log->n_events + 1, sizeof(RtmrEvent));
        if (!e.items)
                return -ENOMEM;
        FOREACH_ARRAY(l, log->events, log->n_events) {
                RtmrEvent *to = e.items + e.n_items;

                to->rtmr = l->rtmr;
                to->type = l->type;
                memcpy(to->digest, l->digest, SHA384_SIZE);
                to->name = tdx_event_name(l, acpi);
                if (!to->name)
                        return -ENOMEM;
                acpi += tdx_event_is_acpi(l);
                e.n_items++;
        }
        *ret = TAKE_STRUCT(e, (RtmrEvents) {});
        return 0;
}

int rtmr_replay(const RtmrEvents *e, uint8_t ret[static TDX_RTMRS][SHA384_SIZE]) {
        uint8_t joined[2 * SHA384_SIZE];

        memset(ret, 0, (size_t) TDX_RTMRS * SHA384_SIZE);
        FOREACH_ARRAY(i, e->items, e->n_items) {
                int r;

                memcpy(joined, ret[i->rtmr], SHA384_SIZE);
                memcpy(joined + SHA384_SIZE, i->digest, SHA384_SIZE);
                r = hash_digest(HASH_SHA384, joined, sizeof(joined), ret[i->rtmr]);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The nth event of a register, or NULL. */
static const RtmrEvent *event_at(const RtmrEvents *e, unsigned rtmr, size_t nth) {
        FOREACH_ARRAY(i, e->items, e->n_items)
                if (i->rtmr == rtmr && nth-- == 0)
                        return i;
        return NULL;
}

int rtmr_compare(const RtmrEvents *predicted, const RtmrEvents *logged, RtmrDifference *ret) {
        for (unsigned rtmr = 0; rtmr < TDX_RTMRS; rtmr++)
                for (size_t nth = 0;; nth++) {
                        const RtmrEvent *a = event_at(predicted, rtmr, nth),
                                        *b = event_at(logged, rtmr, nth);

                        if (!a && !b)
                                break;
                        if (a && b && memcmp(a->digest, b->digest, SHA384_SIZE) == 0)
                                continue;
                        *ret = (RtmrDifference) { rtmr, nth, a, b };
                        return 1;
                }
        return 0;
}
