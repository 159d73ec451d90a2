/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of this room share and nobody else includes. */

#include <stdbool.h>
#include <stdint.h>

#include "qmp-client.h"
#include "qmp-io.h"

#define QMP_SENTENCE_MAX 1000u /* of what QEMU says, in a message of ours */

typedef struct QmpPending QmpPending;
struct QmpPending {
        QmpPending *next;
        uint64_t id;
        QmpReply reply; /* NULL: nobody wants the answer (any more) */
        void *userdata;
};

struct QmpClient {
        Loop *loop; /* borrowed */
        int fd;     /* owned; -EBADF after the end */
        LoopSource *source, *greeting_timer;
        QmpLines lines;
        QmpOutput output;
        bool want_write, write_closed;

        bool greeted;
        QmpVersion version;
        char *failure;     /* owned: why it ended */
        char *error_class; /* owned */

        uint64_t last_id;
        QmpPending *pending, **pending_tail; /* in the order of the calls */
        unsigned n_pending;

        QmpEvent on_event;
        QmpDisconnect on_disconnect;
        void *userdata;
        QmpEvent watch; /* this room's own look at events, before on_event: see qmp-job.c */
        void *watch_userdata;

        /* Handlers may drop the last reference: the memory stays until the dispatcher is done. */
        unsigned dispatching;
        bool closed; /* unref'd */
};

/* Calls in their order: in qmp-pending.c. */
void qmp_pending_push(QmpClient *c, QmpPending *p);
/* Takes the call with this id out of the list; id 0: the oldest. NULL if there is none. */
QmpPending *qmp_pending_take(QmpClient *c, uint64_t id);
/* Takes the call, and returns what its handler does. */
int qmp_pending_answer(QmpClient *c, QmpPending *p, int error, const Json *value, const char *error_desc);
/* {"execute":NAME,"arguments":{...},"id":N} CR LF; takes the arguments. *ret is owned. */
_warn_unused_result_ int qmp_format_command(
                const char *command, Json *arguments, uint64_t id, char **ret, size_t *ret_size);

/* qmp_call() that tells the id, to withdraw from it. */
_warn_unused_result_ int qmp_call_full(QmpClient *c, const char *command, Json *arguments, int fd,
                QmpReply reply, void *userdata, uint64_t *ret_id);
/* The answer may come, but nobody hears of it. */
void qmp_call_forget(QmpClient *c, uint64_t id);

/* Turns the loop until *done. While it is false, c is alive, since its end sets the flag of each waiter. `what` names
 * it in sentences. -ETIMEDOUT, -ECANCELED, -EBUSY, or the loop's error. */
_warn_unused_result_ int qmp_client_wait(
                QmpClient *c, const bool *done, uint64_t deadline_usec, const char *what, char **reterr);
/* CLOCK_MONOTONIC now + timeout, saturating. */
uint64_t qmp_deadline(uint64_t timeout_usec);
/* What is left until the deadline, for another wait. */
uint64_t qmp_deadline_left(uint64_t deadline_usec);
