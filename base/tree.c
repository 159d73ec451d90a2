/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tree.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>

#include "error.h"

#define OPEN_FOLDERS 16

int tree_make_temporary(const char *name, char **ret, char **reterr) {
        const char *tmp = getenv("TMPDIR") ?: "/tmp";
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/%s.XXXXXX", tmp, name) < 0)
                return -ENOMEM;
        if (!mkdtemp(path))
                return error_set(reterr, -errno, "cannot make a temporary folder in '%s': %m", tmp);
        *ret = TAKE_PTR(path);
        return 0;
}

static int remove_one(const char *path, _unused_ const struct stat *st, _unused_ int type,
                _unused_ struct FTW *ftw) {
        (void) remove(path);
        return 0;
}

char *tree_remove(char *path) {
        if (path)
                (void) nftw(path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
        free(path);
        return NULL;
}
