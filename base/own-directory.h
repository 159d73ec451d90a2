/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <limits.h>

#include "macro.h"

typedef struct OwnDirectory {
        char path[PATH_MAX];
} OwnDirectory;

/* The directory of this program, as /proc knows it, without a slash at its end: 0 or -errno. */
_warn_unused_result_ int own_directory(OwnDirectory *ret);
