/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn sevsim --join=: what a command needs to be on a host that others use, too. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "json.h"
#include "sevsim-host.h"
#include "strutil.h"

#define STATE_SIZE_MAX ((size_t) 64 << 10)
#define RUNS_MAX       99999u

void sevsim_join_done(SevsimJoin *join) {
        join->lock_fd = fd_close(join->lock_fd);
        join->host_fd = fd_close(join->host_fd);
        free(join->run);
        join->run = NULL;
}

static int no_host(const char *folder, char **reterr) {
        return error_set(reterr, -ENOENT,
                        "no simulated host runs in '%s': start one with cvmspawn sevsim --listen=%s", folder,
                        folder);
}

/* Alive is who holds the lock: a host that was killed has left its files. */
static int find_host(const char *wanted, char **ret_folder, SevsimJoin *join, char **reterr) {
        _cleanup_free_ char *folder = realpath(wanted, NULL), *path = NULL;
        pid_t host;
        int r;

        if (!folder)
                return errno == ENOENT ? no_host(wanted, reterr)
                                       : error_set(reterr, -errno, "cannot find '%s': %m", wanted);
        if (asprintf(&path, "%s/%s", folder, SEVSIM_LOCK_FILE) < 0)
                return -ENOMEM;
        join->lock_fd = fd_open(path, O_RDONLY | O_NOFOLLOW, 0);
        if (join->lock_fd == -ENOENT || join->lock_fd == -ENOTDIR)
                return no_host(wanted, reterr);
        if (join->lock_fd < 0)
                return error_set(reterr, join->lock_fd, "cannot open '%s': %s", path,
                                strerror(-join->lock_fd));
        r = sevsim_lock_holder(join->lock_fd, SEVSIM_LOCK_HOST, &host);
        if (r < 0)
                return error_set(reterr, r, "cannot ask for the lock of '%s': %s", path, strerror(-r));
        if (host == 0)
                return error_set(reterr, -ENOENT,
                                "the simulated host in '%s' was killed: start it again with cvmspawn sevsim --listen=%s",
                                wanted, wanted);
        join->host = host;
        if (host > 0)
                join->host_fd = (int) syscall(SYS_pidfd_open, host, 0);
        *ret_folder = TAKE_PTR(folder);
        return 0;
}

typedef struct HostState {
        char *platform, *record, *guest, *sev_node, *faults;
} HostState;

static void host_state_done(HostState *s) {
        free(s->platform);
        free(s->record);
        free(s->guest);
        free(s->sev_node);
        free(s->faults);
}

static int copy_member(const Json *j, const char *name, char **ret) {
        const char *value = js_string_value(js_get(j, name));

        *ret = value ? strdup(value) : NULL;
        return value && !*ret ? -ENOMEM : 0;
}

static int read_state(const char *folder, HostState *s, char **reterr) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        _cleanup_js_ Json *j = NULL;
        size_t size;
        int r;

        if (asprintf(&path, "%s/%s", folder, SEVSIM_STATE_FILE) < 0)
                return -ENOMEM;
        r = file_read_all(path, STATE_SIZE_MAX, &text, &size);
        if (r == -ENOENT)
                return error_set(reterr, r,
                                "the simulated host in '%s' is not ready, or ends just now: wait until it says READY",
                                folder);
        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r));
        r = js_parse(text, size, &j, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "%s", path);
        if ((r = copy_member(j, "platform", &s->platform)) < 0 ||
                        (r = copy_member(j, "record", &s->record)) < 0 ||
                        (r = copy_member(j, "guest", &s->guest)) < 0 ||
                        (r = copy_member(j, "sev-node", &s->sev_node)) < 0 ||
                        (r = copy_member(j, "faults", &s->faults)) < 0)
                return r;
        if (!s->platform || !s->record)
                return error_set(reterr, -EBADMSG, "'%s' does not name the platform and the record", path);
        return 0;
}

/* A folder for each command: commands beside one another do not find each other's launches in theirs. */
static int make_run(const char *record, char **ret, char **reterr) {
        for (unsigned i = 1; i <= RUNS_MAX; i++) {
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, "%s/run-%03u", record, i) < 0)
                        return -ENOMEM;
                if (mkdir(path, 0755) >= 0) {
                        if (chmod(path, 01777) < 0) {
                                int r = -errno;
                                (void) rmdir(path);
                                return error_set(reterr, r, "cannot open '%s' for QEMU's user: %s", path,
                                                strerror(-r));
                        }
                        *ret = TAKE_PTR(path);
                        return 0;
                }
                if (errno != EEXIST)
                        return error_set(reterr, -errno, "cannot make '%s' for the record: %m", path);
        }
        return error_set(reterr, -ENOSPC, "'%s' has %u records already: move them away", record, RUNS_MAX);
}

static void fill_in(char **option, char **value) {
        if (!*option)
                *option = TAKE_PTR(*value);
}

static int open_host(const char *wanted, char **ret_folder, SevsimJoin *join, HostState *s, char **reterr) {
        int r = find_host(wanted, ret_folder, join, reterr);

        /* Locked before it is read: a host that ends removes what is read first, and then waits for the lock. */
        if (r >= 0) {
                r = sevsim_lock(join->lock_fd, SEVSIM_LOCK_COMMANDS, F_RDLCK);
                if (r < 0)
                        r = error_set(reterr, r, "cannot lock '%s/%s': %s", *ret_folder, SEVSIM_LOCK_FILE,
                                        strerror(-r));
        }
        return r < 0 ? r : read_state(*ret_folder, s, reterr);
}

int sevsim_join(SevsimOptions *options, SevsimJoin *ret, char **reterr) {
        _cleanup_(sevsim_join_done) SevsimJoin join = SEVSIM_JOIN_NONE;
        _cleanup_(host_state_done) HostState s = {};
        _cleanup_free_ char *folder = NULL;
        int r = open_host(options->join, &folder, &join, &s, reterr);

        if (r >= 0)
                r = make_run(s.record, &join.run, reterr);
        if (r < 0)
                return r;
        fill_in(&options->guest, &s.guest);
        fill_in(&options->sev_node, &s.sev_node);
        fill_in(&options->faults, &s.faults);
        fill_in(&options->platform, &s.platform);
        options->record = strdup(join.run);
        if (!options->record)
                return -ENOMEM;
        free(options->join);
        options->join = TAKE_PTR(folder);
        *ret = TAKE_STRUCT(join, SEVSIM_JOIN_NONE);
        return 0;
}

typedef struct Guest {
        unsigned handle;
        char type[SEVSIM_GUESTS_ROW];
        int pid;
} Guest;

/* 1: a guest has this identifier. */
static int read_guest(int fd, unsigned row, Guest *ret) {
        struct flock lock = { .l_type = F_RDLCK,
                .l_whence = SEEK_SET,
                .l_start = (off_t) row * SEVSIM_GUESTS_ROW,
                .l_len = 1 };
        char text[SEVSIM_GUESTS_ROW + 1] = {};
        int r;

        if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
                return -errno;
        if (lock.l_type == F_UNLCK)
                return 0;
        r = fd_pread_exact(fd, text, SEVSIM_GUESTS_ROW, (uint64_t) row * SEVSIM_GUESTS_ROW);
        if (r < 0)
                return r;
        return sscanf(text, "%u %63s %d", &ret->handle, ret->type, &ret->pid) == 3;
}

static int list_guests(const char *folder, Json *list, char **reterr) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r = 0;

        if (asprintf(&path, "%s/%s", folder, SEVSIM_GUESTS_FILE) < 0)
                return -ENOMEM;
        fd = fd_open(path, O_RDONLY | O_NOFOLLOW, 0);
        if (fd < 0)
                return error_set(reterr, fd, "cannot open '%s': %s", path, strerror(-fd));
        for (unsigned i = 1; i < SEVSIM_GUESTS_ROWS && r >= 0; i++) {
                bool td = i >= SEVSIM_GUESTS_TDX;
                Json *j = NULL;
                Guest g;

                r = read_guest(fd, i, &g);
                if (r <= 0)
                        continue;
                r = js_build(&j, "{s:s, s:s, s:I, s:I, s:I}", "type", g.type, "id-kind",
                                td ? "key-id" : "asid", "id",
                                (long long) (td ? i - SEVSIM_GUESTS_TDX + 1 : i), "handle",
                                (long long) g.handle, "process", (long long) g.pid);
                if (r >= 0)
                        r = js_append(list, j);
        }
        return r < 0 ? error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r)) : 0;
}

static uint64_t number(const Json *j, const char *name) {
        uint64_t n = 0;

        return js_u64_value(js_get(j, name), &n) < 0 ? 0 : n;
}

static void print_host(const char *folder, pid_t host, const HostState *s, const Json *guests) {
        (void) printf("sevsim (simulation): a simulated host runs in %s, process %d\n", folder, (int) host);
        (void) printf("sevsim (simulation): platform %s, record %s\n", s->platform, s->record);
        for (size_t i = 0; i < js_length(guests); i++) {
                const Json *g = js_at(guests, i);
                const char *kind = js_string_value(js_get(g, "id-kind"));

                (void) printf("sevsim (simulation): guest: %s, %s %llu, handle %llu, process %llu\n",
                                js_string_value(js_get(g, "type")), streq_ptr(kind, "asid") ? "ASID" : "key",
                                (unsigned long long) number(g, "id"),
                                (unsigned long long) number(g, "handle"),
                                (unsigned long long) number(g, "process"));
        }
        if (js_length(guests) == 0)
                (void) puts("sevsim (simulation): it has no guests");
}

int sevsim_show_host(const SevsimOptions *options, char **reterr) {
        _cleanup_(sevsim_join_done) SevsimJoin join = SEVSIM_JOIN_NONE;
        _cleanup_(host_state_done) HostState s = {};
        _cleanup_js_ Json *j = NULL, *guests = js_array();
        _cleanup_free_ char *folder = NULL;
        int r = open_host(options->join, &folder, &join, &s, reterr);

        if (r >= 0)
                r = guests ? list_guests(folder, guests, reterr) : -ENOMEM;
        if (r < 0)
                return r;
        if (!options->common.json) {
                print_host(folder, join.host, &s, guests);
                return 0;
        }
        r = js_build(&j, "{s:b, s:s, s:I, s:s, s:s, s:o}", "simulation", true, "folder", folder,
                        "host-process", (long long) join.host, "platform", s.platform, "record", s.record,
                        "guests", js_ref(guests));
        return r < 0 ? r : verb_print_json(j, options->common.style);
}
