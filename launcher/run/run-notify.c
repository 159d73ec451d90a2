/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Our own service manager (sd_notify(3), "Standalone implementations"). A guest may say STATUS= as often as it likes, and a manager
 * may be slow: messages are sent without waiting, a status line replaces one that has not been sent, and at most ten of them
 * go out in a second. */

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"
#include "run-session.h"
#include "strutil.h"

#define STATUS_EVERY_USEC UINT64_C(100000)
#define RETRY_USEC        UINT64_C(20000)
#define LAST_WAIT_MSEC    500 /* for EXIT_STATUS=, once the guest has ended */
#define HURRY_WAIT_MSEC   50

static int connect_manager(void) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        const char *path = getenv("NOTIFY_SOCKET");
        size_t n = path ? strlen(path) : 0;
        int fd, r;

        if (n == 0)
                return -EBADF;
        if ((path[0] != '/' && path[0] != '@') || n >= sizeof(address.sun_path))
                return -EAFNOSUPPORT;
        memcpy(address.sun_path, path, n);
        if (path[0] == '@')
                address.sun_path[0] = 0;
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *) &address,
                            (socklen_t) (offsetof(struct sockaddr_un, sun_path) + n)) < 0) {
                r = -errno;
                (void) fd_close(fd);
                return r;
        }
        return fd;
}

void session_start_notify(Session *s) {
        s->manager.fd = connect_manager();
}

/* True if it need not be tried again: sent, or the manager is gone, which does not matter to the guest. */
static bool sent(Manager *m, const char *text) {
        if (send(m->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
                return true;
        if (errno == EAGAIN || errno == ENOBUFS)
                return false;
        m->fd = fd_close(m->fd);
        return true;
}

/* What must arrive goes first, unless the status was said before it. */
static bool send_pending(Manager *m, bool hurry) {
        while (m->fd >= 0 && m->n_messages > 0) {
                if (m->status && m->status_before && !sent(m, m->status))
                        return false;
                if (m->status_before) {
                        free(m->status);
                        m->status = NULL;
                        m->status_before = false;
                }
                if (m->fd >= 0 && !sent(m, m->messages[0]))
                        return false;
                free(m->messages[0]);
                memmove(m->messages, m->messages + 1, --m->n_messages * sizeof(char *));
        }
        if (m->fd < 0 || !m->status)
                return true;
        if ((!hurry && monotonic_usec() < m->next_status) || !sent(m, m->status))
                return false;
        free(m->status);
        m->status = NULL;
        m->next_status = monotonic_usec() + STATUS_EVERY_USEC;
        return true;
}

static void send_or_wait(Session *s);

static int on_time(_unused_ LoopSource *source, _unused_ uint64_t usec, void *userdata) {
        Session *s = userdata;

        s->manager.timer = loop_source_unref(s->manager.timer);
        send_or_wait(s);
        return 0;
}

static void send_or_wait(Session *s) {
        Manager *m = &s->manager;

        if (send_pending(m, /* hurry= */ false) || m->timer)
                return;
        if (loop_add_timer(s->loop, RETRY_USEC, on_time, s, &m->timer) < 0)
                m->timer = NULL;
}

void session_notify_manager(Session *s, const char *line) {
        Manager *m = &s->manager;
        char *copy;

        if (m->fd < 0)
                return;
        copy = strdup(line);
        if (!copy)
                return;
        if (startswith(line, "STATUS=")) {
                free(m->status);
                m->status = copy;
                m->status_before = m->n_messages == 0;
        } else if (m->n_messages < ELEMENTSOF(m->messages))
                m->messages[m->n_messages++] = copy;
        else
                free(copy);
        send_or_wait(s);
}

void session_end_notify(Session *s) {
        Manager *m = &s->manager;
        struct pollfd p = { .fd = m->fd, .events = POLLOUT };

        m->timer = loop_source_unref(m->timer);
        if (m->fd >= 0 && !send_pending(m, /* hurry= */ true) &&
                        poll(&p, 1, session_interrupted(s) ? HURRY_WAIT_MSEC : LAST_WAIT_MSEC) > 0)
                (void) send_pending(m, /* hurry= */ true);
        m->fd = fd_close(m->fd);
        free(m->status);
        for (size_t i = 0; i < m->n_messages; i++)
                free(m->messages[i]);
        *m = (Manager) { .fd = -EBADF };
}
