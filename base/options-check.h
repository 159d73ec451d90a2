/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which options have a meaning together: what options.c asks after all of them were read. */

#include <stdbool.h>

#include "options.h"

/* Whether a list of words separated by blanks has this one; list: or NULL. */
bool options_list_has(const char *list, const char *word);
/* Whether help and completion have it. */
static inline bool option_shown(const OptionRow *row) {
        return !(row->flags & (OPTION_HIDDEN | OPTION_UNSUPPORTED));
}
/* `given` has a member for each row; arguments: a list, or NULL. -EINVAL with an error message. Who asks for --help gets it. */
_warn_unused_result_ int options_check(
                const OptionTable *table, const bool *given, char *const *arguments, char **reterr);
