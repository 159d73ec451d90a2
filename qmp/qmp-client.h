/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A client for QEMU's machine protocol over one connected stream socket, driven by an event loop.
 *
 * Theory of operation. qmp_capabilities is queued at once, before the greeting has arrived, and commands may be queued
 * right after it: QEMU works them off in order, so the set-up of a machine costs one round trip. Every command has
 * a number as its id, and an answer finds its caller by that id alone. One dispatcher reads all messages; events
 * may come before or after the answer of the command that caused them (QEMU 10.0.2 does both with cont and quit), so
 * nobody may wait for "the next line".
 *
 * The end. Any failure (the peer closes, does not speak QMP, answers what was never asked, sends too much) ends the
 * connection: all callers that still wait get -ECONNRESET with the error message that says why, in the order of their
 * calls, then the disconnect handler runs, once. After that qmp_call() returns -ENOTCONN. Callers are always called
 * from the loop, never from within qmp_call(); exactly once each.
 *
 * Handlers return 0, or -errno to end loop_run() with it. They may call qmp_call() and qmp_client_unref().
 *
 * Spec: QEMU docs/interop/qmp-spec.rst (protocol), qapi/control.json (qmp_capabilities). */

#include <stdbool.h>
#include <stdint.h>

#include "json.h"
#include "loop.h"
#include "macro.h"
#include "qmp-message.h"

/* Set-up queues some ten commands a device and waits for none; far more than this means a caller in an endless loop. */
#define QMP_OUTSTANDING_MAX 1024u

typedef struct QmpClient QmpClient;

/* error: 0 with the value of "return"; -EREMOTEIO where QEMU answered with an error (error_desc is its desc,
 * qmp_client_error_class() its class); -ECONNRESET where the connection ended before the answer; -ECANCELED when the client was
 * unref'd. ret_or_null and error_desc are borrowed until the handler returns. */
typedef int (*QmpReply)(
                QmpClient *c, int error, const Json *ret_or_null, const char *error_desc, void *userdata);
/* data: an object, or NULL for an event without data; borrowed. */
typedef int (*QmpEvent)(QmpClient *c, const char *name, const Json *data, void *userdata);
/* error: 0 where the peer closed between two messages, as QEMU does when it ends; else why we gave up (-EPROTO, -EMSGSIZE,
 * -ETIMEDOUT, -ENOMEM, or the errno of recvmsg). qmp_client_failure() is the sentence. */
typedef int (*QmpDisconnect)(QmpClient *c, int error, void *userdata);

/* Takes fd, a connected stream socket, on success. */
_warn_unused_result_ int qmp_client_new(Loop *loop, int fd, QmpClient **ret);
/* Cancels what is outstanding (callers get -ECANCELED, the disconnect handler is not called) and closes the socket. Takes
 * NULL, returns NULL. */
QmpClient *qmp_client_unref(QmpClient *c);
DEFINE_TRIVIAL_CLEANUP_FUNC(QmpClient *, qmp_client_unref);
#define _cleanup_qmp_client_ _cleanup_(qmp_client_unrefp)

/* Either handler may be NULL. */
void qmp_client_set_handlers(QmpClient *c, QmpEvent event, QmpDisconnect disconnect, void *userdata);
/* Gives up (-ETIMEDOUT) if no greeting has come this long after the call: a peer that is silent for ever is not QEMU.
 * QEMU greets while it starts, after it created (and perhaps preallocated) memory backends. */
_warn_unused_result_ int qmp_client_set_greeting_timeout(QmpClient *c, uint64_t usec);

/* Queues a command. arguments: taken in every case, may be NULL. reply: may be NULL where the answer does not matter. -ENOTCONN
 * after the end, -EOVERFLOW with QMP_OUTSTANDING_MAX unanswered ones, -EMSGSIZE over QMP_LINE_MAX, -ENOMEM. */
_warn_unused_result_ int qmp_call(
                QmpClient *c, const char *command, Json *arguments, QmpReply reply, void *userdata);
/* The same with a descriptor (SCM_RIGHTS) for add-fd and getfd; borrowed: a duplicate is sent. */
_warn_unused_result_ int qmp_call_with_fd(
                QmpClient *c, const char *command, Json *arguments, int fd, QmpReply reply, void *userdata);

/* Queues a command and turns the loop until its answer is there; all other sources and events are dispatched meanwhile. For set-up
 * code: not from a handler (-EBUSY). ret may be NULL; *ret is owned. Errors come with an error message that names the command:
 * those of QmpReply, -ETIMEDOUT, -ECANCELED if a handler ended the loop. */
_warn_unused_result_ int qmp_call_wait(QmpClient *c, const char *command, Json *arguments,
                uint64_t timeout_usec, Json **ret, char **reterr);
_warn_unused_result_ int qmp_call_with_fd_wait(QmpClient *c, const char *command, Json *arguments, int fd,
                uint64_t timeout_usec, Json **ret, char **reterr);

/* The same in two steps, between which the loop may be turned for other things. The command's name is borrowed; the structure stays where
 * it is until qmp_wait_end(), or until the client is gone and qmp_wait_done() frees what came. */
typedef struct QmpWait {
        const char *command;
        uint64_t id;
        bool done;
        int error;
        Json *value; /* owned */
        char *desc;  /* owned */
} QmpWait;
_warn_unused_result_ int qmp_wait_begin(
                QmpClient *c, const char *command, Json *arguments, QmpWait *wait, char **reterr);
_warn_unused_result_ int qmp_wait_end(
                QmpClient *c, QmpWait *wait, uint64_t timeout_usec, Json **ret, char **reterr);
void qmp_wait_done(QmpWait *wait);
/* Until the greeting has come, or wait, which is pending, is answered or failed: the caller asks which. */
_warn_unused_result_ int qmp_wait_greeting(
                QmpClient *c, const QmpWait *wait, uint64_t timeout_usec, char **reterr);

/* From the greeting: -EAGAIN before it came. */
_warn_unused_result_ int qmp_client_version(const QmpClient *c, QmpVersion *ret);
/* Why the connection ended; NULL while it lives. Borrowed until unref. */
const char *qmp_client_failure(const QmpClient *c);
/* The class of the error being delivered, e.g. "CommandNotFound"; valid within a QmpReply with -EREMOTEIO and after a
 * qmp_call_wait() that returned -EREMOTEIO, else NULL. */
const char *qmp_client_error_class(const QmpClient *c);
/* Commands without an answer yet, qmp_capabilities included. */
unsigned qmp_client_outstanding(const QmpClient *c);
