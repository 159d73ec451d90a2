/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Children: one way to start a program, one handle (pidfd) to hold it, one way to end it. A child dies with its parent
 * (PR_SET_PDEATHSIG), has default signal handling, and inherits no descriptor that was not named. */

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "macro.h"

typedef struct Process {
        pid_t pid; /* 0: none */
        int pidfd; /* owned; -EBADF: none */
} Process;

#define PROCESS_NONE ((Process) { .pidfd = -EBADF })

typedef struct ProcessSpec {
        const char *file;    /* path, or a name to look up in PATH */
        char *const *argv;   /* with argv[0] */
        char *const *env;    /* NULL: inherited */
        int stdin_fd;        /* negative: /dev/null */
        int stdout_fd;       /* negative: /dev/null */
        int stderr_fd;       /* negative: inherited */
        const int *keep_fds; /* inherited under the same numbers */
        size_t n_keep_fds;
        bool own_group; /* not in the terminal's foreground: its ^C is the parent's alone to answer */
        /* Runs in the child before exec, with everything else set up; may be NULL. Returns 0 or -errno, which
         * process_spawn() reports. Must only make system calls. */
        int (*prepare)(void *userdata);
        void *userdata;
} ProcessSpec;

/* Returns after exec succeeded, so that a missing program is a clear error here: 0, or -errno with an error message. */
_warn_unused_result_ int process_spawn(const ProcessSpec *spec, Process *ret, char **reterr);
/* The program of another verb beside this one: verb-NAME in a build directory, NAME where it is installed; *ret is owned. -ENOENT. */
_warn_unused_result_ int process_find_beside(const char *verb, char **ret);
/* The first executable of that name in the absolute directories of PATH (default: /usr/local/bin:/usr/bin:/bin); *ret is owned and NULL if there
 * is none. */
_warn_unused_result_ int process_find_program(const char *name, char **ret);
/* Forks without exec; the child runs main(userdata) and exits with its return value. It keeps all descriptors. */
_warn_unused_result_ int process_fork(int (*child_main)(void *userdata), void *userdata, Process *ret);
/* Would this program start? 0, or -errno with the error message that process_spawn() has. */
_warn_unused_result_ int process_check(const char *file, char **reterr);
int process_signal(const Process *p, int sig);
/* Waits at most timeout_usec (UINT64_MAX: for ever): 0 with the wait status in the form of waitid (si_code, si_status),
 * -ETIMEDOUT, or -errno. Afterwards the handle is empty. */
_warn_unused_result_ int process_wait(Process *p, uint64_t timeout_usec, siginfo_t *ret);
/* Ends and reaps the child: SIGTERM, up to 2 s of patience, SIGKILL. Takes an empty handle. */
void process_done(Process *p);
/* Drops the handle of a child that somebody else has reaped. */
void process_forget(Process *p);
