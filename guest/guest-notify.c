/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "guest-notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "guest-port.h"
#include "strutil.h"

int guest_notify(const char *root, char *const *lines, char **reterr) {
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *s = NULL, *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        STRV_FOREACH(line, lines) {
                if (!strchr(*line, '=') || strchr(*line, '\n'))
                        return error_set(reterr, -EINVAL, "'%s' is not of the form NAME=VALUE", *line);
                text_putf(&t, "%s\n", *line);
        }
        r = text_finish(&t, &s);
        if (r == 0)
                r = guest_port_find(root, GUEST_NOTIFY_PORT, &path);
        if (r == -ENOENT)
                return error_set(reterr, r,
                                "the virtio port " GUEST_NOTIFY_PORT
                                " is missing: the launcher adds one with --linux=, and the kernel needs virtio_console");
        if (r < 0)
                return r;
        fd = fd_open(path, O_WRONLY | O_NOCTTY, 0);
        if (fd == -EBUSY)
                return error_set(reterr, fd,
                                "'%s' is in use: with --run= the launcher's unit uses it, and reports READY=1 and EXIT_STATUS= for its command",
                                path);
        r = fd < 0 ? fd : fd_write_all(fd, s, strlen(s));
        return r < 0 ? error_set(reterr, r, "cannot write to '%s': %s", path, strerror(-r)) : 0;
}
