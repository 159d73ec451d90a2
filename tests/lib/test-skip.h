/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A test that cannot run here ends with status 77 and a sentence that says why; MUST_WORK=1 makes that a failure, so that CI
 * cannot go green on skips. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline int test_skip(const char *why) {
        const char *must = getenv("MUST_WORK");
        int strict = must && strcmp(must, "1") == 0;

        (void) printf("%s: %s\n", strict ? "FAILED, not skipped, since MUST_WORK=1" : "SKIPPED", why);
        return strict ? EXIT_FAILURE : 77;
}
