/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "qmp-io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "fd.h"
#include "secret.h"

struct QmpChunk {
        QmpChunk *next;
        char *text; /* owned; erased */
        size_t size, sent;
        int fd; /* owned; sent with the first byte, then closed */
};

static QmpChunk *chunk_free(QmpChunk *c) {
        if (!c)
                return NULL;
        if (c->text)
                erase_memory(c->text, c->size);
        free(c->text);
        (void) fd_close(c->fd);
        free(c);
        return NULL;
}
DEFINE_TRIVIAL_CLEANUP_FUNC(QmpChunk *, chunk_free);

void qmp_output_done(QmpOutput *o) {
        while (o->head) {
                QmpChunk *c = o->head;

                o->head = c->next;
                chunk_free(c);
        }
        o->tail = NULL;
}

bool qmp_output_empty(const QmpOutput *o) {
        return !o->head;
}

int qmp_output_push(QmpOutput *o, char *text, size_t size, int fd) {
        _cleanup_(chunk_freep) QmpChunk *c = calloc(1, sizeof(*c));

        if (!c) {
                erase_memory(text, size);
                free(text);
                return -ENOMEM;
        }
        *c = (QmpChunk) { .text = text, .size = size, .fd = -EBADF };
        if (fd >= 0) {
                c->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
                if (c->fd < 0)
                        return -errno;
        }

        if (!o->tail)
                o->tail = &o->head;
        *o->tail = c;
        o->tail = &c->next;
        c = NULL;
        return 0;
}

/* One sendmsg() of one message: the number of bytes, or -errno. */
static ssize_t send_chunk(const QmpChunk *c, int fd) {
        union {
                struct cmsghdr header;
                char buf[CMSG_SPACE(sizeof(int))];
        } control = {};
        struct iovec iov = { .iov_base = c->text + c->sent, .iov_len = c->size - c->sent };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t n;

        if (c->fd >= 0) {
                msg.msg_control = &control;
                msg.msg_controllen = sizeof(control.buf);
                control.header = (struct cmsghdr) {
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS,
                        .cmsg_len = CMSG_LEN(sizeof(int)),
                };
                memcpy(CMSG_DATA(&control.header), &c->fd, sizeof(int));
        }

        do
                n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

int qmp_output_flush(QmpOutput *o, int fd) {
        while (o->head) {
                QmpChunk *c = o->head;
                ssize_t n = send_chunk(c, fd);

                if (n < 0)
                        return (int) n;
                if (n > 0)
                        c->fd = fd_close(c->fd);
                c->sent += (size_t) n;
                if (c->sent < c->size)
                        continue;

                o->head = c->next;
                if (!o->head)
                        o->tail = NULL;
                chunk_free(c);
        }
        return 0;
}
