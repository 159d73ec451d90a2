/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "refs-diff-expect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "date.h"
#include "strutil.h"

typedef struct Value {
        char text[96];
        bool given;
} Value;

static Value number(bool given, uint64_t n, bool hex) {
        Value v = { .given = given };

        (void) snprintf(v.text, sizeof(v.text), hex ? "0x%" PRIx64 : "%" PRIu64, n);
        return v;
}

static Value date(uint64_t seconds) {
        Value v = { .given = seconds > 0 };

        (void) snprintf(v.text, sizeof(v.text), "%s", date_text((int64_t) seconds).text);
        return v;
}

static Value on_off(bool given, bool on) {
        Value v = { .given = given };

        (void) snprintf(v.text, sizeof(v.text), "%s", on ? "on" : "off");
        return v;
}

static int put(Json *list, const char *what, Value a, Value b, bool lowered) {
        Json *j = NULL;
        int r;

        if (a.given == b.given && (!a.given || streq(a.text, b.text)))
                return 0;
        r = js_build(&j, "{s:s, s:s?, s:s?, s:b}", "what", what, "old", a.given ? a.text : NULL, "new",
                        b.given ? b.text : NULL, "lowered", lowered);
        return r < 0 ? r : js_append(list, j);
}

/* Part by part, so that each is seen to rise or fall. */
static int put_tcb(Json *list, const RefsBundle *old, const RefsBundle *new, SnpGeneration g) {
        for (int p = 0; p < _SNP_TCB_PART_MAX; p++) {
                uint8_t a = old->tcb[g].part[p], b = new->tcb[g].part[p];
                char what[64];
                int r;

                if (!snp_generation_has_tcb_part(g, (SnpTcbPart) p))
                        continue;
                (void) snprintf(what, sizeof(what), "tcb %s %s", snp_generation_to_string(g),
                                snp_tcb_part_to_string((SnpTcbPart) p));
                r = put(list, what, number(old->has_tcb[g], a, false), number(new->has_tcb[g], b, false),
                                old->has_tcb[g] && new->has_tcb[g] && b < a);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Without any floor, every TCB is accepted. */
static bool has_floors(const RefsBundle *b) {
        bool any = false;

        for (int g = 0; g < _SNP_GENERATION_MAX; g++)
                any = any || b->has_tcb[g];
        return any;
}

int refs_diff_expectations(const RefsBundle *old, const RefsBundle *new, Json **ret) {
        const RefsPlatform *a = &old->platform, *b = &new->platform;
        _cleanup_js_ Json *list = js_array();
        Value none = {}, some = { "given", true };
        int r = list ? 0 : -ENOMEM;

        for (int g = 0; r >= 0 && g < _SNP_GENERATION_MAX; g++)
                r = put_tcb(list, old, new, (SnpGeneration) g);
        if (r >= 0 && has_floors(old) && !has_floors(new))
                r = put(list, "tcb floors", some, none, true);
        if (r >= 0)
                r = put(list, "smt", on_off(a->has_smt, a->smt), on_off(b->has_smt, b->smt),
                                a->has_smt && !b->has_smt);
        if (r >= 0)
                r = put(list, "tsme", on_off(a->has_tsme, a->tsme), on_off(b->has_tsme, b->tsme),
                                a->has_tsme && !b->has_tsme);
        if (r >= 0)
                r = put(list, "guest-policy", number(old->has_guest_policy, old->guest_policy, true),
                                number(new->has_guest_policy, new->guest_policy, true),
                                old->has_guest_policy && !new->has_guest_policy);
        if (r >= 0)
                r = put(list, "expires", date(old->expires), date(new->expires),
                                old->expires > 0 && new->expires == 0);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(list);
        return 0;
}
