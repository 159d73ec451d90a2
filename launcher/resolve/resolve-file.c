/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"
#include "fd.h"
#include "resolve-parts.h"
#include "strutil.h"

int resolve_open(const char *option, const char *path, uint64_t *ret_size, char **reterr) {
        int fd = fd_open_regular(path, ret_size);

        if (fd == -EISDIR)
                return error_set(reterr, fd, "--%s: '%s' is a directory, expected a file", option, path);
        if (fd == -EINVAL)
                return error_set(reterr, fd, "--%s: '%s' is not a regular file", option, path);
        if (fd < 0)
                return error_set(reterr, fd, "--%s: cannot open '%s': %s", option, path, strerror(-fd));
        return fd;
}

int resolve_open_disk(const char *option, const char *path, bool read_only, char **reterr) {
        /* O_NONBLOCK: a pipe in the place of a disk must not hang the program. */
        _cleanup_close_ int fd = fd_open(path, (read_only ? O_RDONLY : O_RDWR) | O_NOCTTY | O_NONBLOCK, 0);
        struct stat st;

        if (fd < 0 && fd != -EISDIR)
                return error_set(reterr, fd, "--%s: cannot open '%s'%s: %s%s", option, path,
                                read_only ? "" : " for writing", strerror(-fd),
                                !read_only && streq(option, "image") ? "; --ephemeral needs read access only"
                                                                     : "");
        if (fd >= 0 && (fstat(fd, &st) < 0 || fcntl(fd, F_SETFL, 0) < 0))
                return -errno;
        if (fd < 0 || S_ISDIR(st.st_mode))
                return error_set(reterr, -EISDIR,
                                "--%s: '%s' is a directory, expected a disk image or a block device", option,
                                path);
        if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
                return error_set(reterr, -EINVAL, "--%s: '%s' is neither a regular file nor a block device",
                                option, path);
        return TAKE_FD(fd);
}

char *resolve_copy_name(const char *option, const char *path) {
        char *name;

        return asprintf(&name, "--%s: '%s'", option, path) < 0 ? NULL : name;
}

int resolve_copy_later(LaunchInputs *in, LaunchCopy copy, char **ret_path, char **reterr) {
        int r = launch_inputs_new_file(in, copy.size, copy.to, ret_path);

        if (r < 0) {
                (void) fd_close(copy.from);
                free(copy.name);
                return error_set(reterr, r, "cannot create a memory file: %s", strerror(-r));
        }
        return launch_inputs_add_copy(in, copy);
}

int resolve_pass_on(const VmConfig *config, const char *option, const char *path, int fd, uint64_t size,
                LaunchFd number, LaunchInputs *in, char **ret_path, char **reterr) {
        _cleanup_close_ int owned = fd;
        struct stat st;
        int r;

        if (fstat(owned, &st) < 0)
                return -errno;
        if (config->other_user && !(st.st_mode & S_IROTH))
                return resolve_copy_later(in,
                                (LaunchCopy) { .to = number,
                                                .from = TAKE_FD(owned),
                                                .name = resolve_copy_name(option, path),
                                                .size = size,
                                                .whole = true },
                                ret_path, reterr);
        /* A descriptor has that number here only. */
        r = config->other_user || startswith(path, "/proc/self/fd/")
                        ? asprintf(ret_path, "/proc/self/fd/%d", (int) number)
                        : asprintf(ret_path, "%s", path);
        if (r < 0) {
                *ret_path = NULL;
                return -ENOMEM;
        }
        return launch_inputs_keep_fd(in, TAKE_FD(owned), number);
}
