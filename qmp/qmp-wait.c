/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Waiting for one answer in straight-line set-up code: the loop is turned, never blocked. */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "error.h"
#include "overflow.h"
#include "qmp-client-internal.h"
#include "strutil.h"

#define USEC_PER_SEC UINT64_C(1000000)

void qmp_wait_done(QmpWait *w) {
        js_unref(w->value);
        free(w->desc);
        *w = (QmpWait) {};
}

static int on_reply(_unused_ QmpClient *c, int error, const Json *value, const char *desc, void *userdata) {
        QmpWait *w = userdata;

        w->done = true;
        w->error = error;
        w->value = js_ref((Json *) value); /* a reference changes the count only */
        w->desc = desc ? strdup(desc) : NULL;
        text_flatten(w->desc, QMP_SENTENCE_MAX);
        return 0;
}

static uint64_t now_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
}

uint64_t qmp_deadline(uint64_t timeout_usec) {
        uint64_t deadline;

        return add_u64(now_usec(), timeout_usec, &deadline) ? deadline : UINT64_MAX;
}

uint64_t qmp_deadline_left(uint64_t deadline_usec) {
        uint64_t left;

        if (deadline_usec == UINT64_MAX)
                return UINT64_MAX;
        return sub_u64(deadline_usec, now_usec(), &left) ? left : 0;
}

static int turn(QmpClient *c, uint64_t deadline_usec, const char *what, char **reterr) {
        uint64_t left = qmp_deadline_left(deadline_usec);
        int code, r;

        if (left == 0)
                return error_set(reterr, -ETIMEDOUT, "QEMU did not answer %s in time%s", what,
                                c->greeted ? "" : ", not even with the QMP greeting");
        if (loop_exit_code(c->loop, &code) >= 0)
                return error_set(reterr, -ECANCELED, "waiting for %s was cancelled", what);
        r = loop_once(c->loop, left);
        return r < 0 ? error_set(reterr, r, "cannot wait for %s: %s", what, strerror(-r)) : 0;
}

int qmp_client_wait(
                QmpClient *c, const bool *done, uint64_t deadline_usec, const char *what, char **reterr) {
        int r = 0;

        while (!*done && r >= 0)
                r = turn(c, deadline_usec, what, reterr);
        return r;
}

int qmp_wait_greeting(QmpClient *c, const QmpWait *wait, uint64_t timeout_usec, char **reterr) {
        uint64_t deadline = qmp_deadline(timeout_usec);
        int r = 0;

        /* In this order: the answer may be that the client is gone. */
        while (!wait->done && !c->greeted && r >= 0)
                r = turn(c, deadline, wait->command, reterr);
        return r;
}

static int begin(QmpClient *c, Json *arguments, int fd, QmpWait *w, char **reterr) {
        _cleanup_js_ Json *args = arguments;
        int r;

        r = qmp_call_full(c, w->command, TAKE_PTR(args), fd, on_reply, w, &w->id);
        if (r == -ENOTCONN)
                return error_set(reterr, r, "cannot send '%s': %s", w->command,
                                c->failure ?: "the QMP connection was closed by cvmspawn");
        return r < 0 ? error_set(reterr, r, "cannot send '%s': %s", w->command, strerror(-r)) : 0;
}

int qmp_wait_begin(QmpClient *c, const char *command, Json *arguments, QmpWait *w, char **reterr) {
        *w = (QmpWait) { .command = command };
        return begin(c, arguments, -EBADF, w, reterr);
}

static int result(QmpWait *w, Json **ret, char **reterr) {
        if (w->error == -EREMOTEIO)
                return error_set(reterr, w->error, "QEMU refused '%s': %s", w->command,
                                w->desc ?: "out of memory");
        if (w->error < 0)
                return error_set(reterr, w->error, "'%s' was not answered: %s", w->command,
                                w->desc ?: "out of memory");
        if (ret)
                *ret = TAKE_PTR(w->value);
        return 0;
}

int qmp_wait_end(QmpClient *c, QmpWait *w, uint64_t timeout_usec, Json **ret, char **reterr) {
        int r;

        if (c->dispatching > 0)
                r = error_set(reterr, -EBUSY, "'%s' cannot be waited for within a QMP handler", w->command);
        else
                r = qmp_client_wait(c, &w->done, qmp_deadline(timeout_usec), w->command, reterr);
        if (r < 0)
                qmp_call_forget(c, w->id);
        else
                r = result(w, ret, reterr);
        qmp_wait_done(w);
        return r;
}

/* Frees the arguments where it is not. */
static int may_wait(const QmpClient *c, const char *command, Json *arguments, char **reterr) {
        if (c->dispatching == 0)
                return 0;
        js_unref(arguments);
        return error_set(reterr, -EBUSY, "'%s' cannot be waited for within a QMP handler", command);
}

int qmp_call_wait(QmpClient *c, const char *command, Json *arguments, uint64_t timeout_usec, Json **ret,
                char **reterr) {
        QmpWait w = { .command = command };
        int r = may_wait(c, command, arguments, reterr);

        if (r >= 0)
                r = begin(c, arguments, -EBADF, &w, reterr);
        return r < 0 ? r : qmp_wait_end(c, &w, timeout_usec, ret, reterr);
}

int qmp_call_with_fd_wait(QmpClient *c, const char *command, Json *arguments, int fd, uint64_t timeout_usec,
                Json **ret, char **reterr) {
        QmpWait w = { .command = command };
        int r;

        if (fd < 0) {
                js_unref(arguments);
                return error_set(reterr, -EBADF, "'%s' needs a descriptor", command);
        }
        r = may_wait(c, command, arguments, reterr);
        if (r >= 0)
                r = begin(c, arguments, fd, &w, reterr);
        return r < 0 ? r : qmp_wait_end(c, &w, timeout_usec, ret, reterr);
}
