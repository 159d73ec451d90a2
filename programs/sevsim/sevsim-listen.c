/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn sevsim --listen=: sets up a simulated host in a folder and holds it. Commands work with the files alone; this process is what says that
 * the host is there. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "atomic-file.h"
#include "daemon.h"
#include "error.h"
#include "fd.h"
#include "json.h"
#include "log.h"
#include "sevsim-host.h"
#include "sevsim-parts.h"
#include "strutil.h"
#include "tree.h"

#define WAIT_STEP_MSEC 50
#define PATIENCE_STEPS 200 /* 10 s for commands to end */

typedef struct Listen {
        const SevsimOptions *options;
        char *folder;   /* owned: full path */
        char *platform; /* owned */
        char *record;   /* owned */
        int lock_fd;    /* owned */
        int signal_fd;  /* owned */
        int notify_fd;  /* owned */
        bool made;      /* the folder is ours to remove */
        bool locked;
} Listen;

int sevsim_lock(int fd, int byte, short type) {
        struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

        return fcntl(fd, F_SETLK, &lock) < 0 ? -errno : 0;
}

int sevsim_lock_holder(int fd, int byte, pid_t *ret) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

        if (fcntl(fd, F_GETLK, &lock) < 0)
                return -errno;
        *ret = lock.l_type == F_UNLCK ? 0 : lock.l_pid > 0 ? lock.l_pid : -1;
        return 0;
}

static const char *const own_files[] = { SEVSIM_LOCK_FILE, SEVSIM_STATE_FILE, SEVSIM_GUESTS_FILE };
static const char *const own_folders[] = { "platform", "record" };

static void remove_contents(const Listen *l, bool lock_file) {
        char *path;

        for (size_t i = 0; i < ELEMENTSOF(own_folders); i++)
                if (asprintf(&path, "%s/%s", l->folder, own_folders[i]) >= 0)
                        (void) tree_remove(path);
        /* The lock is the last: until then nobody takes the folder for a free one. */
        for (size_t i = ELEMENTSOF(own_files); i-- > (lock_file ? 0 : 1);)
                if (asprintf(&path, "%s/%s", l->folder, own_files[i]) >= 0) {
                        (void) unlink(path);
                        free(path);
                }
}

static void listen_done(Listen *l) {
        if (l->locked)
                remove_contents(l, /* lock_file= */ true);
        if (l->made && l->folder)
                (void) rmdir(l->folder); /* it is empty, or of somebody else now */
        (void) fd_close(l->lock_fd);
        (void) fd_close(l->signal_fd);
        (void) fd_close(l->notify_fd);
        free(l->folder);
        free(l->platform);
        free(l->record);
}

static bool is_own(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(own_files); i++)
                if (streq(name, own_files[i]))
                        return true;
        for (size_t i = 0; i < ELEMENTSOF(own_folders); i++)
                if (streq(name, own_folders[i]))
                        return true;
        return false;
}

/* What is removed later must be ours: a folder with other things is not a host's. */
static int check_contents(const char *folder, char **reterr) {
        DIR *d = opendir(folder);
        bool lock = false, others = false, any = false;

        if (!d)
                return error_set(reterr, -errno, "cannot open '%s' for a simulated host: %m", folder);
        for (struct dirent *e = readdir(d); e; e = readdir(d)) {
                if (streq(e->d_name, ".") || streq(e->d_name, ".."))
                        continue;
                any = true;
                lock = lock || streq(e->d_name, SEVSIM_LOCK_FILE);
                others = others || !is_own(e->d_name);
        }
        closedir(d);
        if (others || (any && !lock))
                return error_set(reterr, -ENOTEMPTY,
                                "'%s' has other files: a simulated host needs a folder for itself, name a new one",
                                folder);
        return 0;
}

/* 1: the file was removed by a host that ended meanwhile. */
static int take_lock(Listen *l, const char *path, char **reterr) {
        struct stat ours, there;
        pid_t holder = 0;
        int r;

        l->lock_fd = fd_close(l->lock_fd);
        l->lock_fd = fd_open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0644);
        if (l->lock_fd < 0)
                return error_set(reterr, l->lock_fd, "cannot create '%s': %s", path, strerror(-l->lock_fd));
        r = sevsim_lock(l->lock_fd, SEVSIM_LOCK_HOST, F_WRLCK);
        if (r == -EAGAIN || r == -EACCES) {
                r = sevsim_lock_holder(l->lock_fd, SEVSIM_LOCK_HOST, &holder);
                return error_set(reterr, -EBUSY,
                                "a simulated host runs in '%s' already (process %d): run commands on it with --join=, or name another folder",
                                l->folder, r < 0 ? -1 : (int) holder);
        }
        if (r < 0)
                return error_set(reterr, r, "cannot lock '%s': %s", path, strerror(-r));
        if (fstat(l->lock_fd, &ours) < 0 || stat(path, &there) < 0 || ours.st_ino != there.st_ino)
                return 1;
        l->locked = true;
        return 0;
}

/* The signals that end the host are taken here and nowhere else. */
static bool asked_to_end(const Listen *l, int msec) {
        struct pollfd p = { .fd = l->signal_fd, .events = POLLIN };

        return poll(&p, 1, msec) > 0;
}

/* 0, or the process that is still there: -1 if it is out of sight. `end`: asks them to end, and insists. */
static pid_t wait_for_commands(const Listen *l, bool end) {
        pid_t holder = 0, asked = 0;

        for (unsigned i = 0; i <= PATIENCE_STEPS; i++) {
                if (sevsim_lock_holder(l->lock_fd, SEVSIM_LOCK_COMMANDS, &holder) < 0 || holder == 0)
                        return 0;
                if (end && holder > 0 && (holder != asked || i == PATIENCE_STEPS))
                        (void) kill(holder, i == PATIENCE_STEPS ? SIGKILL : SIGTERM);
                asked = holder;
                if (!end && asked_to_end(l, 0))
                        break;
                (void) poll(NULL, 0, WAIT_STEP_MSEC);
        }
        return holder;
}

static int take_folder(Listen *l, const char *wanted, char **reterr) {
        _cleanup_free_ char *path = NULL, *state = NULL;
        pid_t holder;
        int r = 1;

        for (unsigned i = 0; i < PATIENCE_STEPS && r > 0; i++) {
                if (mkdir(wanted, 0755) >= 0)
                        l->made = true;
                else if (errno != EEXIST)
                        return error_set(reterr, -errno,
                                        "cannot make the folder '%s' for a simulated host: %m", wanted);
                free(l->folder);
                l->folder = realpath(wanted, NULL);
                if (!l->folder)
                        return error_set(reterr, -errno, "cannot find '%s': %m", wanted);
                r = check_contents(l->folder, reterr);
                free(path);
                path = NULL;
                if (r >= 0 && asprintf(&path, "%s/%s", l->folder, SEVSIM_LOCK_FILE) < 0)
                        r = -ENOMEM;
                if (r >= 0)
                        r = take_lock(l, path, reterr);
        }
        if (r != 0)
                return r < 0 ? r : error_set(reterr, -EBUSY, "'%s' is being used by others", wanted);
        holder = wait_for_commands(l, /* end= */ false);
        if (holder != 0) {
                l->locked = false; /* what is there is theirs */
                return error_set(reterr, -EBUSY,
                                "'%s' is of a simulated host that was killed, and a command still runs on it (process %d): end that first",
                                wanted, (int) holder);
        }
        if (asprintf(&state, "%s/%s", l->folder, SEVSIM_STATE_FILE) < 0)
                return -ENOMEM;
        if (access(state, F_OK) >= 0) {
                log_notice("took over '%s' from a simulated host that was killed", l->folder);
                l->made = true;
        }
        remove_contents(l, /* lock_file= */ false);
        return 0;
}

static int place_platform(Listen *l, char **reterr) {
        const SevsimOptions *o = l->options;
        _cleanup_free_ char *own = NULL;
        int r;

        if (asprintf(&own, "%s/platform", l->folder) < 0)
                return -ENOMEM;
        r = sevsim_place_platform(o->platform ?: own, o->generation, reterr);
        if (r < 0)
                return r;
        l->platform = realpath(o->platform ?: own, NULL);
        return l->platform ? 0
                           : error_set(reterr, -errno, "cannot find the platform folder '%s': %m",
                                             o->platform ?: own);
}

/* Any user may add a folder, and remove none of others. */
static int place_record(Listen *l, char **reterr) {
        _cleanup_free_ char *own = NULL;
        const char *path;

        if (asprintf(&own, "%s/record", l->folder) < 0)
                return -ENOMEM;
        path = l->options->record ?: own;
        if (mkdir(path, 0755) >= 0) {
                if (chmod(path, 01777) < 0)
                        return error_set(reterr, -errno, "cannot open '%s' for QEMU's user: %m", path);
        } else if (errno != EEXIST)
                return error_set(reterr, -errno, "cannot make the record folder '%s': %m", path);
        l->record = realpath(path, NULL);
        return l->record ? 0 : error_set(reterr, -errno, "cannot find the record folder '%s': %m", path);
}

static int write_guests(const Listen *l, char **reterr) {
        _cleanup_free_ char *path = NULL;
        char rows[SEVSIM_GUESTS_ROWS][SEVSIM_GUESTS_ROW];
        int r;

        for (unsigned i = 0; i < SEVSIM_GUESTS_ROWS; i++) {
                (void) memset(rows[i], ' ', SEVSIM_GUESTS_ROW);
                rows[i][0] = '0';
                rows[i][SEVSIM_GUESTS_ROW - 1] = '\n';
        }
        if (asprintf(&path, "%s/%s", l->folder, SEVSIM_GUESTS_FILE) < 0)
                return -ENOMEM;
        r = file_write_atomic(path, rows, sizeof(rows), 0666, ATOMIC_FILE_EXACT_MODE);
        return r < 0 ? error_set(reterr, r, "cannot write '%s': %s", path, strerror(-r)) : 0;
}

static int write_state(const Listen *l, char **reterr) {
        const SevsimOptions *o = l->options;
        _cleanup_free_ char *path = NULL, *text = NULL;
        _cleanup_js_ Json *j = NULL;
        int r = js_build(&j, "{s:b, s:s, s:s, s:s?, s:s?, s:s?}", "simulation", true, "platform",
                        l->platform, "record", l->record, "guest", o->guest, "sev-node", o->sev_node,
                        "faults", o->faults);

        if (r < 0)
                return r;
        text = js_text(j, JS_PRETTY);
        if (!text || asprintf(&path, "%s/%s", l->folder, SEVSIM_STATE_FILE) < 0)
                return -ENOMEM;
        r = file_write_atomic(path, text, strlen(text), 0644, ATOMIC_FILE_EXACT_MODE);
        return r < 0 ? error_set(reterr, r, "cannot write '%s': %s", path, strerror(-r)) : 0;
}

static int say_ready(const Listen *l) {
        const VerbCommon *common = &l->options->common;
        _cleanup_js_ Json *j = NULL;
        int r;

        daemon_notify(l->notify_fd, "READY=1\nSTATUS=SIMULATED host: nothing is encrypted");
        if (!common->json) {
                (void) printf("sevsim (simulation): READY: a simulated host is in %s\n"
                              "sevsim (simulation): run commands on it: cvmspawn sevsim --join=%s -- COMMAND\n",
                                l->folder, l->folder);
                return fflush(stdout) == 0 ? 0 : -EIO;
        }
        r = js_build(&j, "{s:b, s:b, s:s, s:s, s:s}", "simulation", true, "ready", true, "folder", l->folder,
                        "platform", l->platform, "record", l->record);
        if (r >= 0)
                r = verb_print_json(j, common->style);
        return r < 0 ? r : fflush(stdout) == 0 ? 0 : -EIO;
}

/* From here on nobody joins; who is there is asked to end. */
static int end_host(const Listen *l, char **reterr) {
        _cleanup_free_ char *state = NULL;
        pid_t holder;

        daemon_notify(l->notify_fd, "STOPPING=1");
        if (asprintf(&state, "%s/%s", l->folder, SEVSIM_STATE_FILE) < 0)
                return -ENOMEM;
        (void) unlink(state);
        holder = wait_for_commands(l, /* end= */ true);
        return holder == 0
                        ? 0
                        : error_set(reterr, -EBUSY,
                                          "a command on the simulated host does not end (process %d); the host has ended without it",
                                          (int) holder);
}

static int open_signals(Listen *l) {
        sigset_t mask;

        sigemptyset(&mask);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGHUP);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        l->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC);
        return l->signal_fd < 0 ? -errno : 0;
}

int sevsim_listen(const SevsimOptions *options, char **reterr) {
        _cleanup_(listen_done) Listen l = {
                .options = options, .lock_fd = -EBADF, .signal_fd = -EBADF, .notify_fd = -EBADF
        };
        int r = open_signals(&l);

        if (r >= 0)
                r = take_folder(&l, options->listen, reterr);
        if (r >= 0)
                r = place_platform(&l, reterr);
        if (r >= 0)
                r = place_record(&l, reterr);
        if (r >= 0)
                r = write_guests(&l, reterr);
        if (r >= 0)
                r = write_state(&l, reterr);
        if (r < 0)
                return r;
        l.notify_fd = daemon_notify_open();
        r = say_ready(&l);
        if (r >= 0)
                (void) asked_to_end(&l, -1);
        return r < 0 ? r : end_host(&l, reterr);
}
