/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* RUNTIME is $RUNTIME_DIRECTORY as a service manager sets it, else /run/cvmspawn/MACHINE for root and $XDG_RUNTIME_DIR/cvmspawn/MACHINE
 * for others. Only its owner may connect: that takes the right to write to the socket. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "run-control.h"
#include "strutil.h"

#define ATTEMPTS 16u /* to get hold of a folder that others of the same name remove at that moment */
#define BACKLOG  128

/* A keeper holds the lock for a moment while it removes what a launcher left. */
#define LOCK_ATTEMPTS    40u
#define LOCK_MSEC        5
#define REMAINS_ATTEMPTS 1000u

typedef struct Remains {
        const char *folder;
        bool own; /* the folder, too */
} Remains;

/* What the launcher has not removed itself. Its children, which die with it, have its lock for a moment; a lock that is held longer belongs to
 * a new launcher. */
static void remove_remains(const void *userdata) {
        const Remains *r = userdata;
        int fd = open(r->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;

        if (fd < 0)
                return;
        for (unsigned i = 0; i < REMAINS_ATTEMPTS && flock(fd, LOCK_EX | LOCK_NB) < 0; i++)
                (void) poll(NULL, 0, LOCK_MSEC);
        if (fstat(fd, &st) >= 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) >= 0) {
                (void) unlinkat(fd, CONTROL_SOCKET, 0);
                if (r->own)
                        (void) rmdir(r->folder);
        }
        (void) close(fd);
}

void control_socket_done(ControlSocket *c) {
        if (c->fd >= 0)
                (void) unlinkat(c->folder_fd, CONTROL_SOCKET, 0);
        if (c->parent_fd >= 0 && c->folder_fd >= 0)
                (void) unlinkat(c->parent_fd, c->name, AT_REMOVEDIR);
        (void) fd_close(c->fd);
        (void) fd_close(c->parent_fd);
        (void) fd_close(c->folder_fd);
        keeper_done(&c->keeper);
        free(c->name);
        free(c->path);
        *c = CONTROL_SOCKET_NONE;
}

/* Made if it is missing; ours, and not a link to somewhere else. */
static int open_folder(int parent, const char *name) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
                return -errno;
        fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (st.st_uid != geteuid())
                return -EPERM;
        return TAKE_GENERIC(fd, int, -EBADF);
}

static int lock(int fd) {
        for (unsigned i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
                if (errno != EWOULDBLOCK)
                        return -errno;
                if (i >= LOCK_ATTEMPTS)
                        return -EBUSY;
                (void) poll(NULL, 0, LOCK_MSEC);
        }
        return 0;
}

/* Until it is ours alone: -EBUSY. */
static int hold_folder(ControlSocket *c) {
        for (unsigned i = 0; i < ATTEMPTS; i++) {
                struct stat st;
                int fd = open_folder(c->parent_fd, c->name), r;

                if (fd == -ENOENT)
                        continue;
                if (fd < 0)
                        return fd;
                r = lock(fd);
                if (r < 0) {
                        (void) fd_close(fd);
                        return r;
                }
                if (fstat(fd, &st) >= 0 && st.st_nlink > 0) {
                        c->folder_fd = fd;
                        return 0;
                }
                /* Its last owner has removed it. */
                (void) fd_close(fd);
        }
        return -EBUSY;
}

static int hold_given(ControlSocket *c, const char *path) {
        c->folder_fd = fd_open(path, O_RDONLY | O_DIRECTORY, 0);
        if (c->folder_fd < 0)
                return c->folder_fd;
        return lock(c->folder_fd);
}

static int hold_own(ControlSocket *c, const char *base, const char *machine) {
        _cleanup_close_ int base_fd = fd_open(base, O_PATH | O_DIRECTORY, 0);

        if (base_fd < 0)
                return base_fd;
        c->parent_fd = open_folder(base_fd, CONTROL_FOLDER);
        if (c->parent_fd < 0)
                return c->parent_fd;
        c->name = strdup(machine);
        return c->name ? hold_folder(c) : -ENOMEM;
}

/* The path need not fit into an address: that of the folder's descriptor does. */
static int make_socket(ControlSocket *c) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;
        int n = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", c->folder_fd,
                        CONTROL_SOCKET);

        if (n < 0 || (size_t) n >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        if (unlinkat(c->folder_fd, CONTROL_SOCKET, 0) < 0 && errno != ENOENT)
                return -errno;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        /* The mode of the socket's file is that of the descriptor: there is no moment in which others may connect. */
        if (fd < 0 || fchmod(fd, 0600) < 0 ||
                        bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        c->fd = TAKE_GENERIC(fd, int, -EBADF);
        return listen(c->fd, BACKLOG) < 0 ? -errno : 0;
}

int control_socket_open(const char *machine, ControlSocket *ret, char **reterr) {
        _cleanup_(control_socket_done) ControlSocket c = CONTROL_SOCKET_NONE;
        const char *given = getenv("RUNTIME_DIRECTORY"),
                   *base = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
        _cleanup_free_ char *folder = NULL;
        int k, r;

        if (given && *given) {
                /* Several are separated by colons. */
                folder = strndup(given, strcspn(given, ":"));
                k = folder ? 0 : -1;
        } else if (base && *base == '/')
                k = asprintf(&folder, "%s/" CONTROL_FOLDER "/%s", base, machine);
        else
                return 0;
        if (k < 0 || asprintf(&c.path, "%s/" CONTROL_SOCKET, folder) < 0)
                return -ENOMEM;

        r = keeper_start(&(const KeeperJob) { .end = remove_remains,
                                         .userdata = &(const Remains) { .folder = folder,
                                                         .own = !given || !*given } },
                        &c.keeper);
        if (r >= 0)
                r = given && *given ? hold_given(&c, folder) : hold_own(&c, base, machine);
        if (r == -EBUSY) {
                /* What is there belongs to the other one: the keeper has nothing to wait for. */
                keeper_dismiss(&c.keeper);
                c.folder_fd = fd_close(c.folder_fd);
                return error_set(reterr, r, "'%s' is in use by another guest", c.path);
        }
        if (r >= 0)
                r = make_socket(&c);
        if (r < 0)
                return error_set(reterr, r, "cannot create '%s': %s", c.path, strerror(-r));
        *ret = TAKE_STRUCT(c, CONTROL_SOCKET_NONE);
        return 0;
}
