/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Our user's terminal while it is the guest's: for its console, or for the command of --run=, which is told "ROWS COLUMNS apart|merged TERM". */

#include "run-terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "log.h"
#include "run-guard.h"

#define ESCAPE_KEY   0x1d /* ^], three times within a second ends the guest, as in systemd-vmspawn */
#define ESCAPE_COUNT 3u

#define NAME_MAX_LENGTH 63u
#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-+._"

size_t terminal_words(const Session *s, char ret[TERMINAL_WORDS_MAX]) {
        const char *name = getenv("TERM");
        struct winsize w = {};
        size_t n = name ? strlen(name) : 0;
        int k;

        if (!s->request->choices->terminal)
                return 0;
        if (n == 0 || n > NAME_MAX_LENGTH || strspn(name, NAME_CHARACTERS) != n)
                name = "vt220";
        (void) ioctl(STDIN_FILENO, TIOCGWINSZ, &w);
        k = snprintf(ret, TERMINAL_WORDS_MAX, "%u %u %s %s", MIN(w.ws_row, 9999u), MIN(w.ws_col, 9999u),
                        isatty(STDERR_FILENO) ? "merged" : "apart", name);
        return k < 0 ? 0 : MIN((size_t) k, (size_t) TERMINAL_WORDS_MAX - 1);
}

static int on_signal(
                _unused_ LoopSource *source, _unused_ const struct signalfd_siginfo *si, void *userdata) {
        Session *s = userdata;

        s->input.on_resized(s);
        return 0;
}

int session_watch_terminal(Session *s, void (*changed)(Session *s)) {
        s->input.on_resized = changed;
        return loop_add_signal(s->loop, SIGWINCH, on_signal, s, &s->input.resized);
}

int session_take_terminal(Session *s) {
        ConsoleState *c = &s->console;
        struct termios *saved = malloc(sizeof(*saved)), raw;

        if (!saved)
                return -ENOMEM;
        c->saved_termios = saved;
        if (tcgetattr(STDIN_FILENO, saved) < 0)
                return -errno;
        log_notice("press ^] three times within a second to end the guest");
        raw = *saved;
        cfmakeraw(&raw);
        if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
                return -errno;
        c->raw = true;
        run_guard_terminal(saved);
        return 0;
}

void session_shown(Session *s, const char *data, size_t size) {
        ConsoleState *c = &s->console;

        c->drawn = c->drawn || memchr(data, '\033', size);
        c->unfinished = size > 0 ? data[size - 1] != '\n' : c->unfinished;
}

/* True once the escape key came three times within a second. */
static bool escaped(ConsoleState *c, const char *data, size_t size) {
        for (size_t i = 0; i < size; i++) {
                if (data[i] != ESCAPE_KEY) {
                        c->escapes = 0;
                        continue;
                }
                if (c->escapes == 0 || monotonic_usec() - c->escape_usec > 1000000) {
                        c->escapes = 0;
                        c->escape_usec = monotonic_usec();
                }
                if (++c->escapes == ESCAPE_COUNT)
                        return true;
        }
        return false;
}

bool session_escaped(Session *s, const char *data, size_t size) {
        if (!escaped(&s->console, data, size))
                return false;
        session_restore_terminal(s);
        log_notice("ending the guest (^] was pressed three times)");
        /* As if the terminal had sent its interrupt. */
        if (s->facts.signal == 0)
                s->facts.signal = SIGINT;
        session_end(s, END_QUIT);
        return true;
}

static Forward *shown_by(Session *s) {
        return s->request->choices->terminal ? &s->out : &s->console.forward;
}

/* What a guest may have done to its terminal: colours, an unseen cursor, the other screen, mouse and paste reports. */
static void end_drawing(Session *s) {
        static const char normal[] = "\033[0m\033[?25h\033[?7h\033[?1l\033[?1000l\033[?1002l\033[?1003l"
                                     "\033[?1006l\033[?2004l\r\n";
        ConsoleState *c = &s->console;
        Forward *f = shown_by(s);

        if (!isatty(STDOUT_FILENO))
                return;
        if (c->drawn)
                output_write(&f->out, normal, sizeof(normal) - 1);
        else if (c->unfinished)
                output_write(&f->out, "\r\n", 2);
}

void session_restore_terminal(Session *s) {
        ConsoleState *c = &s->console;

        c->input_source = loop_source_unref(c->input_source);
        if (!c->raw)
                return;
        end_drawing(s);
        /* Answers to the guest's queries must not become a command of the shell. Not TCSAFLUSH, which waits for a terminal that
         * somebody has stopped. */
        (void) tcflush(STDIN_FILENO, TCIFLUSH);
        (void) tcsetattr(STDIN_FILENO, TCSANOW, c->saved_termios);
        c->raw = false;
        run_guard_terminal(NULL);
        /* The terminal is the user's again. */
        shown_by(s)->filter = calloc(1, sizeof(TerminalFilter));
}
