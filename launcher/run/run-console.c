/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The guest's console: shown, typed into, recorded, or kept for later; and watched for a panic that no device reports.
 *
 * QEMU has it as standard input and output, two pipes. The pipe takes a million bytes without a reader: a serial port does not wait.
 * The kernel of the guest waits 10 ms for its transmitter (drivers/tty/serial/8250/8250_port.c, wait_for_xmitr()) and then writes all
 * the same; QEMU's UART (hw/char/serial.c, serial_xmit()) holds 16 bytes and drops the oldest. A socket, where each write
 * of one byte costs 768 bytes of its buffer, was full as soon as this process was not scheduled for a while. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "file-check.h"
#include "log.h"
#include "run-check.h"
#include "run-session.h"
#include "run-show.h"
#include "run-terminal.h"

#define PIPE_SIZE  (1 << 20) /* what everybody may have: /proc/sys/fs/pipe-max-size */
#define PANIC_TEXT "Kernel panic - not syncing"
#define PANIC_END  "---[ end Kernel panic - not syncing"
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

/* --console-log= */
static void record(Session *s, const char *data, size_t size) {
        ConsoleState *c = &s->console;
        _cleanup_free_ char *sentence = NULL;
        int r;

        if (c->log_fd < 0)
                return;
        r = fd_write_all(c->log_fd, data, size);
        if (r >= 0)
                return;
        c->log_fd = fd_close(c->log_fd);
        s->facts.lost = true;
        if (asprintf(&sentence, "--console-log: cannot write to '%s': %s", s->request->config->console_log,
                            strerror(-r)) < 0)
                sentence = NULL;
        (void) session_fail(s, r, sentence ?: "out of memory");
}

static void on_console_text(const char *data, size_t size, void *userdata) {
        Session *s = userdata;
        ConsoleState *c = &s->console;
        size_t look = MIN(c->tail_size + size, size + strlen(PANIC_END) - 1);

        c->seen += size;
        c->all += size;
        if (s->request->choices->console != CONSOLE_HEADLESS)
                show_close();
        if (s->request->choices->console == CONSOLE_INTERACTIVE)
                session_shown(s, data, size);
        record(s, data, size);
        keep_tail(c, data, size);
        look = MIN(look, c->tail_size);
        if (memmem(c->tail + c->tail_size - look, look, PANIC_TEXT, strlen(PANIC_TEXT)))
                session_on_panic_text(s);
        if (memmem(c->tail + c->tail_size - look, look, PANIC_END, strlen(PANIC_END)))
                s->panic.ended = true;
        if (s->request->choices->simulated &&
                        memmem(c->tail + c->tail_size - look, look, REFUSED_TEXT, strlen(REFUSED_TEXT)))
                session_on_refusal(s);
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
        if (session_escaped(s, buffer, (size_t) n))
                return 0;
        /* A guest that does not read its console loses what is typed. */
        if (write(c->input_fd, buffer, (size_t) n) < 0 && errno != EAGAIN)
                c->input_source = loop_source_unref(c->input_source);
        return 0;
}

static int start_typing(Session *s) {
        int r = session_take_terminal(s);

        return r < 0 ? r
                     : loop_add_io(s->loop, STDIN_FILENO, EPOLLIN, on_typed, s, &s->console.input_source);
}

/* The guest may clear its screen: what was said before must be out of its reach, above the first line. */
static void save_screen(const Session *s) {
        struct winsize w;

        if (vm_config_confidential(s->request->config) && s->request->log->terminal &&
                        ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) >= 0 && w.ws_row > 0 && w.ws_row <= 200)
                for (unsigned i = 0; i < w.ws_row; i++)
                        output_write(s->request->log, "\n", 1);
}

static int refuse_log(const char *path, int r, char **reterr) {
        return r == -EINVAL
                        ? error_set(reterr, r,
                                          "--console-log: '%s' is not a regular file; use --console=read-only to pass the console on",
                                          path)
                        : error_set(reterr, r, "--console-log: cannot open '%s': %s", path, strerror(-r));
}

int console_log_check(const VmConfig *config, char **reterr) {
        const char *path = config->console_log;
        struct stat st;
        int r;

        if (!path)
                return 0;
        r = stat(path, &st) >= 0 && S_ISFIFO(st.st_mode) ? -EINVAL : file_check_create(path);
        return r < 0 ? refuse_log(path, r, reterr) : 0;
}

/* Recorded bytes must not make the loop wait: only regular files, and devices such as /dev/null. */
static int open_log(Session *s, char **reterr) {
        const char *path = s->request->config->console_log;
        struct stat st;
        int fd, r = console_log_check(s->request->config, reterr);

        if (r < 0 || !path)
                return r;
        fd = fd_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY, 0600);
        if (fd < 0)
                return refuse_log(path, fd, reterr);
        if (fstat(fd, &st) < 0 || S_ISFIFO(st.st_mode) || isatty(fd)) {
                (void) fd_close(fd);
                return refuse_log(path, -EINVAL, reterr);
        }
        s->console.log_fd = fd;
        return 0;
}

/* One direction: *ret is our end, which does not block, *ret_qemu the other one. */
static int make_pipe(bool ours_reads, int *ret, int *ret_qemu) {
        int p[2];

        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        *ret = p[ours_reads ? 0 : 1];
        *ret_qemu = p[ours_reads ? 1 : 0];
        /* Less than that has to do where this user has many pipes already. */
        if (ours_reads)
                (void) fcntl(p[0], F_SETPIPE_SZ, PIPE_SIZE);
        return fcntl(*ret, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

void session_close_console_ends(Session *s) {
        s->console.qemu_in = fd_close(s->console.qemu_in);
        s->console.qemu_out = fd_close(s->console.qemu_out);
}

int session_start_console(Session *s, char **reterr) {
        ConsoleMode mode = s->request->choices->console;
        ConsoleState *c = &s->console;
        int fd, r;

        if (mode == CONSOLE_NATIVE)
                return 0;
        r = open_log(s, reterr);
        if (r < 0)
                return r;
        c->tail = malloc(CONSOLE_TAIL);
        if (!c->tail)
                return -ENOMEM;
        r = make_pipe(/* ours_reads= */ false, &c->input_fd, &c->qemu_in);
        if (r < 0)
                return r;
        r = make_pipe(/* ours_reads= */ true, &fd, &c->qemu_out);
        if (r < 0)
                return r;
        r = forward_start(&c->forward, s->loop,
                        &(const ForwardSpec) {
                                        .in = fd,
                                        .out = mode == CONSOLE_HEADLESS ? -EBADF : STDOUT_FILENO,
                                        .raw = mode == CONSOLE_INTERACTIVE,
                                        .background = s->request->config->background,
                                        .queue = CONSOLE_QUEUE,
                                        .seen = on_console_text,
                                        .failed = session_on_loss,
                                        .userdata = s,
                        });
        if (r < 0) {
                (void) fd_close(fd);
                return r;
        }
        if (mode != CONSOLE_INTERACTIVE)
                return 0;
        save_screen(s);
        return start_typing(s);
}

/* The beginning of the last lines. */
static size_t tail_begin(const ConsoleState *c) {
        size_t lines = 0, i = c->tail_size;

        while (i > 0 && (c->tail[i - 1] != '\n' || i == c->tail_size || ++lines < CONSOLE_TAIL_LINES))
                i--;
        return i;
}

void session_show_tail(Session *s) {
        ConsoleState *c = &s->console;
        TerminalFilter filter = { .colours = s->request->log->terminal };
        const char *log = s->request->config->console_log;
        _cleanup_free_ char *shown = NULL;
        size_t begin = tail_begin(c), size;

        if (c->tail_size == 0 || s->request->choices->console != CONSOLE_HEADLESS ||
                        s->request->config->quiet)
                return;
        shown = malloc(TERMINAL_ROOM(c->tail_size - begin));
        if (!shown)
                return;
        if (log)
                log_error("last lines of the guest's console (all of them are in '%s'):", log);
        else
                log_error("last lines of the guest's console (--console-log=FILE keeps all of them):");
        size = terminal_filter(&filter, c->tail + begin, c->tail_size - begin, shown);
        size += terminal_filter_end(&filter, shown + size);
        output_write(s->request->log, shown, size);
}

void session_end_console(Session *s) {
        ConsoleState *c = &s->console;

        session_restore_terminal(s);
        session_close_console_ends(s);
        free(c->saved_termios);
        free(c->tail);
        forward_done(&c->forward);
        (void) fd_close(c->input_fd);
        (void) fd_close(c->log_fd);
        *c = CONSOLE_NONE;
}
