/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Temporary folders: made under $TMPDIR or /tmp, removed with all that is in them. */

#include <stdlib.h>

#include "macro.h"

/* NAME.XXXXXX for this user only; *ret is owned. -errno with an error message. */
_warn_unused_result_ int tree_make_temporary(const char *name, char **ret, char **reterr);
/* Removes what it can, without following links; takes NULL. Returns NULL; the string is freed. */
char *tree_remove(char *path);
DEFINE_TRIVIAL_CLEANUP_FUNC(char *, tree_remove);
#define _cleanup_tree_ _cleanup_(tree_removep)
