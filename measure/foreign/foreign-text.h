/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A file that describes a guest, read whole; "-" is standard input. */

#include <stddef.h>

#include "macro.h"

/* `option` is the option's name without dashes. *ret is owned. */
_warn_unused_result_ int foreign_read_text(const char *option, const char *path, size_t max, char **ret,
                size_t *ret_size, char **reterr);
