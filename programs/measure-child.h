/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Other programs as children: rooms that may not use measure/ ask the measure program. */

#include "macro.h"

/* Runs `cvmspawn VERB ARGUMENTS`, with a file as its standard input or -EBADF, and takes what it prints (owned, without the last newline) and its exit
 * status. stderr is inherited. */
_warn_unused_result_ int verb_child(const char *verb, char *const *arguments, int input, char **ret,
                int *ret_status, char **reterr);
/* Runs `cvmspawn measure ARGUMENTS` and takes what it prints (owned, without the last newline) and its exit status. stderr is inherited. */
_warn_unused_result_ int measure_child(char *const *arguments, char **ret, int *ret_status, char **reterr);
/* The same, with a file as its standard input (/dev/stdin), at whatever position it has. */
_warn_unused_result_ int measure_child_with(
                char *const *arguments, int input, char **ret, int *ret_status, char **reterr);
