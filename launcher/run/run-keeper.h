/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A child that removes what only exists while a launcher runs, once that launcher is gone, however it ended. */

#include "process.h"

#define KEEPER_NAME "cvmspawn-keeper" /* as ps(1) shows it */

typedef struct Keeper {
        Process process;
        int lifeline; /* owned: the child waits for its end */
} Keeper;

#define KEEPER_NONE ((Keeper) { .process = PROCESS_NONE, .lifeline = -EBADF })

typedef struct KeeperJob {
        int (*begin)(const void *userdata); /* NULL: nothing; negative errno: keeper_start() returns it, and no end follows */
        void (*end)(const void *userdata);
        const void *userdata; /* weak: the child has a copy */
} KeeperJob;

/* Returns once begin() has returned and nothing ends the child any more but the launcher's end. */
_warn_unused_result_ int keeper_start(const KeeperJob *job, Keeper *ret);
/* Lets the child end; end() has returned then. */
void keeper_done(Keeper *k);
/* Ends the child without end(). */
void keeper_dismiss(Keeper *k);
