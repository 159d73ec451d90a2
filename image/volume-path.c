/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "strutil.h"
#include "volume.h"

int volume_path(const char *path, char **ret, char **reterr) {
        _cleanup_(text_done) Text text = {};

        if (strlen(path) > VOLUME_PATH_MAX)
                return error_set(reterr, -EINVAL, "a path of %zu bytes is too long", strlen(path));
        for (const char *p = path; *p;) {
                size_t n = strcspn(p, "/");

                if (n == 2 && strncmp(p, "..", 2) == 0)
                        return error_set(reterr, -EINVAL,
                                        "the path '%s' leads out of its file system ('..')", path);
                if (n > 0 && !(n == 1 && *p == '.')) {
                        text_put(&text, "/");
                        text_put_n(&text, p, n);
                }
                p += n + (p[n] == '/');
        }
        if (text.size == 0)
                text_put(&text, "/");
        return text_finish(&text, ret);
}
