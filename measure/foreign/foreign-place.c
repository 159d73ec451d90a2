/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-place.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "strutil.h"

char *foreign_path(const ForeignPlace *place, const char *path) {
        const char *fd = startswith(path, "/proc/self/fd/") ?: startswith(path, "/dev/fd/");
        char *s, root[64];

        if (!place->pid)
                return strdup(path);
        if (fd)
                return asprintf(&s, "/proc/%s/fd/%s", place->pid, fd) < 0 ? NULL : s;
        if (path[0] != '/')
                return asprintf(&s, "/proc/%s/cwd/%s", place->pid, path) < 0 ? NULL : s;
        /* A process in a container has another root; one whose root may not be seen here is taken to have ours. */
        (void) snprintf(root, sizeof(root), "/proc/%s/root/", place->pid);
        if (place->moved || access(root, X_OK) < 0)
                return strdup(path);
        return asprintf(&s, "/proc/%s/root%s", place->pid, path) < 0 ? NULL : s;
}
