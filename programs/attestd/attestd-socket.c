/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The daemon's socket and its word to the service manager (sd_listen_fds(3), sd_notify(3)). */

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "attestd.h"
#include "error.h"
#include "fd.h"
#include "strutil.h"

#define LISTEN_FDS_START 3
#define BACKLOG          256

/* 1 if the manager passed exactly one socket. */
static int passed_socket(int *ret, char **reterr) {
        const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
        uint64_t p;

        if (!pid || !n || parse_u64(pid, &p) < 0 || p != (uint64_t) getpid())
                return 0;
        if (!streq(n, "1"))
                return error_set(reterr, -EINVAL, "the service manager passed %s sockets, expected one", n);
        *ret = LISTEN_FDS_START;
        return 1;
}

static int split_address(const char *address, char **ret_host, char **ret_port, char **reterr) {
        const char *colon = strrchr(address, ':');
        size_t n = colon ? (size_t) (colon - address) : 0;
        char *host, *port;

        if (!colon || n == 0 || !colon[1])
                return error_set(reterr, -EINVAL, "--listen: expected ADDRESS:PORT, not '%s'", address);
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
        int r;

        r = split_address(address, &host, &port, reterr);
        if (r < 0)
                return r;
        if (getaddrinfo(host, port, &hints, &found) != 0)
                return error_set(reterr, -EINVAL, "--listen: '%s' is not a numeric address with a port",
                                address);
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

/* A socket that a former run left is taken away, one that is answered is not. */
static int bind_unix(int fd, const struct sockaddr_un *a) {
        _cleanup_close_ int probe = -EBADF;

        if (bind(fd, (const struct sockaddr *) a, sizeof(*a)) >= 0)
                return 0;
        if (errno != EADDRINUSE)
                return -errno;
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
                return error_set(reterr, -EINVAL,
                                "--listen: unix: and an absolute path of less than %zu characters",
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

int attestd_listen(const char *address, bool local, int *ret_fd, char **ret_address, char **reterr) {
        _cleanup_close_ int fd = -EBADF;
        const char *path = startswith(address, "unix:");
        struct sockaddr_storage a = {};
        socklen_t n = sizeof(a);
        int r = passed_socket(&fd, reterr);

        if (r == 0)
                r = path ? new_unix_socket(path, &fd, reterr) : new_inet_socket(address, &fd, reterr);
        if (r < 0)
                return r;
        if (getsockname(fd, (struct sockaddr *) &a, &n) < 0)
                return -errno;
        if (local && !is_local(&a))
                return error_set(reterr, -EPERM,
                                "--plain: only on a loopback address or a unix socket, where the proxy is");
        r = address_of(&a, n, ret_address);
        if (r < 0)
                return error_set(reterr, r, "cannot listen on this kind of socket");
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int attestd_notify_open(void) {
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

void attestd_notify(int fd, const char *line) {
        if (fd >= 0)
                (void) send(fd, line, strlen(line), MSG_NOSIGNAL);
}
