/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Points in time as people type them, in UTC. */

#include <stdint.h>

#include "macro.h"

/* "2026-01-31", "2026-01-31T12:00:00Z", "2026-01-31 12:00:00", "@SECONDS"; NULL is now. Seconds since 1970; -EINVAL with an error message. */
_warn_unused_result_ int parse_date(const char *text, int64_t *ret, char **reterr);
/* "2026-01-31T12:00:00Z" */
typedef struct DateText {
        char text[32];
} DateText;
DateText date_text(int64_t seconds);
