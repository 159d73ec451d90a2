/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"

#define DONE_USEC UINT64_C(5000000)

typedef struct Keep {
        const KeeperJob *job;
        int lifeline, report;
} Keep;

static int keep(void *userdata) {
        const Keep *k = userdata;
        sigset_t all;
        bool alive;
        char byte;
        int r;

        (void) prctl(PR_SET_NAME, KEEPER_NAME);
        (void) sigfillset(&all);
        if (sigprocmask(SIG_SETMASK, &all, NULL) < 0 || setsid() < 0 || prctl(PR_SET_PDEATHSIG, 0) < 0)
                return 1;
        if (dup2(k->lifeline, 0) < 0 || dup2(k->report, 1) < 0 || syscall(SYS_close_range, 2, ~0U, 0) < 0)
                return 1;
        r = k->job->begin ? k->job->begin(k->job->userdata) : 0;
        /* What was begun is ended, too, if the launcher died meanwhile. */
        alive = fd_write_all(1, &r, sizeof(r)) >= 0;
        if (r < 0)
                return 0;
        (void) close(1);
        while (alive) {
                ssize_t n = read(0, &byte, 1);

                alive = n > 0 || (n < 0 && errno == EINTR);
        }
        k->job->end(k->job->userdata);
        return 0;
}

int keeper_start(const KeeperJob *job, Keeper *ret) {
        _cleanup_close_ int lifeline = -EBADF, kept = -EBADF, answer = -EBADF, report = -EBADF;
        Process process = PROCESS_NONE;
        int life[2], ready[2], made, r;

        if (pipe2(life, O_CLOEXEC) < 0)
                return -errno;
        lifeline = life[0];
        kept = life[1];
        if (pipe2(ready, O_CLOEXEC) < 0)
                return -errno;
        answer = ready[0];
        report = ready[1];
        r = process_fork(keep, &(Keep) { .job = job, .lifeline = lifeline, .report = report }, &process);
        report = fd_close(report);
        if (r < 0)
                return r;
        r = fd_read_exact(answer, &made, sizeof(made));
        if (r >= 0)
                r = made;
        *ret = (Keeper) { .process = process, .lifeline = TAKE_FD(kept) };
        if (r < 0)
                keeper_done(ret);
        return r;
}

void keeper_done(Keeper *k) {
        k->lifeline = fd_close(k->lifeline);
        if (k->process.pid > 0 && process_wait(&k->process, DONE_USEC, NULL) < 0)
                process_forget(&k->process);
        *k = KEEPER_NONE;
}

void keeper_dismiss(Keeper *k) {
        /* It blocks all other signals. */
        if (k->process.pid > 0)
                (void) process_signal(&k->process, SIGKILL);
        keeper_done(k);
}
