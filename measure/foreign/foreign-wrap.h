/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A command line inside something: [brackets] as Go prints lists, `backquotes` of a page, or quotes, as an argument of another command
 * ("bash -c '...'", "ssh host '...'") or in a log. What surrounds it is not part of the kernel command line. */

#include <stdbool.h>
#include <stddef.h>

#include "macro.h"

typedef struct ForeignWrap {
        char *inner; /* owned; the command line without what is around it */
        size_t used; /* bytes of the text that it and its end are */
        bool raw;    /* blanks separate, nothing is quoted */
} ForeignWrap;

void foreign_wrap_done(ForeignWrap *w);

/* `s` is a program of `length` bytes in `text`. 1 if it is wrapped, 0 if not; -EINVAL with an error message where its end, or what
 * its quotes mean, is not known. */
_warn_unused_result_ int foreign_unwrap(
                const char *text, const char *s, size_t length, ForeignWrap *ret, char **reterr);

/* ExecStart= of a unit, with its prefixes: systemd expands % and $ in it, and has its escapes. True if the program at s is one. */
bool foreign_is_unit(const char *text, const char *s);
/* -EINVAL with an error message if n bytes of it have a meaning for systemd that they do not have for a shell. */
_warn_unused_result_ int foreign_check_unit(const char *s, size_t n, char **reterr);
