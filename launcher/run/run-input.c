/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The standard input of --run=: ours. Through virtio-serial it goes as it is, and the guest takes what it can hold. A serial port loses what nobody
 * takes in time: there the adapter asks for each piece (programs/adapter/adapter-input.c).
 *
 * A terminal is passed on where standard output is one as well. The command then has one in the guest, and ours is raw from the moment it
 * starts. That there is one, its name and its size are told by lines or pieces that nothing measures: the same command has the same digest. */

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "run-session.h"
#include "run-terminal.h"

#define PIECE          2048u /* less than the guest's kernel holds for a serial port; the adapter takes no more */
#define ABOUT_TERMINAL 0x80 /* in the head's second byte */

/* No more comes. The end of a port of virtio-serial is the end of file; closed, it would take with it what QEMU has not read yet. */
static void finish(RunInput *in) {
        in->source = loop_source_unref(in->source);
        in->from = fd_close(in->from);
        in->last = true;
        if (!in->pieces && in->control < 0)
                (void) shutdown(in->to, SHUT_WR);
}

static void describe(const Session *s, RunInput *in) {
        size_t n = terminal_words(s, (char *) in->data + 2);

        in->data[0] = (uint8_t) n;
        in->data[1] = ABOUT_TERMINAL;
        in->begin = 0;
        in->end = 2 + n;
        in->describe = in->wanted = false;
}

/* A piece has a head of two bytes, its length; one of no bytes is the end of file. */
static void read_in(Session *s) {
        RunInput *in = &s->input;
        size_t head = in->pieces ? 2 : 0;
        ssize_t n;

        if (in->describe) {
                describe(s, in);
                return;
        }
        do
                n = in->from < 0 ? 0
                                 : read(in->from, in->data + head, in->pieces ? PIECE : sizeof(in->data));
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno == EAGAIN)
                return;
        /* What cannot be read ends here, as it does for every program. */
        in->last = n <= 0;
        n = n < 0 ? 0 : n;
        in->begin = 0;
        in->end = head + (size_t) n;
        in->wanted = false;
        if (in->pieces) {
                in->data[0] = (uint8_t) (size_t) n;
                in->data[1] = (uint8_t) ((size_t) n >> 8);
        }
        if (s->request->choices->terminal && session_escaped(s, (const char *) in->data + head, (size_t) n))
                in->last = true;
}

static void write_out(RunInput *in) {
        while (in->begin < in->end) {
                ssize_t n = write(in->to, in->data + in->begin, in->end - in->begin);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return;
                /* QEMU is gone: the rest is of no use. */
                if (n < 0)
                        in->last = true;
                in->begin = n < 0 ? in->end : in->begin + (size_t) n;
        }
        if (in->last)
                finish(in);
}

static bool may_read(const RunInput *in) {
        return in->begin == in->end && !in->last && (!in->pieces || in->wanted);
}

static int on_ready(LoopSource *source, int fd, uint32_t events, void *userdata);

/* For room in the channel, or for something to read. A file can always be read: only the channel counts there. */
static int watch(Session *s) {
        RunInput *in = &s->input;
        const bool out = in->begin < in->end || in->file;

        in->source = loop_source_unref(in->source);
        if (in->to < 0 || (in->begin == in->end && (!may_read(in) || in->from < 0)))
                return 0;
        return loop_add_io(s->loop, out ? in->to : in->from, out ? EPOLLOUT : EPOLLIN, on_ready, s,
                        &in->source);
}

static int on_ready(_unused_ LoopSource *source, _unused_ int fd, _unused_ uint32_t events, void *userdata) {
        Session *s = userdata;

        if (may_read(&s->input))
                read_in(s);
        write_out(&s->input);
        return watch(s);
}

/* The adapter has room for one more piece. */
void session_input_wanted(Session *s) {
        RunInput *in = &s->input;

        if (!in->pieces || in->to < 0)
                return;
        in->wanted = true;
        if (!in->begun)
                return;
        if ((in->from < 0 || in->describe) && may_read(in)) {
                read_in(s);
                write_out(in);
        }
        if (watch(s) < 0)
                finish(in);
}

static bool passed_on(const Session *s) {
        const ConsoleMode console = s->request->choices->console;

        return console != CONSOLE_INTERACTIVE && console != CONSOLE_NATIVE && !isatty(STDIN_FILENO);
}

/* A line that does not fit now is not worth waiting for. */
static void tell(Session *s) {
        char words[TERMINAL_WORDS_MAX + 1];
        size_t n = terminal_words(s, words);

        words[n++] = '\n';
        (void) !write(s->input.control, words, n);
}

static void on_resized(Session *s) {
        RunInput *in = &s->input;

        if (!in->pieces) {
                tell(s);
                return;
        }
        in->describe = true;
        if (in->wanted)
                session_input_wanted(s);
}

int session_start_input(Session *s) {
        RunInput *in = &s->input;
        const bool terminal = s->request->choices->terminal;

        in->pieces = in->describe = s->request->inputs->adapter;
        in->to = in->pieces || terminal ? fcntl(s->out.in, F_DUPFD_CLOEXEC, 3)
                                        : session_channel(s, LAUNCH_FD_STDIN);
        if (in->to < 0)
                return -errno;
        if (!terminal)
                return 0;
        if (!in->pieces) {
                in->control = session_channel(s, LAUNCH_FD_STDIN);
                if (in->control < 0)
                        return in->control;
                tell(s);
        }
        return session_watch_terminal(s, on_resized);
}

static int begin(Session *s, bool pass) {
        RunInput *in = &s->input;
        int r;

        if (pass)
                in->from = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
        if (in->from < 0) {
                if (!in->pieces)
                        finish(in);
                else if (in->wanted)
                        session_input_wanted(s);
                return 0;
        }
        r = loop_add_io(s->loop, in->from, EPOLLIN, on_ready, s, &in->source);
        in->file = r == -EPERM;
        return r < 0 && !in->file ? r : watch(s);
}

/* Not before the guest runs: a launch may begin again, and what was read is gone. */
int session_begin_input(Session *s) {
        s->input.begun = true;
        /* Until the command starts ^C is for us. */
        if (s->input.to < 0 || s->request->choices->terminal)
                return 0;
        return begin(s, passed_on(s));
}

void session_input_ready(Session *s) {
        if (!s->request->choices->terminal || s->input.from >= 0 || s->input.to < 0)
                return;
        if (session_take_terminal(s) < 0 || begin(s, /* pass= */ true) < 0)
                (void) session_fail(s, -ENOTTY, "cannot pass the terminal on to the guest");
}

void session_end_input(Session *s) {
        finish(&s->input);
        s->input.to = fd_close(s->input.to);
        s->input.control = fd_close(s->input.control);
        s->input.resized = loop_source_unref(s->input.resized);
}
