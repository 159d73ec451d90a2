/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"
#include "fd.h"
#include "resolve-parts.h"

int resolve_open(const char *option, const char *path, uint64_t *ret_size, char **reterr) {
        int fd = fd_open_regular(path, ret_size);

        if (fd == -EISDIR)
                return error_set(reterr, fd, "--%s: '%s' is a directory, expected a file", option, path);
        if (fd == -EINVAL)
                return error_set(reterr, fd, "--%s: '%s' is no regular file", option, path);
        if (fd < 0)
                return error_set(reterr, fd, "--%s: cannot open '%s': %s", option, path, strerror(-fd));
        return fd;
}

int resolve_sealed_copy(const char *option, const char *path, int fd, uint64_t offset, uint64_t size,
                char **reterr) {
        _cleanup_close_ int memfd = memfd_new("cvmspawn-copy");
        int r;

        if (memfd < 0)
                return error_set(reterr, memfd, "cannot make a memory file: %s", strerror(-memfd));
        r = fd_copy(fd, offset, memfd, size);
        if (r == -ENODATA)
                return error_set(reterr, -ESTALE, "--%s: '%s' became shorter while it was read", option,
                                path);
        if (r < 0)
                return error_set(reterr, r, "--%s: cannot copy '%s' into memory: %s", option, path,
                                strerror(-r));

        r = memfd_seal(memfd);
        if (r < 0)
                return error_set(reterr, r, "cannot seal the copy of '%s': %s", path, strerror(-r));
        return TAKE_FD(memfd);
}

int resolve_pass_on(const VmConfig *config, const char *option, const char *path, int fd, uint64_t size,
                LaunchFd number, LaunchInputs *in, char **ret_path, char **reterr) {
        _cleanup_close_ int owned = fd;
        struct stat st;
        int r;

        if (fstat(owned, &st) < 0)
                return -errno;
        if (config->other_user && !(st.st_mode & S_IROTH)) {
                int copy = resolve_sealed_copy(option, path, owned, 0, size, reterr);

                if (copy < 0)
                        return copy;
                (void) fd_close(owned);
                owned = copy;
        }
        r = config->other_user ? asprintf(ret_path, "/proc/self/fd/%d", (int) number)
                               : asprintf(ret_path, "%s", path);
        if (r < 0) {
                *ret_path = NULL;
                return -ENOMEM;
        }
        return launch_inputs_keep_fd(in, TAKE_FD(owned), number);
}
