/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Verity partition pairs of a raw image, as kernel parameters: on the measured command line the root hash makes the disk a part of the
 * launch digest. */

#include "macro.h"

/* Appends roothash= and usrhash= for the pairs that are there: their number, 0 for an image without verity, -errno with an error message
 * for a pair that is there but cannot be used. path is for the sentence. */
_warn_unused_result_ int resolve_verity(const char *path, int fd, char ***cmdline, char **reterr);
