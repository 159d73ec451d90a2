/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A directory for what only exists while a guest runs: keys, sockets. A child removes it once the launcher is gone, however it ended. */

#include "run-keeper.h"

typedef struct RuntimeDir {
        char *path; /* owned; NULL: none */
        Keeper keeper;
} RuntimeDir;

#define RUNTIME_DIR_NONE ((RuntimeDir) { .keeper = KEEPER_NONE })

/* Below $RUNTIME_DIRECTORY, /run/cvmspawn (root), $XDG_RUNTIME_DIR/cvmspawn or the directory for temporary files; mode 0700. */
_warn_unused_result_ int runtime_dir_make(const char *machine, RuntimeDir *ret, char **reterr);
void runtime_dir_done(RuntimeDir *d);
