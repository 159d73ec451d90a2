/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-runtime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "strutil.h"

#define NAME_SHOWN 24 /* of the machine's name: socket paths have 107 bytes */
#define DEPTH_MAX  4u /* what is deeper is not ours */
#define DONE_USEC  UINT64_C(5000000)

typedef struct Keep {
        const char *base, *path;
        int lifeline, report;
} Keep;

static void remove_below(int parent, const char *name, unsigned depth) {
        int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
        const struct dirent *entry;

        if (!d) {
                (void) fd_close(fd);
                return;
        }
        while ((entry = readdir(d))) {
                if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                if (unlinkat(dirfd(d), entry->d_name, 0) < 0 && errno == EISDIR && depth < DEPTH_MAX)
                        remove_below(dirfd(d), entry->d_name, depth + 1);
        }
        (void) closedir(d);
        (void) unlinkat(parent, name, AT_REMOVEDIR);
}

/* Makes the directory, and removes it when the other end of the lifeline is closed: not before, whatever signals come. */
static int keep(void *userdata) {
        const Keep *k = userdata;
        sigset_t all;
        char byte;
        int r;

        (void) sigfillset(&all);
        if (sigprocmask(SIG_SETMASK, &all, NULL) < 0 || setsid() < 0 || prctl(PR_SET_PDEATHSIG, 0) < 0)
                return 1;
        if (dup2(k->lifeline, 0) < 0 || dup2(k->report, 1) < 0 || syscall(SYS_close_range, 2, ~0U, 0) < 0)
                return 1;
        /* The base stays where others use it. */
        r = mkdir(k->base, 0755) < 0 && errno != EEXIST ? -errno : 0;
        if (r >= 0)
                r = mkdir(k->path, 0700) < 0 ? -errno : 0;
        if (fd_write_all(1, &r, sizeof(r)) < 0)
                r = r < 0 ? r : -EPIPE;
        (void) close(1);
        while (r >= 0) {
                ssize_t n = read(0, &byte, 1);

                if (n == 0 || (n < 0 && errno != EINTR))
                        break;
        }
        if (r >= 0 || r == -EPIPE)
                remove_below(AT_FDCWD, k->path, 0);
        (void) rmdir(k->base);
        return 0;
}

static int choose_base(char **ret) {
        const char *service = getenv("RUNTIME_DIRECTORY"), *user = getenv("XDG_RUNTIME_DIR");
        int r;

        if (service && *service == '/')
                r = asprintf(ret, "%.*s/cvmspawn", (int) strcspn(service, ":"), service);
        else if (geteuid() == 0)
                r = asprintf(ret, "/run/cvmspawn");
        else if (user && *user == '/')
                r = asprintf(ret, "%s/cvmspawn", user);
        else
                r = asprintf(ret, "%s/cvmspawn-%u", getenv("TMPDIR") ?: "/tmp", (unsigned) geteuid());
        return r < 0 ? -ENOMEM : 0;
}

static int start_keeper(const Keep *k, int report, RuntimeDir *d) {
        int r = process_fork(keep, (void *) k, &d->keeper), made;

        (void) fd_close(k->report);
        if (r < 0)
                return r;
        r = fd_read_exact(report, &made, sizeof(made));
        return r == 0 ? made : r < 0 ? r : -EPIPE;
}

int runtime_dir_make(const char *machine, RuntimeDir *ret, char **reterr) {
        _cleanup_(runtime_dir_done) RuntimeDir d = RUNTIME_DIR_NONE;
        _cleanup_close_ int report = -EBADF, lifeline = -EBADF;
        _cleanup_free_ char *base = NULL;
        unsigned char random[4];
        int life[2], answer[2], r;

        if (getrandom(random, sizeof(random), 0) != (ssize_t) sizeof(random))
                return -errno;
        r = choose_base(&base);
        if (r < 0)
                return r;
        if (asprintf(&d.path, "%s/%.*s-%02x%02x%02x%02x", base, NAME_SHOWN, machine ?: "cvm", random[0],
                            random[1], random[2], random[3]) < 0) {
                d.path = NULL;
                return -ENOMEM;
        }
        if (pipe2(life, O_CLOEXEC) < 0)
                return -errno;
        lifeline = life[0];
        d.lifeline = life[1];
        if (pipe2(answer, O_CLOEXEC) < 0)
                return -errno;
        report = answer[0];
        r = start_keeper(&(const Keep) { .base = base,
                                         .path = d.path,
                                         .lifeline = lifeline,
                                         .report = answer[1] },
                        report, &d);
        if (r < 0)
                return error_set(reterr, r,
                                "cannot make the directory '%s' for keys and sockets: %s; $RUNTIME_DIRECTORY names another place",
                                d.path, strerror(-r));
        *ret = TAKE_STRUCT(d, RUNTIME_DIR_NONE);
        return 0;
}

void runtime_dir_done(RuntimeDir *d) {
        d->lifeline = fd_close(d->lifeline);
        if (d->keeper.pid > 0 && process_wait(&d->keeper, DONE_USEC, NULL) < 0)
                process_forget(&d->keeper);
        free(d->path);
        *d = RUNTIME_DIR_NONE;
}
