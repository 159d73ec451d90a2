/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "run.h"
#include "strutil.h"

int event_sink_open(const VmConfig *config, EventSink *ret, char **reterr) {
        unsigned number;
        int fd;

        *ret = (EventSink) { .fd = config->json == JSON_SHORT_MODE ? STDOUT_FILENO : -EBADF };
        if (!config->status_fd)
                return 0;

        if (parse_unsigned(config->status_fd, &number) < 0 || number > INT32_MAX)
                return error_set(reterr, -EINVAL, "--status-fd: expected a descriptor number, not '%s'",
                                config->status_fd);
        /* A copy that no child inherits. */
        fd = fcntl((int) number, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
                return error_set(reterr, -errno, "--status-fd: descriptor %u is not open", number);
        ret->fd = fd;
        return 0;
}

void event_sink_done(EventSink *sink) {
        if (sink->fd != STDOUT_FILENO)
                sink->fd = fd_close(sink->fd);
}

void event_emit(const EventSink *sink, const char *name, Json *data) {
        _cleanup_js_ Json *j = data ?: js_object();
        _cleanup_free_ char *text = NULL, *line = NULL;

        if (sink->fd < 0 || !j || js_set(j, "event", js_string(name)) < 0)
                return;
        text = js_text(j, JS_SHORT);
        if (!text)
                return;
        _cleanup_(text_done) Text t = {};
        text_put(&t, text);
        text_put(&t, "\n");
        if (text_finish(&t, &line) < 0)
                return;
        /* Whoever listened may be gone: the guest goes on. */
        if (fd_write_all(sink->fd, line, strlen(line)) < 0)
                return;
}
