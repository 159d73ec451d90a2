/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The lines of a batch, from a file, a pipe or standard input, as they come. */

#include <stddef.h>
#include <stdio.h>

#include "macro.h"

#define BATCH_LINE_SIZE_MAX    (4u * 1024u * 1024u)
#define BATCH_LINE_SKIPPED_MAX (256u * 1024u * 1024u) /* a line as long as that is in no batch */

/* "-" is standard input. A named pipe is waited for, but not for ever. */
_warn_unused_result_ int batch_open(const char *path, FILE **ret, char **reterr);
/* One line into the buffer of BATCH_LINE_SIZE_MAX + 1 bytes: 1, 0 at the end, -E2BIG. *ret_size may be more than the buffer holds. */
_warn_unused_result_ int batch_read_line(FILE *f, char *line, size_t *ret_size);
