/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "report-td-references.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "strutil.h"

static const TdField registers[] = { TD_FIELD_MEASUREMENT, TD_FIELD_RTMR0, TD_FIELD_RTMR1, TD_FIELD_RTMR2 };
static_assert(ELEMENTSOF(registers) == ELEMENTSOF(((TdMatch *) NULL)->values), "a value for each register");

/* What a launch says of a register: 1 and its value, 0 for nothing. A bundle has been read, so that its digits are digits. */
static int register_of(const RefsLaunch *l, TdField f, uint8_t ret[static 48]) {
        const char *hex;

        if (f == TD_FIELD_MEASUREMENT) {
                memcpy(ret, l->runs->digests, 48);
                return 1;
        }
        hex = js_string_value(js_get(l->registers, td_field_to_string(f)));
        return hex && hex_decode_exact(hex, ret, 48) >= 0 ? 1 : 0;
}

static bool is_td(const RefsLaunch *l) {
        return l->mode == COCO_TDX && l->digest_size == 48 && l->n_runs > 0;
}

/* Does each launch say something of this register? */
static bool all_have(const ReportReferences *refs, TdField f) {
        uint8_t value[48];

        FOREACH_ARRAY(b, refs->bundles, refs->n_bundles)
                FOREACH_ARRAY(l, b->file.bundle.launches, b->file.bundle.n_launches)
                        if (is_td(l) && register_of(l, f, value) == 0)
                                return false;
        return refs->n_bundles > 0;
}

int td_references_check(const ReportReferences *refs, const TdPolicy *p, char **reterr) {
        TdPolicy together = *p;

        for (size_t i = 0; i < ELEMENTSOF(registers); i++) {
                SnpBytesRule *rule = together.bytes + registers[i];
                bool all = all_have(refs, registers[i]);

                if (all && rule->rule == SNP_RULE_SET)
                        return error_set(reterr, -EINVAL,
                                        "%s is expected twice, by --reference= and by an option or policy file: leave one out",
                                        td_field_to_string(registers[i]));
                if (all && rule->rule == SNP_RULE_UNSET)
                        rule->rule = SNP_RULE_SET;
        }
        return td_policy_decided(&together, reterr);
}

void td_match_done(TdMatch *m) {
        free(m->text);
        *m = (TdMatch) {};
}

/* How many of the registers that nobody else decides about are as this launch has them, and how many there are. */
static size_t compare(const RefsLaunch *l, const TdPolicy *p, const TdQuote *q, size_t *ret_all) {
        uint8_t value[48];
        size_t same = 0;

        *ret_all = 0;
        for (size_t i = 0; i < ELEMENTSOF(registers); i++) {
                if (p->bytes[registers[i]].rule != SNP_RULE_UNSET ||
                                register_of(l, registers[i], value) == 0)
                        continue;
                (*ret_all)++;
                same += memcmp(value, td_field_bytes(q, registers[i]), sizeof(value)) == 0;
        }
        return same;
}

/* Only registers that no option decides about: one that is waived stays so. */
static void take(const RefsLaunch *l, TdMatch *m) {
        for (size_t i = 0; i < ELEMENTSOF(registers); i++) {
                SnpBytesRule *rule = m->policy.bytes + registers[i];

                if (rule->rule == SNP_RULE_UNSET && register_of(l, registers[i], m->values[i]) == 1)
                        *rule = (SnpBytesRule) {
                                .rule = SNP_RULE_SET, .values = m->values[i], .n_values = 1
                        };
        }
}

int td_references_find(const ReportReferences *refs, const TdPolicy *p, const TdQuote *q, TdMatch *ret) {
        const ReportBundle *bundle = NULL;
        const RefsLaunch *best = NULL;
        size_t most = 0;

        ret->policy = *p;
        FOREACH_ARRAY(b, refs->bundles, refs->n_bundles)
                FOREACH_ARRAY(l, b->file.bundle.launches, b->file.bundle.n_launches) {
                        size_t all, same = is_td(l) ? compare(l, p, q, &all) : 0;

                        if (!is_td(l) || (best && same <= most))
                                continue;
                        best = l;
                        bundle = b;
                        most = same;
                        ret->found = same == all;
                }
        if (!best)
                return 0;
        take(best, ret);
        {
                _cleanup_free_ char *launch = NULL;
                int r = refs_launch_text(best, &launch);

                if (r >= 0 &&
                                asprintf(&ret->text, "%s; %s (sequence %" PRIu64 ")", launch, bundle->path,
                                                bundle->file.bundle.sequence) < 0) {
                        ret->text = NULL;
                        r = -ENOMEM;
                }
                return r;
        }
}
