/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "guest-secret.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "encode.h"
#include "error.h"
#include "fd.h"
#include "strutil.h"

DEFINE_TRIVIAL_CLEANUP_FUNC(DIR *, closedir);

static int missing_tree(const char *tree, int r, char **reterr) {
        if (r != -ENOENT)
                return error_set(reterr, r, "cannot read '%s': %s", tree, strerror(-r));
        return error_set(reterr, r,
                        "'%s' does not exist: securityfs is not mounted, the module efi_secret is not loaded or not part of this kernel (CONFIG_EFI_SECRET), "
                        "or no secret was injected; an SNP guest gets no secrets this way",
                        tree);
}

static int compare(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

int guest_secret_list(const char *tree, char ***ret, char **reterr) {
        _cleanup_(closedirp) DIR *d = opendir(tree);
        _cleanup_strv_free_ char **l = NULL;

        if (!d)
                return missing_tree(tree, -errno, reterr);
        for (struct dirent *e; (e = readdir(d));) {
                Guid guid;
                int r = guid_parse(e->d_name, &guid) == 0 ? strv_push(&l, e->d_name) : 0;

                if (r < 0)
                        return r;
        }
        if (l)
                qsort(l, strv_length(l), sizeof(char *), compare);
        *ret = TAKE_PTR(l);
        return 0;
}

static int open_tree(const char *tree, const char *guid, char **reterr) {
        Guid parsed;
        int fd;

        if (guid_parse(guid, &parsed) < 0)
                return error_set(reterr, -EINVAL, "'%s' is not a GUID", guid);
        fd = fd_open(tree, O_RDONLY | O_DIRECTORY, 0);
        return fd < 0 ? missing_tree(tree, fd, reterr) : fd;
}

static int secret_failed(const char *tree, const char *guid, int r, char **reterr) {
        return r == -ENOENT ? error_set(reterr, r,
                                              "secret %s is not in '%s'; 'secret list' shows those that are",
                                              guid, tree)
                            : error_set(reterr, r, "cannot use the secret %s in '%s': %s", guid, tree,
                                              strerror(-r));
}

int guest_secret_read(const char *tree, const char *guid, SecretBuf *ret, char **reterr) {
        _cleanup_close_ int dir = open_tree(tree, guid, reterr), fd = -EBADF;
        int r;

        if (dir < 0)
                return dir;
        fd = openat(dir, guid, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        r = fd < 0 ? -errno : secret_buf_read_fd(ret, fd, GUEST_SECRET_MAX);
        return r < 0 ? secret_failed(tree, guid, r, reterr) : 0;
}

int guest_secret_wipe(const char *tree, const char *guid, char **reterr) {
        _cleanup_close_ int dir = open_tree(tree, guid, reterr);

        if (dir < 0)
                return dir;
        if (unlinkat(dir, guid, 0) < 0)
                return secret_failed(tree, guid, -errno, reterr);
        return 0;
}
