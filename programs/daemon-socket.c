/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A daemon's sockets and its word to the service manager (sd_listen_fds(3), sd_notify(3)). */

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon.h"
#include "error.h"
#include "fd.h"
#include "strutil.h"

#define BACKLOG 1024

int daemon_passed_sockets(unsigned max, char **reterr) {
        const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
        uint64_t p, count;

        if (!pid || !n || parse_u64(pid, &p) < 0 || p != (uint64_t) getpid())
                return 0;
        if (parse_u64(n, &count) < 0 || count == 0 || count > max)
                return error_set(reterr, -EINVAL, "the service manager passed %s sockets, expected %s", n,
                                max > 1 ? "1 to 8" : "one");
        return (int) count;
}

static int split_address(const char *address, char **ret_host, char **ret_port, char **reterr) {
        const char *colon = strrchr(address, ':');
        size_t n = colon ? (size_t) (colon - address) : 0;
        char *host, *port;

        if (!colon || n == 0 || !colon[1])
                return error_set(reterr, -EINVAL, "expected ADDRESS:PORT, not '%s'", address);
        if (address[0] == '[' && address[n - 1] == ']')
                host = strndup(address + 1, n - 2);
        else
                host = strndup(address, n);
        port = strdup(colon + 1);
        if (!host || !port) {
                free(host);
                free(port);
                return -ENOMEM;
        }
        *ret_host = host;
        *ret_port = port;
        return 0;
}

static int new_inet_socket(const char *address, int *ret, char **reterr) {
        const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                .ai_socktype = SOCK_STREAM };
        _cleanup_free_ char *host = NULL, *port = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct addrinfo *found = NULL;
        static const int one = 1;
        uint64_t number;
        int r;

        r = split_address(address, &host, &port, reterr);
        if (r < 0)
                return r;
        /* getaddrinfo() takes the last 16 bits. */
        if (parse_u64_max(port, UINT16_MAX, &number) < 0)
                return error_set(reterr, -EINVAL, "'%s': expected a port from 0 to 65535, not '%s'", address,
                                port);
        if (getaddrinfo(host, port, &hints, &found) != 0)
                return error_set(reterr, -EINVAL, "'%s' is not a numeric address with a port", address);
        fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        r = fd < 0 ? -errno : 0;
        if (r >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
                r = -errno;
        if (r >= 0 && (bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0))
                r = -errno;
        freeaddrinfo(found);
        if (r < 0)
                return error_set(reterr, r, "cannot listen on %s: %s", address, strerror(-r));
        *ret = TAKE_FD(fd);
        return 0;
}

/* A socket that a former run left is taken away; one that is answered, and any other file, is not. */
static int bind_unix(int fd, const struct sockaddr_un *a) {
        _cleanup_close_ int probe = -EBADF;
        struct stat st;

        if (bind(fd, (const struct sockaddr *) a, sizeof(*a)) >= 0)
                return 0;
        if (errno != EADDRINUSE)
                return -errno;
        if (lstat(a->sun_path, &st) < 0)
                return -errno;
        if (!S_ISSOCK(st.st_mode))
                return -ENOTSOCK;
        probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (probe < 0 || connect(probe, (const struct sockaddr *) a, sizeof(*a)) >= 0 ||
                        errno != ECONNREFUSED)
                return -EADDRINUSE;
        if (unlink(a->sun_path) < 0)
                return -errno;
        return bind(fd, (const struct sockaddr *) a, sizeof(*a)) < 0 ? -errno : 0;
}

/* Accessible to its user and group. */
static int new_unix_socket(const char *path, int *ret, char **reterr) {
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;
        mode_t mask;
        int r;

        if (path[0] != '/' || strlen(path) >= sizeof(a.sun_path))
                return error_set(reterr, -EINVAL, "unix: and an absolute path of less than %zu characters",
                                sizeof(a.sun_path));
        memcpy(a.sun_path, path, strlen(path));
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        mask = umask(0117);
        r = bind_unix(fd, &a);
        (void) umask(mask);
        if (r >= 0 && listen(fd, BACKLOG) < 0)
                r = -errno;
        if (r == -ENOTSOCK)
                return error_set(reterr, r,
                                "cannot listen on '%s': another kind of file is there; use another path",
                                path);
        if (r < 0)
                return error_set(reterr, r, "cannot listen on %s: %s", path, strerror(-r));
        *ret = TAKE_FD(fd);
        return 0;
}

static bool is_local(const struct sockaddr_storage *a) {
        const struct sockaddr_in *in = (const void *) a;
        const struct sockaddr_in6 *in6 = (const void *) a;

        return a->ss_family == AF_UNIX ||
                        (a->ss_family == AF_INET && ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET) ||
                        (a->ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr));
}

static int address_of(const struct sockaddr_storage *a, socklen_t n, char **ret) {
        char host[NI_MAXHOST], port[NI_MAXSERV];
        int r;

        if (a->ss_family == AF_UNIX)
                r = asprintf(ret, "unix:%.*s", (int) (n - offsetof(struct sockaddr_un, sun_path)),
                                ((const struct sockaddr_un *) a)->sun_path);
        else {
                if (getnameinfo((const struct sockaddr *) a, n, host, sizeof(host), port, sizeof(port),
                                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
                        return -EINVAL;
                r = asprintf(ret, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
        }
        if (r < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

/* Only with `local` are others kept out by the address: then any other is -EPERM. */
static int finish(int fd, const char *local, char **ret_address, char **reterr) {
        struct sockaddr_storage a = {};
        socklen_t n = sizeof(a);
        int r;

        if (getsockname(fd, (struct sockaddr *) &a, &n) < 0)
                return -errno;
        if (local && !is_local(&a))
                return error_set(reterr, -EPERM, "%s", local);
        r = address_of(&a, n, ret_address);
        return r < 0 ? error_set(reterr, r, "cannot listen on this kind of socket") : 0;
}

int daemon_listen(const char *address, const char *local, int *ret_fd, char **ret_address, char **reterr) {
        _cleanup_close_ int fd = -EBADF;
        const char *path = startswith(address, "unix:");
        int r = path ? new_unix_socket(path, &fd, reterr) : new_inet_socket(address, &fd, reterr);

        if (r >= 0)
                r = finish(fd, local, ret_address, reterr);
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int daemon_take_socket(unsigned number, const char *local, int *ret_fd, char **ret_address, char **reterr) {
        int fd = DAEMON_LISTEN_FDS_START + (int) number, r = finish(fd, local, ret_address, reterr);

        if (r >= 0)
                *ret_fd = fd;
        return r;
}

int daemon_notify_open(void) {
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;
        size_t n = path ? strlen(path) : 0;

        if (n < 2 || n >= sizeof(a.sun_path) || (path[0] != '/' && path[0] != '@'))
                return -EBADF;
        memcpy(a.sun_path, path, n);
        if (path[0] == '@')
                a.sun_path[0] = 0;
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 ||
                        connect(fd, (struct sockaddr *) &a,
                                        (socklen_t) (offsetof(struct sockaddr_un, sun_path) + n +
                                                        (path[0] == '/'))) < 0)
                return -EBADF;
        return TAKE_FD(fd);
}

void daemon_notify(int fd, const char *line) {
        if (fd >= 0)
                (void) send(fd, line, strlen(line), MSG_NOSIGNAL);
}
