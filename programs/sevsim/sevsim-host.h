/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A simulated host that several commands share. Its folder has
 *   lock       byte 0 is locked by the process of the host, byte 1 by the commands that run on it: the kernel frees both, however they end
 *   host.json  what the host is: there from the moment that commands may join
 *   guests     a row for each address space identifier (sevsim/sim-host.c)
 *   platform/  unless --platform= names another one
 *   record/    unless --record= names another one; one folder run-NNN for each command */

#include "sevsim-world.h"

#define SEVSIM_LOCK_FILE     "lock"
#define SEVSIM_STATE_FILE    "host.json"
#define SEVSIM_GUESTS_FILE   "guests"
#define SEVSIM_GUESTS_ROW    64u
#define SEVSIM_GUESTS_ROWS   573u
#define SEVSIM_GUESTS_TDX    510u /* from here on they are key identifiers of TDs */
#define SEVSIM_LOCK_HOST     0
#define SEVSIM_LOCK_COMMANDS 1

typedef struct SevsimJoin {
        int lock_fd; /* owned */
        int host_fd; /* owned: the host's process; -EBADF: it is in another PID namespace */
        pid_t host;  /* its process; -1: in another PID namespace */
        char *run;   /* owned: the folder in the record; or NULL */
} SevsimJoin;

#define SEVSIM_JOIN_NONE ((SevsimJoin) { .lock_fd = -EBADF, .host_fd = -EBADF })

/* The process that holds a lock on the byte that this one would need: 0 none, -1 one in another PID namespace; or -errno. */
_warn_unused_result_ int sevsim_lock_holder(int fd, int byte, pid_t *ret);
/* Without waiting: -EAGAIN or -EACCES if another process has it. type: F_RDLCK, F_WRLCK or F_UNLCK. */
_warn_unused_result_ int sevsim_lock(int fd, int byte, short type);

/* Is a host until SIGTERM, SIGINT or SIGHUP. */
_warn_unused_result_ int sevsim_listen(const SevsimOptions *options, char **reterr);

/* Fills in what the host has, with a new folder in its record, and makes options->join the folder's full path. */
_warn_unused_result_ int sevsim_join(SevsimOptions *options, SevsimJoin *ret, char **reterr);
/* Prints the host and its guests. */
_warn_unused_result_ int sevsim_show_host(const SevsimOptions *options, char **reterr);
void sevsim_join_done(SevsimJoin *join);
