/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The reader can start no programs, and btrfs and xfs are read by GRUB's drivers: a helper process does it for the reader. It takes a task, a
 * partition and a path, and believes none of them; grub-fstest is confined to the image. The reader, and the image, can have it read no other
 * file. When the reader's end of the socket closes, the helper removes what it made and ends: signals for the group are the reader's. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "extract.h"
#include "fd.h"
#include "image.h"
#include "strutil.h"
#include "tree.h"

#define PATH_SIZE  (VOLUME_PATH_MAX + 1024u) /* with the subvolume's */
#define ERROR_SIZE 1024u

typedef struct Question {
        uint32_t task, partition, mbr;
        char path[PATH_SIZE];
} Question;

typedef struct Answer {
        int32_t result;
        uint64_t size;
        char error[ERROR_SIZE];
} Answer;

/* --- the reader's side ------------------------------------------------------------------------------------------------ */

static int ask(const VolumeHelper *h, VolumeHelperTask task, unsigned partition, const char *path,
                uint64_t *ret_size, char **reterr) {
        Question q = { .task = task, .partition = partition, .mbr = h->mbr };
        Answer a = {};
        ssize_t n;

        if (strlen(path) >= sizeof(q.path))
                return error_set(reterr, -ENAMETOOLONG, "a path of %zu bytes is too long", strlen(path));
        memcpy(q.path, path, strlen(path));
        n = write(h->socket, &q, sizeof(q));
        if (n == (ssize_t) sizeof(q))
                n = read(h->socket, &a, sizeof(a));
        if (n != (ssize_t) sizeof(a))
                return error_set(reterr, -EIO, "the process that starts grub-fstest has ended");
        a.error[sizeof(a.error) - 1] = 0;
        if (a.result < 0)
                return error_set(reterr, a.result, "%s", a.error);
        *ret_size = a.size;
        return 0;
}

VolumeHelper helper_volume(const Helper *h, const char *subvolume) {
        return (VolumeHelper) {
                .ask = ask, .scratch = h->scratch, .socket = h->socket, .subvolume = subvolume
        };
}

/* --- the helper's side ------------------------------------------------------------------------------------------------ */

typedef struct Server {
        const HelperJob *job;
        int socket, scratch, other; /* other: the reader's end */
        int raw;                    /* weak, or owned where it was made here */
        bool made;
        char *folder; /* owned; with a name for the raw image that has none */
        char *path;   /* owned; what grub-fstest is given */
} Server;

static void server_done(Server *s) {
        if (s->made)
                (void) fd_close(s->raw);
        s->folder = tree_remove(s->folder);
        free(s->path);
}

/* grub-fstest resolves links, /proc/self/fd/N included: it wants a name. */
static int give_name(Server *s, char **reterr) {
        char link[32];
        int r = tree_make_temporary("cvmspawn-extract", &s->folder, reterr);

        if (r < 0)
                return r;
        if (asprintf(&s->path, "%s/disk", s->folder) < 0) {
                s->path = NULL;
                return -ENOMEM;
        }
        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", s->raw);
        if (linkat(AT_FDCWD, link, AT_FDCWD, s->path, AT_SYMLINK_FOLLOW) < 0)
                return error_set(reterr, -errno, "cannot give the raw image a name in '%s': %m", s->folder);
        return 0;
}

/* At the first question: most images need none of this. */
static int make_raw(Server *s, char **reterr) {
        const DiskChain chain = { .layers = { { s->job->image, s->job->format } }, .n = 1 };

        if (s->path)
                return 0;
        s->raw = s->job->image;
        if (!s->job->nameless && s->job->format == DISK_RAW)
                return asprintf(&s->path, "/proc/self/fd/%d", s->raw) < 0 ? (s->path = NULL, -ENOMEM) : 0;
        if (s->job->format != DISK_RAW) {
                s->raw = disk_convert(&chain, reterr);
                if (s->raw < 0)
                        return s->raw;
                s->made = true;
        }
        return give_name(s, reterr);
}

static int name_of(const Question *q, char **ret) {
        if (q->partition == 0)
                return asprintf(ret, "(loop0)%s", q->path) < 0 ? -ENOMEM : 0;
        return asprintf(ret, "(loop0,%s%u)%s", q->mbr ? "msdos" : "gpt", q->partition, q->path) < 0 ? -ENOMEM
                                                                                                    : 0;
}

static int serve(Server *s, Question *q, uint64_t *ret_size, char **reterr) {
        _cleanup_free_ char *name = NULL, *folder = NULL;
        ForeignRun run = { .program = s->job->grub, .write = -EBADF, .out = s->scratch };
        off_t size;
        int r;

        q->path[sizeof(q->path) - 1] = 0;
        if (q->task >= _HELPER_TASK_MAX || (*q->path && *q->path != '/'))
                return -EINVAL;
        r = make_raw(s, reterr);
        if (r >= 0)
                r = name_of(q, &name);
        if (r < 0)
                return r;
        if (asprintf(&folder, "%s/", name) < 0) {
                folder = NULL;
                return -ENOMEM;
        }
        const char *list[] = { "grub-fstest", s->path, "ls", "--", "-l", "-a", folder, NULL };
        const char *copy[] = { "grub-fstest", s->path, "cat", name, NULL };
        run.argv = (char *const *) (q->task == HELPER_LIST ? list : copy);
        run.files[run.n_files++] = s->raw;
        run.file_max = IMAGE_INITRD_MAX;
        if (ftruncate(s->scratch, 0) < 0 || lseek(s->scratch, 0, SEEK_SET) < 0)
                return -errno;
        r = foreign_run(&run, reterr);
        if (r < 0)
                return r;
        size = lseek(s->scratch, 0, SEEK_END);
        if (size < 0)
                return -errno;
        *ret_size = (uint64_t) size;
        return 0;
}

static int server_main(void *userdata) {
        Server *s = userdata;
        Question q;

        /* Not to be ended before the folder is removed: the end of the socket comes in any case. */
        (void) prctl(PR_SET_PDEATHSIG, 0);
        for (const int *sig = (const int[]) { SIGHUP, SIGINT, SIGTERM, SIGPIPE, 0 }; *sig; sig++)
                (void) signal(*sig, SIG_IGN);
        (void) fd_close(s->other);
        while (read(s->socket, &q, sizeof(q)) == (ssize_t) sizeof(q)) {
                _cleanup_free_ char *error = NULL;
                Answer a = {};

                a.result = serve(s, &q, &a.size, &error);
                if (a.result < 0)
                        (void) snprintf(a.error, sizeof(a.error), "%s", error ?: strerror(-a.result));
                if (write(s->socket, &a, sizeof(a)) != (ssize_t) sizeof(a))
                        break;
        }
        server_done(s);
        return 0;
}

int helper_start(const HelperJob *job, Helper *ret, char **reterr) {
        const char *folder = getenv("TMPDIR") ?: "/tmp";
        _cleanup_(helper_done) Helper h = HELPER_NONE;
        Server server = { .job = job, .raw = -EBADF };
        int pair[2], r;

        h.scratch = fd_open(folder, O_RDWR | O_TMPFILE, 0600);
        if (h.scratch < 0)
                h.scratch = memfd_new("extract-scratch");
        if (h.scratch < 0)
                return error_set(
                                reterr, h.scratch, "cannot make a temporary file: %s", strerror(-h.scratch));
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_set(reterr, -errno, "cannot make a socket: %m");
        h.socket = pair[0];
        server.socket = pair[1];
        server.other = pair[0];
        server.scratch = h.scratch;
        r = process_fork(server_main, &server, &h.process);
        (void) fd_close(pair[1]);
        if (r < 0)
                return error_set(reterr, r, "cannot start a process: %s", strerror(-r));
        *ret = TAKE_STRUCT(h, HELPER_NONE);
        return 0;
}

void helper_done(Helper *h) {
        h->socket = fd_close(h->socket);
        h->scratch = fd_close(h->scratch);
        /* It ends by itself, once the reader has ended, too. */
        if (h->process.pid > 0 && process_wait(&h->process, UINT64_MAX, NULL) < 0)
                process_forget(&h->process);
}
