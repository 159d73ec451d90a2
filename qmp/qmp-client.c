/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "qmp-client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "error.h"
#include "fd.h"
#include "progress.h"
#include "qmp-client-internal.h"
#include "secret.h"
#include "strutil.h"

#define READ_SIZE ((size_t) 64 * 1024) /* a turn of the loop reads at most this */

static void client_free(QmpClient *c) {
        qmp_lines_done(&c->lines);
        qmp_output_done(&c->output);
        free(c->failure);
        free(c->error_class);
        free(c);
}

/* Ends the use of the socket; no more reading, writing or timers. */
static void client_disconnect(QmpClient *c) {
        c->source = loop_source_unref(c->source);
        c->greeting_timer = loop_source_unref(c->greeting_timer);
        c->fd = fd_close(c->fd);
        qmp_output_done(&c->output);
}

/* This room's own waiter, qmp-job.c, hears of the end as an event without a name. */
static void watch_end(QmpClient *c) {
        QmpEvent watch = TAKE_PTR(c->watch);

        if (watch)
                (void) watch(c, NULL, NULL, c->watch_userdata);
}

static void dispatch_begin(QmpClient *c) {
        c->dispatching++;
}

static void dispatch_end(QmpClient *c) {
        if (--c->dispatching == 0 && c->closed)
                client_free(c);
}

QmpClient *qmp_client_unref(QmpClient *c) {
        if (!c || c->closed)
                return NULL;

        dispatch_begin(c);
        c->closed = true;
        client_disconnect(c);
        watch_end(c);
        for (QmpPending *p; (p = qmp_pending_take(c, 0));)
                (void) qmp_pending_answer(c, p, -ECANCELED, NULL, "the QMP connection was given up");
        dispatch_end(c);
        return NULL;
}

/* The end of the connection: tells everybody. Returns the first negative value of a handler. */
static int client_fail(QmpClient *c, int error, char *sentence) {
        int r = 0;

        if (c->failure || c->closed) {
                free(sentence);
                return 0;
        }
        c->failure = sentence ?: strdup("out of memory");
        client_disconnect(c);
        watch_end(c);

        for (QmpPending *p; (p = qmp_pending_take(c, 0));) {
                int k = qmp_pending_answer(c, p, -ECONNRESET, NULL, c->failure);

                r = r < 0 ? r : k;
        }
        if (!c->closed && c->on_disconnect) {
                int k = c->on_disconnect(c, error, c->userdata);

                r = r < 0 ? r : k;
        }
        return r;
}

static int client_fail_format(QmpClient *c, int error, const char *format, ...) _printf_(3, 4);
static int client_fail_format(QmpClient *c, int error, const char *format, ...) {
        char *sentence = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&sentence, format, ap) < 0)
                sentence = NULL;
        va_end(ap);
        text_flatten(sentence, QMP_SENTENCE_MAX);
        return client_fail(c, error, sentence);
}

static int on_answer(QmpClient *c, const QmpMessage *m) {
        QmpPending *p;

        progress_note();
        free(c->error_class);
        c->error_class = NULL;

        if (m->id == 0)
                return client_fail_format(c, -EPROTO, "QEMU did not understand a command: %s",
                                m->desc ?: "an answer without an id");
        p = qmp_pending_take(c, m->id);
        if (!p)
                return client_fail_format(
                                c, -EPROTO, "QMP answer to a command that was not sent, id %" PRIu64, m->id);
        if (m->type == QMP_MESSAGE_RETURN)
                return qmp_pending_answer(c, p, 0, m->value, NULL);

        c->error_class = strdup(m->name);
        return qmp_pending_answer(c, p, -EREMOTEIO, NULL, m->desc);
}

static int on_event(QmpClient *c, const QmpMessage *m) {
        int r = 0;

        if (c->watch)
                r = c->watch(c, m->name, m->value, c->watch_userdata);
        if (r == 0 && !c->closed && c->on_event)
                r = c->on_event(c, m->name, m->value, c->userdata);
        return r;
}

/* The one place where messages come in. */
static int on_line(QmpClient *c, const char *line, size_t size) {
        _cleanup_(qmp_message_done) QmpMessage m = {};
        char *why = NULL;
        int r;

        r = qmp_message_parse(line, size, &m, &why);
        if (r < 0) {
                (void) error_prefix(&why, r, c->greeted ? "the QMP connection broke" : "no QMP greeting");
                return client_fail(c, -EPROTO, why);
        }

        if (c->greeted == (m.type == QMP_MESSAGE_GREETING))
                return client_fail_format(c, -EPROTO,
                                c->greeted ? "a second QMP greeting arrived: another program writes to the socket"
                                           : "QMP message before the greeting: the peer is not a fresh QEMU");
        switch (m.type) {
        case QMP_MESSAGE_GREETING:
                c->greeted = true;
                c->version = m.version;
                c->greeting_timer = loop_source_unref(c->greeting_timer);
                return 0;
        case QMP_MESSAGE_EVENT:
                return on_event(c, &m);
        default:
                return on_answer(c, &m);
        }
}

/* The peer is gone. ECONNRESET means the same as an end of file: QEMU left with bytes of ours unread. */
static int on_end(QmpClient *c) {
        if (!c->greeted)
                return client_fail_format(c, -EPROTO,
                                "the QMP connection ended before the greeting: QEMU did not start");
        if (qmp_lines_pending(&c->lines) > 0)
                return client_fail_format(c, -EPROTO, "the QMP connection ended in the middle of a message");
        return client_fail_format(c, 0, "QEMU closed the QMP connection");
}

static int read_some(QmpClient *c) {
        size_t size;
        const char *line;
        char *p;
        ssize_t n;
        int r;

        r = qmp_lines_reserve(&c->lines, READ_SIZE, &p);
        if (r == -EMSGSIZE)
                return client_fail_format(c, r, "a QMP message is longer than %zu MiB", QMP_LINE_MAX >> 20);
        if (r < 0)
                return client_fail(c, r, NULL);

        do
                n = recv(c->fd, p, READ_SIZE, MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno == EAGAIN)
                return c->write_closed ? on_end(c) : 0;
        if (n == 0 || (n < 0 && errno == ECONNRESET))
                return on_end(c);
        if (n < 0)
                return client_fail_format(c, -errno, "cannot read from QEMU's QMP socket: %m");
        qmp_lines_commit(&c->lines, (size_t) n);

        while (!c->failure && !c->closed && qmp_lines_next(&c->lines, &line, &size) > 0) {
                r = on_line(c, line, size);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Sends what it can and asks the loop to be told when there is room for the rest. */
static int write_some(QmpClient *c) {
        int r = c->write_closed ? -EPIPE : qmp_output_flush(&c->output, c->fd);

        if (r == -EPIPE || r == -ECONNRESET) {
                /* The peer reads no more, but its last words (an error, SHUTDOWN) may still wait for us. EPOLLOUT
                 * stays on, so that the loop comes back even if there are none. */
                c->write_closed = true;
                qmp_output_done(&c->output);
        }
        if (c->want_write != (r < 0)) {
                c->want_write = r < 0;
                (void) loop_source_set_io_events(c->source, EPOLLIN | (c->want_write ? EPOLLOUT : 0));
        }
        return r;
}

static int on_io(_unused_ LoopSource *s, _unused_ int fd, uint32_t events, void *userdata) {
        QmpClient *c = userdata;
        int r = 0;

        dispatch_begin(c);
        if ((events & EPOLLOUT) && !c->write_closed) {
                r = write_some(c);
                if (r < 0 && r != -EAGAIN && !c->write_closed)
                        r = client_fail_format(c, r, "cannot write to QEMU's QMP socket: %s", strerror(-r));
                else
                        r = 0;
        }
        if (r == 0 && !c->failure && !c->closed)
                r = read_some(c);
        dispatch_end(c);
        return r;
}

static int on_greeting_timeout(_unused_ LoopSource *s, _unused_ uint64_t usec, void *userdata) {
        QmpClient *c = userdata;
        int r;

        dispatch_begin(c);
        r = client_fail_format(c, -ETIMEDOUT,
                        "no QMP greeting arrived in time: the program is not QEMU, or it hangs");
        dispatch_end(c);
        return r;
}

static int on_capabilities(QmpClient *c, int error, _unused_ const Json *value, const char *error_desc,
                _unused_ void *userdata) {
        if (error != -EREMOTEIO)
                return 0;
        return client_fail_format(c, -EPROTO, "QEMU refused qmp_capabilities: %s", error_desc);
}

int qmp_client_new(Loop *loop, int fd, QmpClient **ret) {
        _cleanup_qmp_client_ QmpClient *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->loop = loop;
        c->fd = -EBADF; /* a failure below must not close what is still the caller's */

        r = loop_add_io(loop, fd, EPOLLIN, on_io, c, &c->source);
        if (r < 0)
                return r;
        c->fd = fd;
        r = qmp_call(c, "qmp_capabilities", NULL, on_capabilities, NULL);
        if (r < 0) {
                c->fd = -EBADF;
                return r;
        }
        *ret = TAKE_PTR(c);
        return 0;
}

void qmp_client_set_handlers(QmpClient *c, QmpEvent event, QmpDisconnect disconnect, void *userdata) {
        c->on_event = event;
        c->on_disconnect = disconnect;
        c->userdata = userdata;
}

int qmp_client_set_greeting_timeout(QmpClient *c, uint64_t usec) {
        if (c->failure)
                return -ENOTCONN;
        if (c->greeted)
                return 0;
        if (c->greeting_timer)
                return loop_source_rearm(c->greeting_timer, usec);
        return loop_add_timer(c->loop, usec, on_greeting_timeout, c, &c->greeting_timer);
}

int qmp_call_full(QmpClient *c, const char *command, Json *arguments, int fd, QmpReply reply, void *userdata,
                uint64_t *ret_id) {
        _cleanup_js_ Json *args = arguments;
        _cleanup_free_ QmpPending *p = NULL;
        size_t size;
        char *text;
        int r;

        if (c->failure || c->closed)
                return -ENOTCONN;
        if (c->n_pending >= QMP_OUTSTANDING_MAX)
                return -EOVERFLOW;

        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        *p = (QmpPending) { .id = c->last_id + 1, .reply = reply, .userdata = userdata };
        r = qmp_format_command(command, TAKE_PTR(args), p->id, &text, &size);
        if (r < 0)
                return r;
        r = qmp_output_push(&c->output, text, size, fd);
        if (r < 0)
                return r;

        c->last_id = p->id;
        if (ret_id)
                *ret_id = p->id;
        qmp_pending_push(c, TAKE_PTR(p));

        /* At once, to save a turn of the loop. Errors are left to the loop, which will meet them again. */
        (void) write_some(c);
        return 0;
}

int qmp_call(QmpClient *c, const char *command, Json *arguments, QmpReply reply, void *userdata) {
        return qmp_call_full(c, command, arguments, -EBADF, reply, userdata, NULL);
}

int qmp_call_with_fd(
                QmpClient *c, const char *command, Json *arguments, int fd, QmpReply reply, void *userdata) {
        if (fd < 0) {
                js_unref(arguments);
                return -EBADF;
        }
        return qmp_call_full(c, command, arguments, fd, reply, userdata, NULL);
}

void qmp_call_forget(QmpClient *c, uint64_t id) {
        for (QmpPending *p = c->pending; p; p = p->next)
                if (p->id == id)
                        p->reply = NULL;
}

int qmp_client_version(const QmpClient *c, QmpVersion *ret) {
        if (!c->greeted)
                return -EAGAIN;
        *ret = c->version;
        return 0;
}

const char *qmp_client_failure(const QmpClient *c) {
        return c->failure;
}

const char *qmp_client_error_class(const QmpClient *c) {
        return c->error_class;
}

unsigned qmp_client_outstanding(const QmpClient *c) {
        return c->n_pending;
}
