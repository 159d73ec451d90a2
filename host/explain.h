/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What lines of QEMU and of the kernel mean to a person. Texts: QEMU 10.0 and 11.1, target/i386/sev.c, accel/kvm, hw/i386; Linux
 * drivers/crypto/ccp, arch/x86/kvm/svm/sev.c; firmware errors: AMD 55766 and 56860, "Status codes". */

#include <stdbool.h>
#include <stdint.h>

#include "macro.h"

/* What a QEMU says that no longer has the option. */
#define QEMU_WITHOUT_MON       "-mon: invalid option"
#define QEMU_WITHOUT_PRECONFIG "-preconfig: invalid option"

typedef enum ExplainRank {
        EXPLAIN_NOTHING,    /* not known */
        EXPLAIN_MISLEADING, /* a consequence of something else, or noise: never the cause */
        EXPLAIN_GENERAL,    /* a cause, if nothing better is found */
        EXPLAIN_CAUSE,      /* the cause */
} ExplainRank;

/* Why an encrypted guest asked to be ended: owned, NULL without memory. */
char *explain_termination(uint64_t set, uint64_t code);

/* True for the lines of a launch that the kernel or the secure processor refused. */
bool explain_is_launch(const char *line);

/* One line. *ret_sentence (owned) is set for GENERAL and CAUSE: cause and remedy. */
_warn_unused_result_ int explain_line(const char *line, ExplainRank *ret, char **ret_sentence);

/* A line of the guest's kernel that says which technologies are active. *ret_sentence (owned) is NULL for other lines. */
_warn_unused_result_ int explain_active(const char *line, char **ret_sentence);
