/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-programs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "strutil.h"

int run_find_program(const char *name, char **ret, char **reterr) {
        char self[PATH_MAX], *base;
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        _cleanup_free_ char *path = NULL;

        if (n < 0)
                return error_set(
                                reterr, -errno, "cannot tell where this program lies: /proc is not mounted");
        self[n] = 0;
        base = strrchr(self, '/');
        if (!base)
                return -EINVAL;
        base++;
        if (asprintf(&path, "%.*s%s%s", (int) (base - self), self, startswith(base, "verb-") ? "verb-" : "",
                            name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (access(path, X_OK) < 0)
                return error_set(reterr, -ENOENT,
                                "the program '%s' of cvmspawn is missing; reinstall cvmspawn, or build it "
                                "with ninja",
                                path);
        *ret = TAKE_PTR(path);
        return 0;
}
