/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Waiting for one answer in straight-line set-up code: the loop is turned, never blocked. */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "error.h"
#include "overflow.h"
#include "qmp-client-internal.h"

#define USEC_PER_SEC UINT64_C(1000000)

typedef struct Waiter {
        bool done;
        int error;
        Json *value; /* owned */
        char *desc;  /* owned */
} Waiter;

static void waiter_done(Waiter *w) {
        js_unref(w->value);
        free(w->desc);
}

static int on_reply(_unused_ QmpClient *c, int error, const Json *value, const char *desc, void *userdata) {
        Waiter *w = userdata;

        w->done = true;
        w->error = error;
        w->value = js_ref((Json *) value); /* a reference changes the count only */
        w->desc = desc ? strdup(desc) : NULL;
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

int qmp_client_wait(
                QmpClient *c, const bool *done, uint64_t deadline_usec, const char *what, char **reterr) {
        Loop *loop = c->loop;

        while (!*done) {
                uint64_t left = qmp_deadline_left(deadline_usec);
                int code, r;

                if (left == 0)
                        return error_set(reterr, -ETIMEDOUT, "QEMU did not answer %s in time%s", what,
                                        c->greeted ? "" : ", not even with the QMP greeting");
                if (loop_exit_code(loop, &code) >= 0)
                        return error_set(reterr, -ECANCELED, "the wait for %s was given up", what);
                r = loop_once(loop, left);
                if (r < 0)
                        return error_set(reterr, r, "cannot wait for %s: %s", what, strerror(-r));
        }
        return 0;
}

static int waiter_result(Waiter *w, const char *command, Json **ret, char **reterr) {
        if (w->error == -EREMOTEIO)
                return error_set(reterr, w->error, "QEMU refused '%s': %s", command,
                                w->desc ?: "out of memory");
        if (w->error < 0)
                return error_set(reterr, w->error, "'%s' was not answered: %s", command,
                                w->desc ?: "out of memory");
        if (ret)
                *ret = TAKE_PTR(w->value);
        return 0;
}

static int call_wait(QmpClient *c, const char *command, Json *arguments, int fd, uint64_t timeout_usec,
                Json **ret, char **reterr) {
        _cleanup_(waiter_done) Waiter w = {};
        _cleanup_js_ Json *args = arguments;
        uint64_t id;
        int r;

        if (c->dispatching > 0)
                return error_set(reterr, -EBUSY, "'%s' cannot be waited for within a QMP handler", command);

        r = qmp_call_full(c, command, TAKE_PTR(args), fd, on_reply, &w, &id);
        if (r == -ENOTCONN)
                return error_set(reterr, r, "cannot send '%s': %s", command,
                                c->failure ?: "the QMP connection was given up");
        if (r < 0)
                return error_set(reterr, r, "cannot send '%s': %s", command, strerror(-r));

        r = qmp_client_wait(c, &w.done, qmp_deadline(timeout_usec), command, reterr);
        if (r < 0) {
                qmp_call_forget(c, id);
                return r;
        }
        return waiter_result(&w, command, ret, reterr);
}

int qmp_call_wait(QmpClient *c, const char *command, Json *arguments, uint64_t timeout_usec, Json **ret,
                char **reterr) {
        return call_wait(c, command, arguments, -EBADF, timeout_usec, ret, reterr);
}

int qmp_call_with_fd_wait(QmpClient *c, const char *command, Json *arguments, int fd, uint64_t timeout_usec,
                Json **ret, char **reterr) {
        if (fd < 0) {
                js_unref(arguments);
                return error_set(reterr, -EBADF, "'%s' needs a descriptor", command);
        }
        return call_wait(c, command, arguments, fd, timeout_usec, ret, reterr);
}
