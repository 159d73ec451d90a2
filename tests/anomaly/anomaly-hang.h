/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A call that does not return: in its place the task waits on a futex(2) that nobody wakes. Only signals that are neither blocked nor ignored
 * interrupt it, as they do a read(2) of a pipe. A call on a file or path begins once more behind the signal's handler, as on a
 * server that is gone, where only signals that kill are heard of. */

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/user.h>

#include "anomaly-table.h"

typedef struct Hang {
        struct user_regs_struct saved; /* of the call that hangs; orig_rax 0: none does */
        bool waiting;
        bool restarts;
} Hang;

/* Whether this call can wait for ever with these arguments: a descriptor that does not block cannot, nor what the kernel makes up (/proc,
 * memory). A path takes the place of `target`. */
bool call_may_hang(const Call *call, pid_t tid, const struct user_regs_struct *regs, FdKind kind,
                char target[static PATH_MAX]);
/* At the beginning of a call. */
void hang_begin(Hang *h, pid_t tid, struct user_regs_struct *regs, FdKind kind);
/* Whether this is the call that hung, begun once more. */
bool hang_is_same(const Hang *h, const struct user_regs_struct *regs);
/* At the end of a call: interrupted by a signal. Returns false if the call was another one. */
bool hang_end(Hang *h, pid_t tid);
