/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whether a place for output can be written to, without making or changing anything: the result of a later call. */

#include "macro.h"

/* Of opening it for writing, with O_CREAT: 0 or -errno. */
_warn_unused_result_ int file_check_create(const char *path);
/* Of making a file or directory of this name, which is not there: 0 or -errno. */
_warn_unused_result_ int file_check_parent(const char *path);
