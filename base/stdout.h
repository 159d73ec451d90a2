/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a program prints must arrive, or its exit status says that it did not. Each main() begins with stdout_open() and ends with
 * stdout_finish(), also after --help and --version. */

#include "macro.h"

/* Closed standard descriptors are taken by /dev/null, open for reading only: no file of ours gets their numbers, and writing to
 * them fails. 0 or -errno. */
_warn_unused_result_ int stdout_open(void);

/* Flushes standard output. r < 0 is returned as it is; else r, or -EIO with an error message if anything that was printed has been
 * lost. */
_warn_unused_result_ int stdout_finish(int r, char **reterr);
