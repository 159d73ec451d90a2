/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --copy-out=: files of the guest, which come with its notifications when the command of --run= has ended. The guest is not trusted: it chooses
 * neither names nor more bytes than COPY_OUT_SIZE_MAX. Each file is opened beside its place before QEMU starts, and gets its name once it is
 * whole. A child does that, since the confined launcher cannot name files; it hears nothing of the guest but a number. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "file-check.h"
#include "log.h"
#include "run-check.h"
#include "run-session.h"
#include "strutil.h"

#define PLACED_MSEC (60 * 1000) /* for a disk to write a file of the largest size */

/* What a file of the guest becomes. */
typedef struct CopyTarget {
        int folder, fd;         /* owned; fd is written to, and has no name yet */
        char *name, *temporary; /* owned; both in the folder */
        bool named; /* the temporary name is there: this file system has no files without a name */
        bool whole; /* handed to the child, which gives it its name */
        bool placed;
        char *why; /* owned: why it is not there; NULL: it did not arrive */
} CopyTarget;

typedef struct CopyState {
        CopyTarget targets[COPY_OUT_MAX];
        size_t n_targets;
        CopyTarget *current; /* whose bytes come; NULL with bytes to come: they are dropped */
        uint64_t left;       /* bytes to come */
        Process process;     /* gives files their names, which the confined launcher cannot */
        int socket;          /* owned: to it */
} CopyState;

typedef struct Placed {
        uint8_t number;
        int result;
} Placed;

/* --- the child ------------------------------------------------------------------------------------------------------- */

/* The launcher's other descriptors: their other ends must see it close them. */
static void keep_only(const CopyState *c, int socket) {
        for (unsigned low = 0;;) {
                int next = socket >= (int) low ? socket : -1;

                FOREACH_ARRAY(t, c->targets, c->n_targets) {
                        const int kept[] = { t->folder, t->fd };

                        FOREACH_ARRAY(k, kept, ELEMENTSOF(kept))
                                if (*k >= (int) low && (next < 0 || *k < next))
                                        next = *k;
                }
                if (next < 0) {
                        (void) syscall(SYS_close_range, low, ~0U, 0);
                        return;
                }
                if ((unsigned) next > low)
                        (void) syscall(SYS_close_range, low, (unsigned) next - 1, 0);
                low = (unsigned) next + 1;
        }
}

static int give_name(CopyTarget *t) {
        char self[64];

        if (fsync(t->fd) < 0)
                return -errno;
        if (!t->named) {
                (void) snprintf(self, sizeof(self), "/proc/self/fd/%d", t->fd);
                if (linkat(AT_FDCWD, self, t->folder, t->temporary, AT_SYMLINK_FOLLOW) < 0)
                        return -errno;
                t->named = true;
        }
        if (renameat(t->folder, t->temporary, t->folder, t->name) < 0)
                return -errno;
        t->named = false;
        return 0;
}

typedef struct CopyJob {
        CopyState *copies;
        int socket;
} CopyJob;

/* Until the launcher closes its end, or is killed. */
static int place_files(void *userdata) {
        const CopyJob *job = userdata;
        CopyState *c = job->copies;
        uint8_t number;

        /* Not in the terminal's foreground: what ends the launcher ends this one afterwards. */
        if (setsid() < 0)
                return EXIT_FAILURE;
        keep_only(c, job->socket);
        while (fd_read_exact(job->socket, &number, 1) >= 0 && number < c->n_targets) {
                Placed p = { .number = number, .result = give_name(c->targets + number) };

                if (fd_write_all(job->socket, &p, sizeof(p)) < 0)
                        break;
        }
        FOREACH_ARRAY(t, c->targets, c->n_targets)
                if (t->named)
                        (void) unlinkat(t->folder, t->temporary, 0);
        return EXIT_SUCCESS;
}

/* --- before QEMU starts ------------------------------------------------------------------------------------------------ */

static int make_names(CopyTarget *t, const char *file) {
        const char *slash = strrchr(file, '/');
        uint64_t salt;

        if (getrandom(&salt, sizeof(salt), 0) != sizeof(salt))
                return -EIO;
        t->name = strdup(slash ? slash + 1 : file);
        if (!t->name || asprintf(&t->temporary, ".%.200s.%016" PRIx64, t->name, salt) < 0) {
                t->temporary = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int open_folder(const char *file) {
        const char *slash = strrchr(file, '/');
        _cleanup_free_ char *folder = slash ? strndup(file, (size_t) (slash - file) + 1) : strdup(".");

        return folder ? fd_open(folder, O_RDONLY | O_DIRECTORY, 0) : -ENOMEM;
}

/* A file system without nameless files says so in one of these ways: open(2), O_TMPFILE. */
static int open_file(CopyTarget *t) {
        t->fd = openat(t->folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
        if (t->fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL))
                return t->fd < 0 ? -errno : 0;
        t->fd = openat(t->folder, t->temporary, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0666);
        t->named = t->fd >= 0;
        return t->fd < 0 ? -errno : 0;
}

static void target_done(CopyTarget *t) {
        (void) fd_close(t->folder);
        (void) fd_close(t->fd);
        free(t->name);
        free(t->temporary);
        free(t->why);
}

/* try: may a file be made there? None is. */
static int open_target(CopyTarget *t, const char *file, bool try, char **reterr) {
        struct stat st;
        int r = make_names(t, file);

        if (r < 0)
                return r;
        t->folder = open_folder(file);
        if (t->folder < 0)
                return error_set(reterr, t->folder, "--copy-out: cannot open the directory of '%s': %s",
                                file, strerror(-t->folder));
        if (!*t->name || (fstatat(t->folder, t->name, &st, 0) >= 0 && !S_ISREG(st.st_mode)))
                return error_set(reterr, -EINVAL,
                                "--copy-out: '%s' is not a regular file; name a file that is new or may be replaced",
                                file);
        r = try ? file_check_parent(file) : open_file(t);
        return r < 0 ? error_set(reterr, r, "--copy-out: cannot make a file beside '%s': %s", file,
                                       strerror(-r))
                     : 0;
}

int copy_out_check(const VmConfig *config, char **reterr) {
        FOREACH_ARRAY(c, config->copies, config->n_copies) {
                CopyTarget t = { .folder = -EBADF, .fd = -EBADF };
                int r = open_target(&t, c->file, /* try= */ true, reterr);

                target_done(&t);
                if (r < 0)
                        return r;
        }
        return 0;
}

int session_start_copies(Session *s, char **reterr) {
        const VmConfig *config = s->request->config;
        CopyState *c;
        int pair[2], r = 0;

        if (config->n_copies == 0)
                return 0;
        c = s->copies = calloc(1, sizeof(CopyState));
        if (!c)
                return -ENOMEM;
        c->process = PROCESS_NONE;
        c->socket = -EBADF;
        for (size_t i = 0; i < config->n_copies && r >= 0; i++) {
                c->targets[i] = (CopyTarget) { .folder = -EBADF, .fd = -EBADF };
                c->n_targets = i + 1;
                r = open_target(c->targets + i, config->copies[i].file, /* try= */ false, reterr);
        }
        if (r >= 0)
                r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
        if (r >= 0) {
                CopyJob job = { .copies = c, .socket = pair[1] };

                c->socket = pair[0];
                r = process_fork(place_files, &job, &c->process);
                (void) fd_close(pair[1]);
        }
        if (r < 0)
                return r;
        if (vm_config_confidential(config))
                log_notice("--copy-out: the host can read what the guest copies to it");
        return 0;
}

/* --- what the guest says ------------------------------------------------------------------------------------------------ */

_printf_(2, 3) static void refuse(CopyTarget *t, const char *format, ...) {
        va_list ap;

        if (t->why)
                return;
        va_start(ap, format);
        if (vasprintf(&t->why, format, ap) < 0)
                t->why = NULL;
        va_end(ap);
}

/* All its bytes are there. */
static void hand_over(CopyState *c) {
        uint8_t number = (uint8_t) (c->current - c->targets);

        c->current->whole = true;
        if (send(c->socket, &number, 1, MSG_NOSIGNAL) != 1)
                c->current->whole = false;
        c->current = NULL;
}

void session_copy_line(Session *s, const char *value) {
        CopyState *c = s->copies;
        const char *blank = strchr(value, ' ');
        _cleanup_free_ char *number = blank ? strndup(value, (size_t) (blank - value)) : NULL;
        uint64_t n, size;
        CopyTarget *t;

        if (!c || !number || parse_u64_max(number, c->n_targets, &n) < 0 || n == 0)
                return;
        t = c->targets + n - 1;
        if (t->whole || t->why)
                return;
        if (streq(blank + 1, "missing")) {
                refuse(t, "the guest has no such regular file");
                return;
        }
        if (parse_u64_max(blank + 1, INT64_MAX, &size) < 0)
                return;
        c->left = size;
        c->current = t;
        if (size > COPY_OUT_SIZE_MAX) {
                refuse(t, "it is %" PRIu64 " bytes, and at most %" PRIu64 " are copied", size,
                                COPY_OUT_SIZE_MAX);
                c->current = NULL;
        } else if (size == 0)
                hand_over(c);
}

size_t session_copy_bytes(Session *s, const char *data, size_t size) {
        CopyState *c = s->copies;
        size_t n;
        int r;

        if (!c || c->left == 0)
                return 0;
        n = (size_t) MIN(c->left, (uint64_t) size);
        r = c->current ? fd_write_all(c->current->fd, data, n) : 0;
        c->left -= n;
        if (r < 0) {
                refuse(c->current, "cannot write it: %s", strerror(-r));
                c->current = NULL;
        }
        if (c->current && c->left == 0)
                hand_over(c);
        return n;
}

/* --- the end --------------------------------------------------------------------------------------------------------------- */

static void take_answers(CopyState *c) {
        size_t n = 0;

        FOREACH_ARRAY(t, c->targets, c->n_targets)
                n += t->whole;
        for (; n > 0; n--) {
                struct pollfd p = { .fd = c->socket, .events = POLLIN };
                Placed answer;

                if (poll(&p, 1, PLACED_MSEC) <= 0 || fd_read_exact(c->socket, &answer, sizeof(answer)) < 0 ||
                                answer.number >= c->n_targets)
                        return;
                c->targets[answer.number].placed = answer.result >= 0;
                if (answer.result < 0)
                        refuse(c->targets + answer.number, "cannot write it: %s", strerror(-answer.result));
        }
}

/* A command that failed keeps its status; one that succeeded did not, without its files. */
void session_finish_copies(Session *s) {
        const VmConfig *config = s->request->config;
        CopyState *c = s->copies;

        if (!c)
                return;
        take_answers(c);
        for (size_t i = 0; i < c->n_targets && s->facts.guest_status >= 0; i++) {
                const CopyTarget *t = c->targets + i;
                _cleanup_free_ char *sentence = NULL;

                if (t->placed ||
                                asprintf(&sentence, "--copy-out: '%s' was not copied to '%s': %s",
                                                config->copies[i].path, config->copies[i].file,
                                                t->why ?: "it did not arrive before the guest ended") < 0)
                        continue;
                if (s->facts.guest_status > 0 || s->facts.lost) {
                        log_error("%s", sentence);
                        continue;
                }
                s->facts.lost = true;
                (void) session_fail(s, -ENODATA, sentence);
        }
}

void session_end_copies(Session *s) {
        CopyState *c = s->copies;

        if (!c)
                return;
        /* No child removes what was made before one was started. */
        for (size_t i = 0; i < c->n_targets && c->process.pid <= 0; i++)
                if (c->targets[i].named)
                        (void) unlinkat(c->targets[i].folder, c->targets[i].temporary, 0);
        c->socket = fd_close(c->socket);
        if (c->process.pid > 0)
                (void) !process_wait(&c->process, UINT64_C(1000000), NULL);
        process_done(&c->process);
        FOREACH_ARRAY(t, c->targets, c->n_targets)
                target_done(t);
        free(c);
        s->copies = NULL;
}
