/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "test.h"

#include "bytes.h"
#include "fd.h"
#include "run-forward.h"
#include "run-session.h"

#define MUCH (4u * 1024u * 1024u) /* far more than a pipe or a socket holds */

/* --- lines ---------------------------------------------------------------------------------------------------------- */

typedef struct Lines {
        char *lines[16];
        size_t n;
} Lines;

static void take_line(char *line, void *userdata) {
        Lines *l = userdata;

        assert_true(l->n < ELEMENTSOF(l->lines));
        l->lines[l->n] = strdup(line);
        assert_non_null(l->lines[l->n]);
        l->n++;
}

static void lines_free(Lines *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->lines[i]);
}

static void expect_lines(const Lines *l, const char *const *wanted, size_t n) {
        assert_int_equal(l->n, n);
        for (size_t i = 0; i < n; i++)
                assert_string_equal(l->lines[i], wanted[i]);
}

static void lines_come_whole(_unused_ void **state) {
        static const char text[] = "READY=1\nSTATUS=a b\r\n\nX=\r\r\nrest";
        static const char *const wanted[] = { "READY=1", "STATUS=a b", "", "X=\r", "rest" };

        /* In one piece, and byte by byte. */
        for (size_t step = 1; step <= sizeof(text) - 1; step += sizeof(text) - 2) {
                LineReader r = {};
                Lines l = {};

                for (size_t i = 0; i < sizeof(text) - 1; i += step)
                        line_reader_feed(&r, text + i, MIN(step, sizeof(text) - 1 - i), take_line, &l);
                expect_lines(&l, wanted, 4);
                line_reader_end(&r, take_line, &l);
                line_reader_end(&r, take_line, &l); /* nothing is left */
                expect_lines(&l, wanted, 5);
                lines_free(&l);
        }
}

static void long_lines_are_cut(_unused_ void **state) {
        LineReader r = {};
        Lines l = {};

        for (size_t i = 0; i < 3 * LINE_MAX_IN; i++)
                line_reader_feed(&r, "x", 1, take_line, &l);
        line_reader_feed(&r, "\nnext\n", 6, take_line, &l);
        assert_int_equal(l.n, 2);
        assert_int_equal(strlen(l.lines[0]), LINE_MAX_IN - 1);
        assert_string_equal(l.lines[1], "next");
        lines_free(&l);
}

/* --- forwarding ----------------------------------------------------------------------------------------------------- */

typedef struct Line {
        Loop *loop;
        Forward forward;
        int feed; /* the guest's side */
        uint8_t *data;
        size_t fed, seen;
        const char *lost;
        int error;
} Line;

static void count(const char *data, size_t size, void *userdata) {
        Line *l = userdata;

        assert_memory_equal(data, l->data + l->seen, size);
        l->seen += size;
}

static void remember(_unused_ Forward *f, const char *what, int error, void *userdata) {
        Line *l = userdata;

        l->lost = what;
        l->error = error;
}

static void line_open(Line *l, int out) {
        int pair[2];

        *l = (Line) { .data = malloc(MUCH) };
        assert_non_null(l->data);
        for (size_t i = 0; i < MUCH; i++)
                l->data[i] = (uint8_t) (i * 31 + i / 1021);
        assert_ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
        l->feed = pair[0];
        assert_ok(loop_new(&l->loop));
        assert_ok(forward_start(&l->forward, l->loop,
                        &(const ForwardSpec) {
                                        .in = pair[1],
                                        .out = out,
                                        .seen = count,
                                        .failed = remember,
                                        .userdata = l,
                        }));
}

static void line_close(Line *l) {
        (void) fd_close(l->feed);
        forward_done(&l->forward);
        assert_null(loop_unref(l->loop));
        free(l->data);
}

/* Writes what the channel takes now: false when nothing more is left to write. */
static bool feed(Line *l) {
        while (l->fed < MUCH) {
                ssize_t n = write(l->feed, l->data + l->fed, MUCH - l->fed);

                if (n < 0) {
                        assert_int_equal(errno, EAGAIN);
                        return true;
                }
                l->fed += (size_t) n;
        }
        l->feed = fd_close(l->feed);
        return false;
}

static void turn(Line *l) {
        while (loop_once(l->loop, 0) > 0)
                ;
}

/* A reader that takes nothing stops the channel, not the loop; once it reads, every byte arrives unchanged. */
static void slow_reader_gets_everything(_unused_ void **state) {
        size_t got = 0, stalled;
        uint8_t buffer[5000];
        Line l;
        int p[2];

        assert_ok(pipe2(p, O_CLOEXEC));
        line_open(&l, p[1]);
        while (feed(&l)) {
                size_t before = l.fed;

                turn(&l);
                if (l.fed == before && l.seen > 0)
                        break;
        }
        turn(&l);
        stalled = l.fed;
        assert_true(stalled > 0 && stalled < MUCH);
        assert_int_equal(loop_once(l.loop, 0), 0); /* and the loop sleeps */

        while (got < MUCH) {
                ssize_t n;

                if (l.feed >= 0)
                        (void) feed(&l);
                turn(&l);
                n = read(p[0], buffer, MIN(sizeof(buffer), MUCH - got));
                assert_true(n > 0);
                assert_memory_equal(buffer, l.data + got, (size_t) n);
                got += (size_t) n;
        }
        assert_int_equal(l.seen, MUCH);
        turn(&l);
        assert_true(l.forward.ended);
        line_close(&l);
        (void) close(p[0]);
        (void) close(p[1]);
}

static void reader_gone_is_no_failure(_unused_ void **state) {
        Line l;
        int p[2];

        assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
        assert_ok(pipe2(p, O_CLOEXEC));
        (void) close(p[0]);
        line_open(&l, p[1]);
        while (feed(&l))
                turn(&l);
        turn(&l);
        assert_int_equal(l.seen, MUCH); /* the guest is not held up */
        assert_true(l.forward.ended);
        line_close(&l);
        (void) close(p[1]);
}

static void regular_file_gets_everything(_unused_ void **state) {
        _cleanup_free_ uint8_t *copy = malloc(MUCH);
        int fd = memfd_new("out");
        Line l;

        assert_non_null(copy);
        assert_true(fd >= 0);
        line_open(&l, fd);
        while (feed(&l))
                turn(&l);
        turn(&l);
        assert_ok(forward_drain(&l.forward, 0));
        assert_ok(fd_pread_exact(fd, copy, MUCH, 0));
        assert_memory_equal(copy, l.data, MUCH);
        line_close(&l);
        (void) close(fd);
}

/* After the end what is still in the channel is written, and a descriptor in non-blocking mode loses nothing. */
static void drain_takes_the_rest(_unused_ void **state) {
        uint8_t buffer[5000];
        size_t got = 0, fed;
        pid_t child;
        Line l;
        int p[2];

        assert_ok(pipe2(p, O_CLOEXEC));
        assert_ok(fcntl(p[1], F_SETFL, O_WRONLY | O_NONBLOCK));
        line_open(&l, p[1]);
        assert_true(feed(&l));
        turn(&l);
        (void) feed(&l);
        fed = l.fed;
        l.feed = fd_close(l.feed);

        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
                (void) close(p[0]);
                _exit(forward_drain(&l.forward, 0) == 0 ? 0 : 1);
        }
        (void) close(p[1]);
        forward_done(&l.forward);
        for (;;) {
                ssize_t n = read(p[0], buffer, sizeof(buffer));

                assert_true(n >= 0);
                if (n == 0)
                        break;
                assert_memory_equal(buffer, l.data + got, (size_t) n);
                got += (size_t) n;
        }
        assert_int_equal(got, fed);
        line_close(&l);
        (void) close(p[0]);
}

static void on_alarm(_unused_ int sig) {
}

/* A reader that never comes back is waited for until a signal arrives. */
static void drain_ends_by_a_signal(_unused_ void **state) {
        const struct sigaction action = { .sa_handler = on_alarm };
        const struct itimerval soon = { .it_value = { .tv_usec = 50000 } }, never = {};
        sigset_t set;
        Line l;
        int p[2];

        assert_ok(pipe2(p, O_CLOEXEC));
        line_open(&l, p[1]);
        assert_true(feed(&l));
        turn(&l);
        l.feed = fd_close(l.feed);

        assert_ok(sigemptyset(&set));
        assert_ok(sigaddset(&set, SIGALRM));
        assert_ok(sigprocmask(SIG_BLOCK, &set, NULL));
        assert_ok(sigaction(SIGALRM, &action, NULL));
        assert_ok(setitimer(ITIMER_REAL, &soon, NULL));
        assert_error(forward_drain(&l.forward, 0), EINTR);
        assert_ok(setitimer(ITIMER_REAL, &never, NULL));
        line_close(&l);
        (void) close(p[0]);
        (void) close(p[1]);
}

/* Only a reader that has gone away is nobody's fault. */
static void full_disks_are_told(_unused_ void **state) {
        Line l;
        int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        line_open(&l, fd);
        while (feed(&l))
                turn(&l);
        turn(&l);
        assert_string_equal(l.lost, "written");
        assert_error(l.error, ENOSPC);
        assert_int_equal(l.seen, MUCH); /* the guest is not held up */
        line_close(&l);
        (void) close(fd);
}

static void read_errors_are_told(_unused_ void **state) {
        int in = open("/proc/self/mem", O_RDONLY | O_CLOEXEC); /* address 0: EIO */
        Line l = {};
        Forward f;

        assert_true(in >= 0);
        assert_ok(loop_new(&l.loop));
        f = FORWARD_NONE;
        f.in = in;
        f.loop = l.loop;
        f.buffer = malloc(FORWARD_BUFFER);
        f.failed = remember;
        f.userdata = &l;
        assert_ok(forward_drain(&f, 0));
        assert_string_equal(l.lost, "read");
        assert_error(l.error, EIO);
        forward_done(&f);
        assert_null(loop_unref(l.loop));
}

/* A deadline ends the wait for a reader that never comes back. */
static void drain_ends_in_time(_unused_ void **state) {
        uint64_t begin = monotonic_usec();
        Line l;
        int p[2];

        assert_ok(pipe2(p, O_CLOEXEC));
        line_open(&l, p[1]);
        assert_true(feed(&l));
        turn(&l);
        l.feed = fd_close(l.feed);
        assert_error(forward_drain(&l.forward, begin + 50000), ETIMEDOUT);
        assert_in_range(monotonic_usec() - begin, 50000, 5000000);
        line_close(&l);
        (void) close(p[0]);
        (void) close(p[1]);
}

/* Two writers of one pipe: poll(2) said that there is room, and then there is none. */
static void a_full_pipe_of_others_does_not_block(_unused_ void **state) {
        Output o;
        int p[2];

        assert_ok(pipe2(p, O_CLOEXEC));
        assert_ok(output_open(&o, p[1]));
        assert_int_equal(fcntl(p[1], F_GETFL) & O_NONBLOCK, 0); /* the others' description stays as it is */
        o.limit = 4 * MUCH;
        for (size_t i = 0; i < 64; i++) {
                static const char block[65536] = { 1 };

                output_write(&o, block, sizeof(block));
        }
        assert_int_equal(o.dropped, 0);
        assert_true(output_pending(&o) >= 63 * 65536);
        output_done(&o);
        (void) close(p[0]);
        (void) close(p[1]);
}

static void what_does_not_fit_is_counted(_unused_ void **state) {
        static const char block[65536] = { 1 };
        Output o;
        int p[2];

        assert_ok(pipe2(p, O_CLOEXEC));
        assert_ok(output_open(&o, p[1]));
        o.limit = 1000;
        output_write(&o, block, sizeof(block));
        output_write(&o, block, 1500);
        assert_int_equal(output_pending(&o), 1000);
        assert_int_equal(o.dropped, 500);
        output_done(&o);
        (void) close(p[0]);
        (void) close(p[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lines_come_whole),
                cmocka_unit_test(long_lines_are_cut),
                cmocka_unit_test(slow_reader_gets_everything),
                cmocka_unit_test(reader_gone_is_no_failure),
                cmocka_unit_test(regular_file_gets_everything),
                cmocka_unit_test(drain_takes_the_rest),
                cmocka_unit_test(drain_ends_by_a_signal),
                cmocka_unit_test(drain_ends_in_time),
                cmocka_unit_test(full_disks_are_told),
                cmocka_unit_test(read_errors_are_told),
                cmocka_unit_test(a_full_pipe_of_others_does_not_block),
                cmocka_unit_test(what_does_not_fit_is_counted),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
