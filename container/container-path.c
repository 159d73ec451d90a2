/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "container-path.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Adds the components of `s` to `out`. */
static int add(char *out, const char *s, bool up) {
        size_t size = strlen(out), levels = 0;

        for (const char *p = out; *p; p++)
                levels += *p == '/';
        while (*s) {
                size_t n = strcspn(s, "/");

                if (n == 2 && memcmp(s, "..", 2) == 0) {
                        char *slash = strrchr(out, '/');

                        if (!up)
                                return -EXDEV;
                        *(slash ?: out) = 0;
                        size = strlen(out);
                } else if (n > 0 && !(n == 1 && *s == '.')) {
                        if (size + n + 2 > CONTAINER_PATH_MAX || ++levels > CONTAINER_LEVELS_MAX)
                                return -ENAMETOOLONG;
                        if (size > 0)
                                out[size++] = '/';
                        memcpy(out + size, s, n);
                        size += n;
                        out[size] = 0;
                }
                s += n + (s[n] == '/');
        }
        return 0;
}

int container_path_clean(const char *name, char ret[static CONTAINER_PATH_MAX]) {
        *ret = 0;
        return add(ret, name, /* up= */ false);
}

int container_path_join(const char *folder, const char *target, const char *rest,
                char ret[static CONTAINER_PATH_MAX]) {
        char out[CONTAINER_PATH_MAX] = "";
        int r = *target == '/' ? 0 : add(out, folder, /* up= */ true);

        if (r >= 0)
                r = add(out, target, /* up= */ true);
        if (r >= 0)
                r = add(out, rest, /* up= */ true);
        if (r >= 0)
                memcpy(ret, out, strlen(out) + 1);
        return r;
}
