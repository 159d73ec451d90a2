/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The virtio-serial ports: what the command of --run= writes, and the notifications of our unit. The guest is not trusted: lines
 * are bounded, words unknown to us are ignored. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "run-session.h"
#include "run-show.h"
#include "run-terminal.h"
#include "strutil.h"

void session_notify_line(char *line, void *userdata) {
        Session *s = userdata;
        const char *value;
        uint64_t status;

        value = startswith(line, "EXIT_STATUS=");
        if (value && parse_u64_max(value, 255, &status) >= 0) {
                if (s->facts.guest_status >= 0)
                        return; /* the first one counts, and is passed on once */
                s->facts.guest_status = (int) status;
                session_notify_manager(s, line);
                return;
        }
        if (streq(line, "READY=1")) {
                show_close();
                session_input_ready(s);
        }
        if (streq(line, "READY=1") && !s->ready_sent) {
                s->ready_sent = true;
                event_emit(s->request->events, "ready", NULL);
                session_notify_manager(s, line);
                return;
        }
        value = startswith(line, "COPY=");
        if (value) {
                session_copy_line(s, value);
                return;
        }
        if (streq(line, "INPUT=1")) {
                session_input_wanted(s);
                return;
        }
        if (startswith(line, "STATUS="))
                session_notify_manager(s, line);
}

static void on_notify_text(const char *data, size_t size, void *userdata) {
        Session *s = userdata;

        s->heard += size;
        while (size > 0) {
                size_t n = session_copy_bytes(s, data, size);

                if (n == 0) {
                        const char *end = memchr(data, '\n', size);

                        n = end ? (size_t) (end - data) + 1 : size;
                        line_reader_feed(&s->notify_lines, data, n, session_notify_line, s);
                }
                data += n;
                size -= n;
        }
}

static void on_command_text(const char *data, size_t size, void *userdata) {
        Session *s = userdata;

        s->heard += size;
        show_close();
        if (s->request->choices->terminal)
                session_shown(s, data, size);
}

void session_on_loss(Forward *f, const char *what, int error, void *userdata) {
        Session *s = userdata;
        _cleanup_free_ char *sentence = NULL;
        const char *stream = f == &s->out ? "--run: the command's standard output"
                        : f == &s->err    ? "--run: the command's standard error"
                        : f == &s->notify ? "the guest's notifications"
                                          : "the guest's console output";

        s->facts.lost = true;
        if (asprintf(&sentence, "%s could not be %s: %s; the rest of it is lost", stream, what,
                            strerror(-error)) < 0)
                sentence = NULL;
        (void) session_fail(s, error, sentence ?: "out of memory");
}

static int start_port(Session *s, Forward *f, LaunchFd number, int out,
                void (*seen)(const char *data, size_t size, void *userdata)) {
        int fd = session_channel(s, number), r;

        if (fd < 0)
                return fd;
        r = forward_start(f, s->loop,
                        &(const ForwardSpec) {
                                        .in = fd,
                                        .out = out,
                                        .raw = s->request->choices->terminal && isatty(out),
                                        .seen = seen,
                                        .failed = session_on_loss,
                                        .userdata = s,
                        });
        if (r < 0)
                (void) fd_close(fd);
        return r;
}

int session_start_ports(Session *s) {
        int r;

        if (!s->request->config->linux_path)
                return 0;
        r = start_port(s, &s->notify, LAUNCH_FD_NOTIFY, -EBADF, on_notify_text);
        if (r < 0 || !s->request->choices->run)
                return r;
        r = start_port(s, &s->out, LAUNCH_FD_STDOUT, STDOUT_FILENO, on_command_text);
        if (r < 0)
                return r;
        r = start_port(s, &s->err, LAUNCH_FD_STDERR, STDERR_FILENO, on_command_text);
        return r < 0 ? r : session_start_input(s);
}

void session_end_ports(Session *s) {
        forward_done(&s->out);
        forward_done(&s->err);
        forward_done(&s->notify);
        session_end_input(s);
}
