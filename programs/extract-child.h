/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The extract program as a child: programs that launch or measure ask it what is in a disk image, and read none of it themselves. */

#include "json.h"

typedef struct ExtractChild {
        int kernel, initrd; /* owned; sealed memory files; -EBADF: none */
        Json *finding;      /* owned; as 'cvmspawn extract --json' prints it */
} ExtractChild;

#define EXTRACT_CHILD_NONE ((ExtractChild) { .kernel = -EBADF, .initrd = -EBADF })

void extract_child_done(ExtractChild *c);
/* format: of extract's --format=, or NULL: by the file's name. backing: of its --backing-file=, or NULL. -ENOENT: no kernel in it; each failure
 * with an error message. */
_warn_unused_result_ int extract_child(const char *image, const char *format, char *const *backing,
                ExtractChild *ret, char **reterr);
/* What of a finding's "kernel" stands in the way of an SEV-SNP guest, a sentence each, is appended to the list. */
_warn_unused_result_ int extract_kernel_problems(const Json *kernel, char ***list);
