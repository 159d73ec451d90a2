/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "guest-port.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "strutil.h"

#define HOST_ABSENT_MSEC 200 /* a port whose host side is not open reads as at its end at once */

DEFINE_TRIVIAL_CLEANUP_FUNC(DIR *, closedir);

/* Ports are numbered; their names are in sysfs. */
int guest_port_find(const char *root, const char *name, char **ret) {
        _cleanup_(closedirp) DIR *d = NULL;
        char path[4096];

        (void) snprintf(path, sizeof(path), "%.3000s/sys/class/virtio-ports", root);
        d = opendir(path);
        for (struct dirent *e; d && (e = readdir(d));) {
                _cleanup_free_ char *found = NULL;
                size_t n;

                if (e->d_name[0] == '.')
                        continue;
                (void) snprintf(path, sizeof(path), "%.3000s/sys/class/virtio-ports/%s/name", root,
                                e->d_name);
                if (file_read_all(path, 256, &found, &n) < 0)
                        continue;
                found[strcspn(found, "\n")] = 0;
                if (streq(found, name)) {
                        if (asprintf(ret, "%s/dev/%s", root, e->d_name) < 0) {
                                *ret = NULL;
                                return -ENOMEM;
                        }
                        return 0;
                }
        }
        return -ENOENT;
}

uint64_t guest_port_now(void) {
        struct timespec t = {};

        (void) clock_gettime(CLOCK_BOOTTIME, &t);
        return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

void guest_port_done(GuestPort *p) {
        p->fd = fd_close(p->fd);
}

static int open_socket(const char *path) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;

        if (strlen(path) >= sizeof(sa.sun_path))
                return -ENAMETOOLONG;
        memcpy(sa.sun_path, path, strlen(path) + 1);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *) &sa, sizeof(sa)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int guest_port_open(const char *path, uint64_t deadline, GuestPort *ret) {
        struct stat st;
        int fd;

        if (stat(path, &st) < 0)
                return -errno;
        fd = S_ISSOCK(st.st_mode) ? open_socket(path) : fd_open(path, O_RDWR | O_NOCTTY | O_NONBLOCK, 0);
        if (fd < 0)
                return fd;
        /* Numbers that a process before us is not likely to have used. */
        *ret = (GuestPort) { .fd = fd, .deadline = deadline, .id = guest_port_now() };
        return 0;
}

void guest_answer_done(GuestAnswer *a) {
        free(a->body);
        *a = (GuestAnswer) {};
}

/* 0, or -ETIMEDOUT. */
static int wait_for(GuestPort *p, short events, int msec) {
        struct pollfd f = { .fd = p->fd, .events = events };
        uint64_t now = guest_port_now();
        int k;

        if (now >= p->deadline)
                return -ETIMEDOUT;
        k = (int) MIN((p->deadline - now) / 1000 + 1, (uint64_t) msec);
        if (poll(events ? &f : NULL, events ? 1 : 0, k) < 0 && errno != EINTR)
                return -errno;
        return 0;
}

static int put(GuestPort *p, const void *data, size_t n) {
        const char *d = data;

        while (n > 0) {
                ssize_t k = write(p->fd, d, n);
                int r;

                if (k > 0) {
                        d += k;
                        n -= (size_t) k;
                        continue;
                }
                if (k < 0 && errno != EAGAIN && errno != EINTR)
                        return -errno;
                r = wait_for(p, POLLOUT, 1000);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int get(GuestPort *p, char *ret) {
        while (p->pos == p->n_pending) {
                ssize_t k = read(p->fd, p->pending, sizeof(p->pending));
                int r;

                if (k < 0 && errno != EAGAIN && errno != EINTR)
                        return -errno;
                if (k > 0) {
                        p->n_pending = (size_t) k;
                        p->pos = 0;
                        break;
                }
                r = k == 0 ? wait_for(p, 0, HOST_ABSENT_MSEC) : wait_for(p, POLLIN, 1000);
                if (r < 0)
                        return r;
        }
        *ret = p->pending[p->pos++];
        return 0;
}

/* A line without its end; longer ones are read over. 1, 0 (was too long) or -errno. */
static int get_line(GuestPort *p, char ret[static GUEST_PORT_LINE_MAX]) {
        size_t n = 0;

        for (;;) {
                char c;
                int r = get(p, &c);

                if (r < 0)
                        return r;
                if (c == '\n') {
                        ret[MIN(n, (size_t) GUEST_PORT_LINE_MAX - 1)] = 0;
                        return n < GUEST_PORT_LINE_MAX;
                }
                if (n + 1 < GUEST_PORT_LINE_MAX)
                        ret[n] = c;
                n++;
        }
}

/* "ID STATUS RETRY LENGTH" */
static bool parse_header(char *line, uint64_t id, GuestAnswer *a, uint64_t *ret_size) {
        uint64_t numbers[4];
        char *word, *state = NULL;
        size_t n = 0;

        for (word = strtok_r(line, " ", &state); word; word = strtok_r(NULL, " ", &state))
                if (n == ELEMENTSOF(numbers) || parse_u64(word, numbers + n++) < 0)
                        return false;
        if (n != ELEMENTSOF(numbers) || numbers[0] != id || numbers[1] > 599 || numbers[2] > UINT32_MAX)
                return false;
        a->status = (unsigned) numbers[1];
        a->retry_after = (unsigned) numbers[2];
        *ret_size = numbers[3];
        return true;
}

static int get_answer(GuestPort *p, GuestAnswer *ret) {
        _cleanup_(guest_answer_done) GuestAnswer a = {};
        char line[GUEST_PORT_LINE_MAX];
        uint64_t size = 0;
        int r;

        do {
                r = get_line(p, line);
                if (r < 0)
                        return r;
        } while (r == 0 || !parse_header(line, p->id, &a, &size));
        if (size > GUEST_PORT_ANSWER_MAX)
                return -EBADMSG;
        a.body = malloc(size + 1);
        if (!a.body)
                return -ENOMEM;
        for (; a.size < size; a.size++) {
                r = get(p, a.body + a.size);
                if (r < 0)
                        return r;
        }
        a.body[size] = 0;
        *ret = TAKE_STRUCT(a, (GuestAnswer) {});
        return 0;
}

int guest_port_ask(GuestPort *p, const char *verb, const void *body, size_t size, GuestAnswer *ret) {
        char header[GUEST_PORT_LINE_MAX];
        int n, r;

        p->id++;
        n = snprintf(header, sizeof(header), "%s %llu %zu\n", verb, (unsigned long long) p->id, size);
        assert(n > 0 && (size_t) n < sizeof(header));
        r = put(p, header, (size_t) n);
        if (r >= 0)
                r = put(p, body, size);
        if (r >= 0)
                r = put(p, "\n", 1);
        return r < 0 ? r : get_answer(p, ret);
}
