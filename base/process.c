/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "process.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "own-directory.h"
#include "strutil.h"

#define TERM_PATIENCE_USEC (2 * 1000000u)

static int reset_signals(void) {
        sigset_t none;

        for (int sig = 1; sig < _NSIG; sig++)
                (void) signal(sig, SIG_DFL); /* fails for SIGKILL, SIGSTOP and libc's own */
        if (sigemptyset(&none) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
                return -errno;
        return 0;
}

static int die_with_parent(pid_t parent) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return -errno;
        /* The parent may have died before the line above. */
        return getppid() == parent ? 0 : -ESRCH;
}

/* Makes everything after 2 close on exec except the descriptors named. */
static int keep_only(const int *fds, size_t n) {
        if (syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
                return -errno;
        for (size_t i = 0; i < n; i++) {
                int flags = fcntl(fds[i], F_GETFD);

                if (flags < 0 || fcntl(fds[i], F_SETFD, flags & ~FD_CLOEXEC) < 0)
                        return -errno;
        }
        return 0;
}

static int move_stdio(const ProcessSpec *spec) {
        const int wanted[] = { spec->stdin_fd, spec->stdout_fd, spec->stderr_fd };
        _cleanup_close_ int null = -EBADF;
        int copies[3];

        null = fd_open("/dev/null", O_RDWR, 0);
        if (null < 0)
                return null;

        /* First out of the way of 0 to 2, then into place: a wanted descriptor may itself be one of them. */
        for (int i = 0; i < 3; i++) {
                int from = wanted[i] >= 0 ? wanted[i] : i == 2 ? STDERR_FILENO : null;

                copies[i] = fcntl(from, F_DUPFD_CLOEXEC, 3);
                if (copies[i] < 0)
                        return -errno;
        }
        for (int i = 0; i < 3; i++)
                if (dup2(copies[i], i) < 0)
                        return -errno;
        return 0;
}

static int child_setup(const ProcessSpec *spec, pid_t parent) {
        int r = reset_signals();

        if (r < 0)
                return r;
        if (spec->own_group && setpgid(0, 0) < 0)
                return -errno;
        r = move_stdio(spec);
        if (r < 0)
                return r;
        r = keep_only(spec->keep_fds, spec->n_keep_fds);
        if (r < 0)
                return r;
        if (spec->prepare) {
                r = spec->prepare(spec->userdata);
                if (r < 0)
                        return r;
        }
        /* After prepare: a change of credentials clears the parent-death signal. */
        return die_with_parent(parent);
}

_noreturn_ static void child_exec(const ProcessSpec *spec, pid_t parent, int error_fd) {
        int r = child_setup(spec, parent);

        if (r == 0) {
                if (spec->env)
                        environ = (char **) spec->env;
                (void) execvp(spec->file, spec->argv);
                r = -errno;
        }
        _exit(fd_write_all(error_fd, &r, sizeof(r)) < 0 ? 126 : 127);
}

static int take_pidfd(pid_t pid, Process *ret) {
        int fd = (int) syscall(SYS_pidfd_open, pid, 0);

        if (fd < 0) {
                int r = -errno;

                (void) kill(pid, SIGKILL);
                (void) waitpid(pid, NULL, 0);
                return r;
        }
        *ret = (Process) { .pid = pid, .pidfd = fd };
        return 0;
}

int process_spawn(const ProcessSpec *spec, Process *ret, char **reterr) {
        _cleanup_close_ int error_read = -EBADF, error_write = -EBADF;
        pid_t parent = getpid(), pid;
        int p[2], r, k;

        if (pipe2(p, O_CLOEXEC) < 0)
                return error_set(reterr, -errno, "cannot make a pipe: %m");
        error_read = p[0];
        error_write = p[1];

        pid = fork();
        if (pid < 0)
                return error_set(reterr, -errno, "cannot start '%s': %m", spec->file);
        if (pid == 0)
                child_exec(spec, parent, error_write);

        error_write = fd_close(error_write);
        r = fd_read_exact(error_read, &k, sizeof(k));
        if (r == 0) {
                (void) waitpid(pid, NULL, 0);
                return error_set(reterr, k, "cannot start '%s': %s", spec->file, strerror(-k));
        }

        r = take_pidfd(pid, ret);
        if (r < 0)
                return error_set(reterr, r, "cannot watch '%s': %s", spec->file, strerror(-r));
        return 0;
}

int process_check(const char *file, char **reterr) {
        _cleanup_free_ char *found = NULL;
        struct stat st;
        int r = strchr(file, '/') ? 0 : process_find_program(file, &found);

        if (r >= 0 && !strchr(file, '/') && !found)
                r = -ENOENT;
        if (r >= 0 && (stat(found ?: file, &st) < 0 || access(found ?: file, X_OK) < 0))
                r = -errno;
        if (r >= 0 && !S_ISREG(st.st_mode))
                r = -EACCES;
        return r < 0 ? error_set(reterr, r, "cannot start '%s': %s", file, strerror(-r)) : 0;
}

int process_fork(int (*child_main)(void *userdata), void *userdata, Process *ret) {
        pid_t parent = getpid(), pid = fork();

        if (pid < 0)
                return -errno;
        if (pid == 0) {
                if (reset_signals() < 0 || die_with_parent(parent) < 0)
                        _exit(127);
                _exit(child_main(userdata));
        }
        return take_pidfd(pid, ret);
}

int process_signal(const Process *p, int sig) {
        if (p->pid <= 0)
                return -ESRCH;
        return syscall(SYS_pidfd_send_signal, p->pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

void process_forget(Process *p) {
        (void) fd_close(p->pidfd);
        *p = PROCESS_NONE;
}

int process_wait(Process *p, uint64_t timeout_usec, siginfo_t *ret) {
        struct pollfd pfd = { .fd = p->pidfd, .events = POLLIN };
        const struct timespec ts = {
                .tv_sec = (time_t) (timeout_usec / 1000000),
                .tv_nsec = (long) (timeout_usec % 1000000 * 1000),
        };
        siginfo_t si = {};
        int k;

        if (p->pid <= 0)
                return -ESRCH;
        do
                k = ppoll(&pfd, 1, timeout_usec == UINT64_MAX ? NULL : &ts, NULL);
        while (k < 0 && errno == EINTR);
        if (k < 0)
                return -errno;
        if (k == 0)
                return -ETIMEDOUT;
        if (waitid(P_PIDFD, (id_t) p->pidfd, &si, WEXITED) < 0)
                return -errno;

        process_forget(p);
        if (ret)
                *ret = si;
        return 0;
}

void process_done(Process *p) {
        if (p->pid <= 0)
                return;
        if (process_signal(p, SIGTERM) >= 0 && process_wait(p, TERM_PATIENCE_USEC, NULL) >= 0)
                return;
        (void) process_signal(p, SIGKILL);
        if (process_wait(p, UINT64_MAX, NULL) < 0)
                process_forget(p);
}

int process_find_beside(const char *verb, char **ret) {
        static const char *const prefixes[] = { "verb-", "" };
        OwnDirectory here;
        int r = own_directory(&here);

        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(prefixes); i++) {
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, "%s/%s%s", here.path, prefixes[i], verb) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                if (access(path, X_OK) == 0) {
                        *ret = TAKE_PTR(path);
                        return 0;
                }
        }
        return -ENOENT;
}

int process_find_program(const char *name, char **ret) {
        _cleanup_strv_free_ char **directories = NULL;
        int r = strv_split(getenv("PATH") ?: "/usr/local/bin:/usr/bin:/bin", ':', &directories);

        if (r < 0)
                return r;
        STRV_FOREACH(d, directories) {
                _cleanup_free_ char *candidate = NULL;

                if (**d != '/')
                        continue;
                if (asprintf(&candidate, "%s/%s", *d, name) < 0) {
                        candidate = NULL;
                        return -ENOMEM;
                }
                if (access(candidate, X_OK) == 0) {
                        *ret = TAKE_PTR(candidate);
                        return 0;
                }
        }
        *ret = NULL;
        return 0;
}
