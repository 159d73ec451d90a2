/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --run=: a command, whose output goes to two serial ports and whose status to a third. An initrd of Debian has no driver for virtio-serial, and
 * serial ports are in every kernel. They are found by their address, which cvmspawn has given them: launcher/compose/compose-devices.c. */

#include "adapter-run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define PORTS_MAX 64u

typedef struct Stream {
        int pipe; /* the command's end of file: -1 */
        int port;
        char data[ADAPTER_CHUNK];
        size_t begin, end; /* of what the port has not taken yet */
} Stream;

static void set_up(void) {
        adapter_mount("proc", "/proc", NULL);
        adapter_mount("sysfs", "/sys", NULL);
        adapter_mount("devtmpfs", "/dev", "mode=0755");
        adapter_mount("tmpfs", "/run", "mode=0755");
        if (mkdir("/dev/pts", 0755) == 0 || errno == EEXIST)
                (void) mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                                "mode=0620,ptmxmode=0666");
        /* An initrd without /dev/console leaves its init without the first three. */
        while (open("/dev/null", O_RDWR) < 3) {}
        if (mkdir("/run/credentials", 0755) < 0 || mkdir(ADAPTER_CREDENTIALS, 0700) < 0)
                adapter_fail("cannot make a folder for credentials", ADAPTER_CREDENTIALS);
        adapter_take_credentials(ADAPTER_CREDENTIALS);
}

/* "0x3E8\n" in the port's folder of /sys. */
static unsigned long address_of(unsigned n) {
        char path[ADAPTER_NUMBER_SIZE], *text = NULL;
        unsigned long address;
        size_t size;

        adapter_number(path, "/sys/class/tty/ttyS", n, "/port");
        if (!adapter_read(path, &text, &size))
                return 0;
        address = strtoul(text, NULL, 16);
        free(text);
        return address;
}

static int open_port(const char *address) {
        struct termios t;
        int fd = -1;

        for (unsigned n = 0; n < PORTS_MAX && fd < 0; n++) {
                char path[ADAPTER_NUMBER_SIZE];

                if (address_of(n) != strtoul(address, NULL, 16))
                        continue;
                adapter_number(path, "/dev/ttyS", n, "");
                fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        }
        if (fd < 0 || tcgetattr(fd, &t) < 0)
                adapter_fail("the kernel has no driver for the serial port at this address (8250, with PNP)",
                                address);
        cfmakeraw(&t);
        t.c_cflag |= CLOCAL | CREAD;
        (void) cfsetspeed(&t, B115200);
        if (tcsetattr(fd, TCSANOW, &t) < 0)
                adapter_fail("cannot set up a serial port", address);
        return fd;
}

static const char *shell(void) {
        static const char *const shells[] = { "/bin/sh", "/usr/bin/sh", "/sbin/sh", "/usr/sbin/sh" };

        for (size_t i = 0; i < sizeof(shells) / sizeof(*shells); i++)
                if (access(shells[i], X_OK) == 0)
                        return shells[i];
        adapter_fail("the initrd has no /bin/sh to run the command with", NULL);
}

typedef struct Ends {
        int command[3];   /* the command's: standard input, output and error */
        int in, out, err; /* ours; -1: none */
} Ends;

/* In the child. A terminal becomes that of its session. */
_Noreturn static void become(char *command, const Ends *ends, const Terminal *t) {
        static char term[sizeof("TERM=") + sizeof(t->name)] = "TERM=";
        char *argv[] = { (char *) shell(), (char *) "-c", command, NULL };
        char *env[] = { (char *) "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                t->wanted ? term : NULL, (char *) "HOME=/root", NULL };
        sigset_t none;

        (void) memcpy(term + strlen("TERM="), t->name, sizeof(t->name));
        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        (void) setsid();
        if (t->wanted)
                (void) ioctl(ends->command[0], TIOCSCTTY, 0);
        (void) !chdir("/");
        (void) signal(SIGPIPE, SIG_DFL);
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (dup2(ends->command[fd], fd) < 0)
                        _exit(127);
        for (int fd = STDERR_FILENO + 1; fd < 64; fd++)
                (void) close(fd);
        (void) execve(argv[0], argv, env);
        _exit(127);
}

static void make_pipe(int *command, int *ours, bool ours_writes) {
        int p[2];

        if (pipe2(p, O_CLOEXEC) < 0)
                adapter_fail("cannot make a pipe", NULL);
        *command = p[ours_writes ? 0 : 1];
        *ours = p[ours_writes ? 1 : 0];
}

static Ends make_ends(const Terminal *t) {
        Ends e = { .err = -1 };

        if (t->wanted) {
                adapter_terminal_open(t, &e.out, &e.command[0]);
                e.in = fcntl(e.out, F_DUPFD_CLOEXEC, 3);
                e.command[1] = e.command[2] = e.command[0];
        } else {
                make_pipe(&e.command[0], &e.in, /* ours_writes= */ true);
                make_pipe(&e.command[1], &e.out, /* ours_writes= */ false);
        }
        if (!t->wanted || t->error_apart)
                make_pipe(&e.command[2], &e.err, /* ours_writes= */ false);
        return e;
}

static pid_t start(const Terminal *t, Input *in, Stream *out, Stream *err) {
        Ends ends = make_ends(t);
        char *command = NULL;
        size_t size;
        pid_t pid;

        if (!adapter_read(ADAPTER_CREDENTIALS "/" ADAPTER_COMMAND, &command, &size))
                adapter_fail("cannot read the command", NULL);
        pid = fork();
        if (pid == 0)
                become(command, &ends, t);
        if (pid < 0)
                adapter_fail("cannot start the command", NULL);
        for (int i = 0; i < 3; i++)
                if (i == 0 || ends.command[i] != ends.command[0])
                        (void) close(ends.command[i]);
        (void) fcntl(ends.in, F_SETFL, fcntl(ends.in, F_GETFL) | O_NONBLOCK);
        free(command);
        in->pipe = ends.in;
        in->terminal = t->wanted ? ends.in : -1;
        out->pipe = ends.out;
        err->pipe = ends.err;
        return pid;
}

/* Either the next bytes of the command, or what of the last ones its port has not taken. */
static struct pollfd wanted(const Stream *s) {
        return s->begin < s->end ? (struct pollfd) { .fd = s->port, .events = POLLOUT }
                                 : (struct pollfd) { .fd = s->pipe, .events = POLLIN };
}

static void move(Stream *s, short happened) {
        ssize_t n;

        if (!happened)
                return;
        if (s->begin < s->end) {
                n = write(s->port, s->data + s->begin, s->end - s->begin);
                if (n > 0)
                        s->begin += (size_t) n;
                else if (n < 0 && errno != EAGAIN && errno != EINTR)
                        adapter_fail("cannot write to a serial port", NULL);
                return;
        }
        n = read(s->pipe, s->data, sizeof(s->data));
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        s->begin = 0;
        s->end = n > 0 ? (size_t) n : 0;
        /* A terminal that nobody has open any more is an error (EIO). */
        if (n <= 0) {
                (void) close(s->pipe);
                s->pipe = -1;
        }
}

/* Everything that ended; the command's status once it did, else -1. */
static int reap(pid_t command) {
        int status, found = -1;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                if (pid == command)
                        found = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        return found;
}

typedef struct Job {
        pid_t command;
        int signals, notifications;
        Input in;
        Stream out, err;
} Job;

static int serve(Job *j) {
        int status = -1;

        while (status < 0 || j->out.pipe >= 0 || j->err.pipe >= 0) {
                struct pollfd p[] = { wanted(&j->out), wanted(&j->err), adapter_input_wanted(&j->in),
                        { .fd = j->signals, .events = POLLIN } };
                struct signalfd_siginfo info;
                int found;

                if (poll(p, sizeof(p) / sizeof(*p), -1) < 0 && errno != EINTR)
                        adapter_fail("cannot wait for the command", NULL);
                move(&j->out, p[0].revents);
                move(&j->err, p[1].revents);
                adapter_input_move(&j->in, p[2].revents, j->notifications);
                if (!p[3].revents)
                        continue;
                (void) !read(j->signals, &info, sizeof(info));
                found = reap(j->command);
                if (found >= 0) {
                        status = found;
                        /* Nothing that it left behind holds the guest. */
                        (void) kill(-1, SIGKILL);
                }
        }
        return status;
}

static void notify_status(int port, int status) {
        char line[] = "EXIT_STATUS=000\n";
        char *digits = strchr(line, '0');

        digits[0] = (char) ('0' + status / 100);
        digits[1] = (char) ('0' + status / 10 % 10);
        digits[2] = (char) ('0' + status % 10);
        adapter_notify(port, line);
}

void adapter_run(void) {
        static Job job;
        Terminal terminal;
        sigset_t mask;
        int status;

        set_up();
        job.notifications = open_port(ADAPTER_NOTIFY_ADDRESS);
        job.out.port = job.in.port = open_port(ADAPTER_STDOUT_ADDRESS);
        job.err.port = open_port(ADAPTER_STDERR_ADDRESS);
        (void) signal(SIGPIPE, SIG_IGN);
        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGCHLD);
        (void) sigprocmask(SIG_BLOCK, &mask, NULL);
        job.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        if (job.signals < 0)
                adapter_fail("cannot wait for the command", NULL);
        adapter_input_first(&job.in, job.notifications, &terminal);
        job.command = start(&terminal, &job.in, &job.out, &job.err);
        adapter_notify(job.notifications, "READY=1\nINPUT=1\n");
        status = serve(&job);
        (void) tcdrain(job.out.port);
        (void) tcdrain(job.err.port);
        adapter_copy_out(job.notifications);
        notify_status(job.notifications, status);
        sync();
        (void) reboot(RB_POWER_OFF);
        adapter_fail("cannot power off", NULL);
}
