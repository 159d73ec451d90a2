/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A command line of systemd-vmspawn(1), version 262, taken apart: what it hands to QEMU that is measured. */

#include <stdbool.h>

#include "macro.h"

typedef struct VmspawnLine {
        char **options; /* owned: the launcher's options with the same meaning, without words */
        char **words;   /* owned: the kernel command line, with the parameters that vmspawn adds */
        char *image; /* owned: whose partition table names the root if no word does; NULL: no image, or a word does */
        char *kernel;   /* owned: --linux */
        char **notices; /* owned */
} VmspawnLine;

void vmspawn_line_done(VmspawnLine *l);

/* `term` is $TERM of the environment, for lines that set none; may be NULL. What would make the digest unpredictable is refused by name unless
 * `assumed` has it. */
_warn_unused_result_ int vmspawn_line_read(
                const char *text, const char *term, char *const *assumed, VmspawnLine *ret, char **reterr);
