/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "remote.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "strutil.h"

#define BACKOFF_DEFAULT 10u /* seconds: what the limit of AMD's service is known to be */
#define BACKOFF_OUTAGE  60u
#define RETRY_FILE_MAX  32u

/* "retry-at" holds the second from which any program that shares the cache may ask the service again; each service and mirror has its own file,
 * since a mirror is what one turns to while the vendor's service is out of order. */
static void retry_file(const RemotePace *p, char ret[static RETRY_FILE_MAX]) {
        uint32_t h = 0x811c9dc5u; /* FNV-1a: names files, nothing more */

        for (const char *c = p->url; *c; c++)
                h = (h ^ (uint8_t) *c) * 0x01000193u;
        (void) snprintf(ret, RETRY_FILE_MAX,
                        p->vendor && streq(p->url, p->vendor) ? "retry-at" : "retry-at-%08" PRIx32, h);
}

static unsigned seconds_to_wait(const RemotePace *p) {
        char name[RETRY_FILE_MAX];
        retry_file(p, name);
        _cleanup_close_ int fd =
                        p->dir < 0 ? -EBADF : openat(p->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        _cleanup_free_ char *s = NULL;
        int64_t now = p->clock(p->userdata);
        uint64_t at;
        size_t n;

        if (fd < 0 || fd_read_all(fd, 64, &s, &n) < 0 || parse_u64(s, &at) < 0 || now < 0 ||
                        at <= (uint64_t) now)
                return 0;
        return (unsigned) MIN(at - (uint64_t) now, (uint64_t) REMOTE_BACKOFF_MAX);
}

static void note_backoff(const RemotePace *p, unsigned seconds) {
        char s[32], name[RETRY_FILE_MAX];
        int n = snprintf(s, sizeof(s), "%" PRId64, p->clock(p->userdata) + MIN(seconds, REMOTE_BACKOFF_MAX));

        retry_file(p, name);
        /* Not being able to remember it costs the others a refused request, nothing more. */
        if (p->dir >= 0 && n > 0 && remote_cache_write(p->dir, name, s, (size_t) n) < 0)
                return;
}

int remote_ask(const RemotePace *p, RemoteOnce once, void *context, char **reterr) {
        unsigned patience = p->patience;

        for (;;) {
                unsigned status = 0, retry_after = 0, wait = seconds_to_wait(p);
                int r;

                if (wait > patience)
                        return error_set(reterr, -EAGAIN,
                                        "%s asks to slow down, or did not answer: the next request is possible in %u s",
                                        p->who, wait);
                if (wait > 0) {
                        p->wait(p->userdata, wait);
                        patience -= wait;
                }
                r = once(context, &status, &retry_after, reterr);
                if (r == -ETIMEDOUT)
                        note_backoff(p, BACKOFF_OUTAGE); /* nobody else need wait for it so long */
                if (r < 0)
                        return r;
                if (status == 200 || status == 404)
                        return (int) status;
                if (status != 429 && status < 500)
                        return error_set(reterr, -EPROTO, "%s: unexpected answer %u", p->url, status);
                retry_after = retry_after ?: status == 429 ? BACKOFF_DEFAULT : BACKOFF_OUTAGE;
                note_backoff(p, retry_after);
                if (retry_after > patience)
                        return error_set(reterr, -EAGAIN, "%s %s (answer %u); try again in %u s", p->who,
                                        status == 429 ? "limits the rate of requests" : "has a failure",
                                        status, MIN(retry_after, REMOTE_BACKOFF_MAX));
                if (p->dir < 0) {
                        p->wait(p->userdata, retry_after);
                        patience -= retry_after;
                }
        }
}

int remote_cache_open(const char *path) {
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

        /* A confined process may not make any, and need not. */
        if (fd < 0 && errno == ENOENT) {
                r = make_directories(path);
                if (r < 0)
                        return r;
                fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
        return fd < 0 ? -errno : fd;
}

int remote_cache_read(
                int dir, const char *name, size_t max, char **ret, size_t *ret_size, int64_t *ret_stored) {
        _cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        struct stat st;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return -ENOENT;
        r = fd_read_all(fd, max, ret, ret_size);
        if (r < 0)
                return r == -ENOMEM ? r : -ENOENT;
        if (ret_stored)
                *ret_stored = st.st_mtime;
        return 0;
}

/* Its own file, then a rename. */
int remote_cache_write(int dir, const char *name, const void *p, size_t n) {
        _cleanup_close_ int fd = -EBADF;
        char temporary[300];
        int r;

        r = snprintf(temporary, sizeof(temporary), ".%s.%jd", name, (intmax_t) getpid());
        if (r < 0 || (size_t) r >= sizeof(temporary))
                return -ENAMETOOLONG;
        fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
                return -errno;
        r = fd_write_all(fd, p, n);
        if (r == 0 && renameat(dir, temporary, dir, name) < 0)
                r = -errno;
        if (r < 0)
                (void) unlinkat(dir, temporary, 0);
        return r;
}
