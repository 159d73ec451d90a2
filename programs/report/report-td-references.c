/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "report-td-references.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "refs-registers.h"
#include "strutil.h"

/* Does each launch say something of this register? */
static bool all_have(const ReportReferences *refs, size_t i) {
        TdRegisters r;

        FOREACH_ARRAY(b, refs->bundles, refs->n_bundles)
                FOREACH_ARRAY(l, b->file.bundle.launches, b->file.bundle.n_launches)
                        if (refs_launch_registers(l, &r) && !r.has[i])
                                return false;
        return refs->n_bundles > 0;
}

int td_references_check(const ReportReferences *refs, const TdPolicy *p, char **reterr) {
        TdPolicy together = *p;

        for (size_t i = 0; i < TD_REGISTERS; i++) {
                SnpBytesRule *rule = together.bytes + td_register_field(i);
                bool all = all_have(refs, i);

                if (all && rule->rule == SNP_RULE_SET)
                        return error_set(reterr, -EINVAL,
                                        "%s is expected twice, by --reference= and by an option or policy file: leave one out",
                                        td_field_to_string(td_register_field(i)));
                if (all && rule->rule == SNP_RULE_UNSET)
                        rule->rule = SNP_RULE_SET;
        }
        return td_policy_decided(&together, reterr);
}

void td_match_done(TdMatch *m) {
        free(m->text);
        *m = (TdMatch) {};
}

int td_references_find(const ReportReferences *refs, const TdPolicy *p, const TdQuote *q, TdMatch *ret) {
        const ReportBundle *bundle = NULL;
        const RefsLaunch *best = NULL;
        _cleanup_free_ char *launch = NULL;
        size_t most = 0;
        int r;

        ret->policy = *p;
        FOREACH_ARRAY(b, refs->bundles, refs->n_bundles)
                FOREACH_ARRAY(l, b->file.bundle.launches, b->file.bundle.n_launches) {
                        TdRegisters registers;
                        size_t all, same;

                        if (!refs_launch_registers(l, &registers))
                                continue;
                        same = td_registers_compare(&registers, p, q, &all);
                        if (best && same <= most)
                                continue;
                        best = l;
                        bundle = b;
                        most = same;
                        ret->registers = registers;
                        ret->found = same == all;
                }
        if (!best)
                return 0;
        ret->policy.unshielded = !td_registers_shielded(&ret->registers, p);
        td_registers_expect(&ret->registers, &ret->policy);
        r = refs_launch_text(best, &launch);
        if (r >= 0 &&
                        asprintf(&ret->text, "%s; %s (sequence %" PRIu64 ")", launch, bundle->path,
                                        bundle->file.bundle.sequence) < 0) {
                ret->text = NULL;
                r = -ENOMEM;
        }
        return r;
}
