/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "own-directory.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int own_directory(OwnDirectory *ret) {
        OwnDirectory d;
        ssize_t n = readlink("/proc/self/exe", d.path, sizeof(d.path) - 1);
        char *slash;

        if (n < 0)
                return -errno;
        d.path[n] = 0;
        slash = strrchr(d.path, '/');
        if (!slash)
                return -EINVAL;
        *slash = 0;
        *ret = d;
        return 0;
}
