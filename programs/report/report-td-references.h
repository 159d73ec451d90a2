/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* TDX quotes against reference bundles: MRTD and RTMR0 to RTMR2 must be those of one launch, not each of any. */

#include "report-references.h"
#include "td-registers.h"

/* Do options and bundles together decide about each register, and no register twice? -EINVAL with an error message. */
_warn_unused_result_ int td_references_check(const ReportReferences *refs, const TdPolicy *p, char **reterr);

typedef struct TdMatch {
        TdPolicy policy; /* its lists are borrowed: from the policy that it was made of, and from `registers` */
        TdRegisters registers;
        char *text; /* owned: the launch that the quote is compared with */
        bool found; /* all that the launch says of registers is in the quote */
} TdMatch;

void td_match_done(TdMatch *m);

/* The launch that the quote is, or is nearest to; the policy then accepts its registers only. */
_warn_unused_result_ int td_references_find(
                const ReportReferences *refs, const TdPolicy *p, const TdQuote *q, TdMatch *ret);
