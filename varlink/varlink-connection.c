/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "varlink-connection.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include "fd.h"
#include "strutil.h"

#define READ_SIZE       ((size_t) 16 * 1024)
#define CONNECT_SECONDS 5

int varlink_connection_open(int folder_fd, const char *name, VarlinkConnection *ret) {
        const struct timeval patience = { .tv_sec = CONNECT_SECONDS };
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;
        int n = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", folder_fd, name);

        if (n < 0 || (size_t) n >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        /* Where the queue of connections is full, connect(2) waits that long. */
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
                        connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        *ret = (VarlinkConnection) { .fd = TAKE_GENERIC(fd, int, -EBADF) };
        return 0;
}

void varlink_connection_done(VarlinkConnection *c) {
        (void) fd_close(c->fd);
        for (size_t i = 0; i < c->n_fds; i++)
                (void) fd_close(c->fds[i]);
        free(c->in);
        *c = VARLINK_CONNECTION_NONE;
}

uint64_t varlink_usec(void) {
        struct timespec ts;

        if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
                return 0;
        return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

static int wait_for(int fd, short events, uint64_t deadline) {
        struct pollfd p = { .fd = fd, .events = events };

        for (;;) {
                uint64_t now = varlink_usec(), left = deadline > now ? deadline - now : 0;
                int timeout = deadline == UINT64_MAX ? -1 : (int) MIN(left / 1000 + 1, UINT64_C(3600000)),
                    r = poll(&p, 1, timeout);

                if (r > 0)
                        return 0;
                if (r < 0 && errno != EINTR)
                        return -errno;
                if (r == 0 && varlink_usec() >= deadline)
                        return -ETIMEDOUT;
        }
}

static int write_all(int fd, const char *text, size_t size, uint64_t deadline) {
        while (size > 0) {
                ssize_t n = send(fd, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
                int r = 0;

                if (n >= 0) {
                        text += n;
                        size -= (size_t) n;
                } else if (errno == EAGAIN)
                        r = wait_for(fd, POLLOUT, deadline);
                else if (errno != EINTR)
                        r = errno == EPIPE ? -ECONNRESET : -errno;
                if (r < 0)
                        return r;
        }
        return 0;
}

int varlink_connection_call(
                VarlinkConnection *c, const char *method, Json *parameters, bool more, uint64_t deadline) {
        _cleanup_js_ Json *j = parameters;
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = varlink_format_call(method, j, more, &text, &size);

        return r < 0 ? r : write_all(c->fd, text, size, deadline);
}

/* More of them than fit are closed: nobody asked for these. */
static void take_fds(VarlinkConnection *c, struct msghdr *msg) {
        for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
                size_t n = h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS
                                ? (h->cmsg_len - CMSG_LEN(0)) / sizeof(int)
                                : 0;

                for (size_t i = 0; i < n; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
                        if (c->n_fds < VARLINK_REPLY_FDS)
                                c->fds[c->n_fds++] = fd;
                        else
                                (void) fd_close(fd);
                }
        }
}

int varlink_connection_take_fd(VarlinkConnection *c, uint64_t index) {
        return index < c->n_fds ? TAKE_GENERIC(c->fds[index], int, -EBADF) : -EBADMSG;
}

static int read_some(VarlinkConnection *c) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int) * VARLINK_REPLY_FDS)];
        } control = {};
        struct iovec iov;
        struct msghdr msg = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        ssize_t n;

        if (c->allocated - c->size < READ_SIZE) {
                char *in = c->allocated < VARLINK_REPLY_MAX ? realloc(c->in, c->allocated + 4 * READ_SIZE)
                                                            : NULL;

                if (!in)
                        return c->allocated < VARLINK_REPLY_MAX ? -ENOMEM : -EMSGSIZE;
                c->in = in;
                c->allocated += 4 * READ_SIZE;
        }
        iov = (struct iovec) { c->in + c->size, READ_SIZE };
        n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        take_fds(c, &msg);
        c->size += (size_t) n;
        return n == 0 ? -ECONNRESET : 0;
}

int varlink_connection_receive(VarlinkConnection *c, uint64_t deadline, VarlinkReply *ret) {
        if (c->used > 0)
                memmove(c->in, c->in + c->used, c->size - c->used);
        c->size -= c->used;
        c->used = c->searched = 0;

        for (;;) {
                const char *end = c->searched < c->size
                                ? memchr(c->in + c->searched, 0, c->size - c->searched)
                                : NULL;
                int r;

                if (end) {
                        c->used = (size_t) (end - c->in) + 1;
                        return varlink_reply_parse(c->in, c->used - 1, ret, NULL);
                }
                c->searched = c->size;
                r = wait_for(c->fd, POLLIN, deadline);
                if (r >= 0)
                        r = read_some(c);
                if (r < 0)
                        return r;
        }
}
