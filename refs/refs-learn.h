/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Floors of a bundle from the reports of machines that are known to be good: the lowest REPORTED_TCB of each processor generation, and the bits of
 * PLATFORM_INFO that all have in common. */

#include "refs-bundle.h"
#include "strutil.h"

/* A verified report. */
typedef struct RefsSeen {
        const char *path;
        const Json *result; /* weak: what `report verify --json` says of it */
        uint8_t sha256[SHA256_SIZE];
} RefsSeen;

typedef struct RefsLesson {
        const RefsSeen *seen;
        size_t n;
        uint64_t now; /* when they were seen */
        bool lower;   /* the bundle may accept more than before */
} RefsLesson;

/* Sets the floors and adds to what the bundle was learned from. What would accept more than the bundle did, a lower part of a TCB or another bit of the
 * platform, is -ESTALE with an error message that names the report, unless lower says that it is wanted. A report that is not verified: -EKEYREJECTED, -ESTALE if the
 * policy is not met, -ENODATA without a verdict. notes: a line for each change. */
_warn_unused_result_ int refs_learn(RefsBundle *b, const RefsLesson *lesson, Text *notes, char **reterr);
