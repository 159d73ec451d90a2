/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "run-session.h"

int session_channel(Session *s, LaunchFd number) {
        int pair[2], r;

        assert(s->n_channel_fds < ELEMENTSOF(s->channel_fds));

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        /* Only our end is not blocking: the flag belongs to the socket, and QEMU sets its own. */
        if (dup3(pair[1], (int) number, O_CLOEXEC) < 0 || fcntl(pair[0], F_SETFL, O_RDWR | O_NONBLOCK) < 0) {
                r = -errno;
                (void) fd_close(pair[0]);
                (void) fd_close(pair[1]);
                return r;
        }
        (void) fd_close(pair[1]);
        s->channel_fds[s->n_channel_fds++] = (int) number;
        return pair[0];
}

int session_pass(Session *s, int fd, LaunchFd number) {
        int r = dup3(fd, (int) number, O_CLOEXEC) < 0 ? -errno : 0;

        (void) fd_close(fd);
        assert(s->n_channel_fds < ELEMENTSOF(s->channel_fds));
        if (r >= 0)
                s->channel_fds[s->n_channel_fds++] = (int) number;
        return r;
}

/* Once QEMU has its ends ours must go, or nobody would see the end of file when it dies. */
void session_close_channels(Session *s) {
        for (size_t i = 0; i < s->n_channel_fds; i++)
                (void) fd_close(s->channel_fds[i]);
        s->n_channel_fds = 0;
}

/* A line without its line end; what did not fit is cut off. */
static void deliver(LineReader *l, void (*handler)(char *line, void *userdata), void *userdata) {
        if (l->size > 0 && l->line[l->size - 1] == '\r')
                l->size--;
        l->line[l->size] = 0;
        l->size = 0;
        handler(l->line, userdata);
}

void line_reader_feed(LineReader *l, const char *data, size_t size,
                void (*handler)(char *line, void *userdata), void *userdata) {
        for (size_t i = 0; i < size; i++)
                if (data[i] == '\n')
                        deliver(l, handler, userdata);
                else if (l->size + 1 < sizeof(l->line))
                        l->line[l->size++] = data[i];
}

void line_reader_end(LineReader *l, void (*handler)(char *line, void *userdata), void *userdata) {
        if (l->size > 0)
                deliver(l, handler, userdata);
}
