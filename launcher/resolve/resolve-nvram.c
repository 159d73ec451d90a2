/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where the firmware keeps its variables: a file beside the image that outlives the guest, or a copy in memory that does not. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "atomic-file.h"
#include "error.h"
#include "fd.h"
#include "file-check.h"
#include "resolve-parts.h"
#include "strutil.h"

#define NVRAM_SIZE_MAX (UINT64_C(64) << 20) /* real ones have 128 KiB to 540 KiB */

typedef struct Template {
        const char *path;
        struct stat st;
        char *content; /* owned */
        size_t size;
} Template;

static void template_done(Template *t) {
        free(t->content);
}

static int read_template(const char *option, const char *path, Template *ret, char **reterr) {
        _cleanup_close_ int fd = resolve_open(option, path, NULL, reterr);
        int r;

        if (fd < 0)
                return fd;
        ret->path = path;
        if (fstat(fd, &ret->st) < 0)
                return -errno;
        r = fd_read_all(fd, NVRAM_SIZE_MAX, &ret->content, &ret->size);
        if (r >= 0 && ret->size == 0)
                r = -ENODATA;
        return r < 0 ? error_set(reterr, r, "--%s: cannot read '%s': %s", option, path, strerror(-r)) : 0;
}

static int in_memory(const Template *t) {
        _cleanup_close_ int fd = memfd_new("cvmspawn-nvram");
        int r = fd < 0 ? fd : fd_write_all(fd, t->content, t->size);

        return r < 0 ? r : TAKE_FD(fd);
}

/* The template's time stays: it says which variables these began with. */
static int create(const Template *t, const char *path) {
        const struct timespec times[2] = { t->st.st_mtim, t->st.st_mtim };
        int r = file_write_atomic(path, t->content, t->size, 0600, ATOMIC_FILE_EXACT_MODE);

        if (r < 0)
                return r == -EEXIST ? 0 : r;
        (void) utimensat(AT_FDCWD, path, times, 0);
        return 0;
}

static int refuse_creation(const char *path, int r, char **reterr) {
        return error_set(reterr, r, "--efi-nvram-state: cannot create '%s': %s", path, strerror(-r));
}

static int check_state(const Template *t, const char *path, const struct stat *st, char **reterr) {
        if (!S_ISREG(st->st_mode))
                return error_set(reterr, -EINVAL, "--efi-nvram-state: '%s' is not a regular file", path);
        if ((uint64_t) st->st_size != t->size)
                return error_set(reterr, -EBADMSG,
                                "--efi-nvram-state: '%s' has %llu bytes, but this firmware's variables have %zu ('%s'): it belongs to another firmware; remove it or name another file",
                                path, (unsigned long long) st->st_size, t->size, t->path);
        return 0;
}

/* A copy, as of a state that is kept, which is neither made nor locked. */
static int try_state(const VmConfig *config, const Template *t, const char *path, char **reterr) {
        _cleanup_close_ int fd =
                        config->host_caps ? -EBADF : fd_open(path, O_RDWR | O_NOCTTY | O_NONBLOCK, 0);
        struct stat st;
        int r = 0;

        if (config->host_caps)
                return in_memory(t);
        if (fd == -ENOENT) {
                r = file_check_parent(path);
                return r < 0 ? refuse_creation(path, r, reterr) : in_memory(t);
        }
        if (fd < 0)
                return error_set(reterr, fd, "--efi-nvram-state: cannot open '%s': %s", path, strerror(-fd));
        if (fstat(fd, &st) < 0)
                return -errno;
        r = check_state(t, path, &st, reterr);
        return r < 0 ? r : in_memory(t);
}

static int open_state(const Template *t, const char *path, char **reterr) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r = 0;

        for (unsigned i = 0; i < 2; i++) {
                fd = fd_open(path, O_RDWR | O_NOCTTY | O_NONBLOCK, 0);
                if (fd != -ENOENT)
                        break;
                r = create(t, path);
                if (r < 0)
                        return refuse_creation(path, r, reterr);
        }
        if (fd < 0)
                return error_set(reterr, fd, "--efi-nvram-state: cannot open '%s': %s", path, strerror(-fd));
        if (fstat(fd, &st) < 0)
                return -errno;
        r = check_state(t, path, &st, reterr);
        if (r < 0)
                return r;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return error_set(reterr, -errno,
                                errno == EWOULDBLOCK ? "--efi-nvram-state: '%s' is in use by another guest"
                                                     : "--efi-nvram-state: cannot lock '%s'",
                                path);
        return TAKE_FD(fd);
}

static int default_state(const VmConfig *config, char **ret) {
        const char *base = vm_config_state_base(config);
        char real[PATH_MAX];
        struct stat st;

        *ret = NULL;
        if (!base || !realpath(base, real) || stat(real, &st) < 0 ||
                        (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
                return 0;
        if (asprintf(ret, "%s.efinvramstate", real) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

int resolve_nvram(const VmConfig *config, const char *path, LaunchInputs *in, char **reterr) {
        _cleanup_(template_done) Template t = {};
        _cleanup_free_ char *found = NULL;
        const char *asked = config->efi_nvram_state, *state = asked;
        int fd, r;

        r = config->efi_nvram_template
                        ? read_template("efi-nvram-template", config->efi_nvram_template, &t, reterr)
                        : read_template("firmware", path, &t, reterr);
        if (r < 0)
                return r;
        if (!asked) {
                r = default_state(config, &found);
                if (r < 0)
                        return r;
                state = found;
        }
        /* What only prints changes nothing. */
        if (!state || streq(state, "off"))
                fd = in_memory(&t);
        else if (config->print != 0)
                fd = try_state(config, &t, state, reterr);
        else
                fd = open_state(&t, state, reterr);
        if (!asked && (fd == -EACCES || fd == -EPERM || fd == -EROFS)) {
                free(*reterr);
                *reterr = NULL;
                r = strv_pushf(&in->notices,
                                "EFI variables are discarded when the guest ends: '%s' cannot be written",
                                state);
                fd = r < 0 ? r : in_memory(&t);
        }
        if (fd < 0)
                return fd;
        in->nvram = strdup(t.path);
        r = launch_inputs_keep_fd(in, fd, LAUNCH_FD_NVRAM);
        return r < 0 ? r : in->nvram ? 0 : -ENOMEM;
}
