/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "own-directory.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int own_directory(char ret[static PATH_MAX]) {
        ssize_t n = readlink("/proc/self/exe", ret, PATH_MAX - 1);
        char *slash;

        if (n < 0)
                return -errno;
        ret[n] = 0;
        slash = strrchr(ret, '/');
        if (!slash)
                return -EINVAL;
        *slash = 0;
        return 0;
}
