/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is known of other programs' messages: tables, one row a message. A row can match only what its source can print: the unit
 * test holds each row against the format strings of that source in tests/golden/explain/formats.txt. */

#include "explain.h"

typedef struct ExplainRule {
        const char *text;   /* in the line */
        const char *second; /* also in the line, or NULL */
        ExplainRank rank;
        const char *source;   /* project and file, as formats.txt has them */
        const char *sentence; /* the cause, and what to do; NULL where it is MISLEADING */
} ExplainRule;

/* The first rule of a table that fits counts: special ones stand before general ones. */
extern const ExplainRule explain_qemu[], explain_qemu_line[], explain_host[], explain_guest[],
                explain_others[];
extern const size_t explain_qemu_n, explain_qemu_line_n, explain_host_n, explain_guest_n, explain_others_n;
