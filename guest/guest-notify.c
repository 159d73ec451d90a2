/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "guest-notify.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "strutil.h"

DEFINE_TRIVIAL_CLEANUP_FUNC(DIR *, closedir);

/* Ports are numbered; their names are in sysfs. */
static int find_port(const char *root, char ret[static 4096], char **reterr) {
        _cleanup_(closedirp) DIR *d = NULL;
        char path[4096];

        (void) snprintf(path, sizeof(path), "%.3000s/sys/class/virtio-ports", root);
        d = opendir(path);
        for (struct dirent *e; d && (e = readdir(d));) {
                _cleanup_free_ char *name = NULL;
                size_t n;

                if (e->d_name[0] == '.')
                        continue;
                (void) snprintf(path, sizeof(path), "%.3000s/sys/class/virtio-ports/%s/name", root,
                                e->d_name);
                if (file_read_all(path, 256, &name, &n) < 0)
                        continue;
                name[strcspn(name, "\n")] = 0;
                if (streq(name, GUEST_NOTIFY_PORT)) {
                        (void) snprintf(ret, 4096, "%.3000s/dev/%s", root, e->d_name);
                        return 0;
                }
        }
        return error_set(reterr, -ENOENT,
                        "there is no virtio port " GUEST_NOTIFY_PORT
                        ": the launcher gives one with --linux=, and the kernel "
                        "needs virtio_console");
}

int guest_notify(const char *root, char *const *lines, char **reterr) {
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *s = NULL;
        _cleanup_close_ int fd = -EBADF;
        char path[4096];
        int r;

        STRV_FOREACH(line, lines) {
                if (!strchr(*line, '=') || strchr(*line, '\n'))
                        return error_set(reterr, -EINVAL, "'%s' is no NAME=VALUE", *line);
                text_putf(&t, "%s\n", *line);
        }
        r = text_finish(&t, &s);
        if (r == 0)
                r = find_port(root, path, reterr);
        if (r < 0)
                return r;
        fd = fd_open(path, O_WRONLY | O_NOCTTY, 0);
        if (fd == -EBUSY)
                return error_set(reterr, fd,
                                "'%s' is in use: under --run= the launcher's own unit speaks there, and says READY=1 "
                                "and EXIT_STATUS= for its command",
                                path);
        r = fd < 0 ? fd : fd_write_all(fd, s, strlen(s));
        return r < 0 ? error_set(reterr, r, "cannot write to '%s': %s", path, strerror(-r)) : 0;
}
