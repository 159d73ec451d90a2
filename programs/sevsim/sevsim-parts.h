/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The programs and files of the simulation that lie beside this one. */

#include <stdbool.h>

#include "macro.h"

_warn_unused_result_ int sevsim_find_part(const char *name, char **ret, char **reterr);
/* complete: with AMD's part, which takes seconds. generation: NULL: Genoa. */
_warn_unused_result_ int sevsim_make_identity(
                const char *folder, bool complete, const char *generation, char **reterr);
bool sevsim_has_identity(const char *folder);
/* Prints the errors that --faults= takes; whether these are such. */
_warn_unused_result_ int sevsim_list_faults(char **reterr);
_warn_unused_result_ int sevsim_check_faults(const char *names, char **reterr);
