/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The guest's console: shown, typed into, or kept for later; and watched for a panic that no device reports. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "run-session.h"

#define ESCAPE_KEY   0x1d /* ^], three times within a second ends the guest, as in systemd-vmspawn */
#define ESCAPE_COUNT 3u
#define PANIC_TEXT   "Kernel panic - not syncing"
#define REFUSED_TEXT                                                                                        \
        "No bootable option" /* OVMF of AmdSev without a table of kernel hashes: edk2, PlatformBootManagerLibGrub */

/* Keeps the last CONSOLE_TAIL bytes. */
static void keep_tail(ConsoleState *c, const char *data, size_t size) {
        if (size >= CONSOLE_TAIL) {
                memcpy(c->tail, data + size - CONSOLE_TAIL, CONSOLE_TAIL);
                c->tail_size = CONSOLE_TAIL;
                return;
        }
        if (c->tail_size + size > CONSOLE_TAIL) {
                size_t drop = c->tail_size + size - CONSOLE_TAIL;

                memmove(c->tail, c->tail + drop, c->tail_size - drop);
                c->tail_size -= drop;
        }
        memcpy(c->tail + c->tail_size, data, size);
        c->tail_size += size;
}

static void on_console_text(const char *data, size_t size, void *userdata) {
        Session *s = userdata;
        ConsoleState *c = &s->console;
        size_t look = MIN(c->tail_size + size, size + strlen(PANIC_TEXT));

        c->seen += size;
        keep_tail(c, data, size);
        look = MIN(look, c->tail_size);
        if (memmem(c->tail + c->tail_size - look, look, PANIC_TEXT, strlen(PANIC_TEXT)))
                session_on_panic_text(s);
        if (s->request->choices->simulated &&
                        memmem(c->tail + c->tail_size - look, look, REFUSED_TEXT, strlen(REFUSED_TEXT)))
                session_on_refusal(s);
}

static uint64_t now_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

/* True once the escape key came three times within a second. */
static bool escaped(ConsoleState *c, const char *data, size_t size) {
        for (size_t i = 0; i < size; i++) {
                if (data[i] != ESCAPE_KEY) {
                        c->escapes = 0;
                        continue;
                }
                if (c->escapes == 0 || now_usec() - c->escape_usec > 1000000) {
                        c->escapes = 0;
                        c->escape_usec = now_usec();
                }
                if (++c->escapes == ESCAPE_COUNT)
                        return true;
        }
        return false;
}

static int on_typed(_unused_ LoopSource *source, int fd, _unused_ uint32_t events, void *userdata) {
        Session *s = userdata;
        ConsoleState *c = &s->console;
        char buffer[512];
        ssize_t n = read(fd, buffer, sizeof(buffer));

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return 0;
        if (n <= 0) {
                c->input_source = loop_source_unref(c->input_source);
                return 0;
        }
        if (escaped(c, buffer, (size_t) n)) {
                log_notice("ending the guest (^] three times)");
                /* As if the terminal had sent its interrupt. */
                if (s->facts.signal == 0)
                        s->facts.signal = SIGINT;
                session_end(s, END_QUIT);
                return 0;
        }
        /* A guest that does not read its console loses what is typed. */
        if (write(c->input_fd, buffer, (size_t) n) < 0 && errno != EAGAIN)
                c->input_source = loop_source_unref(c->input_source);
        return 0;
}

static int start_typing(Session *s) {
        ConsoleState *c = &s->console;
        struct termios *saved = malloc(sizeof(*saved)), raw;
        int r;

        if (!saved)
                return -ENOMEM;
        c->saved_termios = saved;
        if (tcgetattr(STDIN_FILENO, saved) < 0)
                return -errno;
        raw = *saved;
        cfmakeraw(&raw);
        if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
                return -errno;
        c->raw = true;
        r = loop_add_io(s->loop, STDIN_FILENO, EPOLLIN, on_typed, s, &c->input_source);
        return r;
}

int session_start_console(Session *s) {
        ConsoleMode mode = s->request->choices->console;
        ConsoleState *c = &s->console;
        int fd, r;

        if (mode == CONSOLE_NATIVE)
                return 0;
        c->tail = malloc(CONSOLE_TAIL);
        if (!c->tail)
                return -ENOMEM;
        fd = session_channel(s, LAUNCH_FD_CONSOLE);
        if (fd < 0)
                return fd;
        r = forward_start(&c->forward, s->loop, fd, mode == CONSOLE_HEADLESS ? -EBADF : STDOUT_FILENO,
                        on_console_text, s);
        if (r < 0) {
                (void) fd_close(fd);
                return r;
        }
        c->input_fd = fd;
        return mode == CONSOLE_INTERACTIVE ? start_typing(s) : 0;
}

void session_show_tail(Session *s) {
        ConsoleState *c = &s->console;
        size_t begin = 0;

        if (c->tail_size == 0 || s->request->choices->console != CONSOLE_HEADLESS)
                return;
        if (c->tail_size == CONSOLE_TAIL) {
                const char *newline = memchr(c->tail, '\n', c->tail_size);
                begin = newline ? (size_t) (newline - c->tail) + 1 : 0;
        }
        log_error("the end of the guest's console:");
        fflush(stderr);
        if (fd_write_all(STDERR_FILENO, c->tail + begin, c->tail_size - begin) < 0)
                return;
        if (c->tail[c->tail_size - 1] != '\n')
                (void) fputc('\n', stderr);
}

void session_restore_terminal(Session *s) {
        ConsoleState *c = &s->console;

        c->input_source = loop_source_unref(c->input_source);
        if (c->raw)
                (void) tcsetattr(STDIN_FILENO, TCSADRAIN, c->saved_termios);
        c->raw = false;
}

void session_end_console(Session *s) {
        ConsoleState *c = &s->console;

        session_restore_terminal(s);
        free(c->saved_termios);
        free(c->tail);
        forward_done(&c->forward);
        *c = (ConsoleState) { .forward = FORWARD_NONE, .input_fd = -EBADF };
}
