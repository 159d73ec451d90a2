/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <limits.h>

#include "macro.h"

/* The directory of this program, as /proc knows it, without a slash behind: 0 or -errno. */
_warn_unused_result_ int own_directory(char ret[static PATH_MAX]);
