/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The journal's native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram per message, a line per field. The socket is opened early and is
 * never connected, so that a journal that was restarted gets what comes after; sd_journal_send() would open its own when the first message comes, which
 * this service may not do any more by then. */

#include "attestd-journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "macro.h"
#include "strutil.h"
#include "terminal.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

static int journal_fd = -EBADF; /* for the process */

/* systemd.exec(5): device and inode of the stream that the journal reads. Another file may have taken its place. */
static bool is_journal(int fd) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(fd, &st) >= 0 &&
                        st.st_dev == device && st.st_ino == inode;
}

void journal_open(void) {
        if (journal_fd < 0 && is_journal(STDERR_FILENO))
                journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* A value has no newline: it would begin another field. */
static void put(Text *t, const char *name, const char *value) {
        _cleanup_free_ char *shown = terminal_visible(value, strlen(value));

        text_putf(t, "%s=", name);
        for (const char *p = shown ?: ""; *p; p++)
                text_put_n(t, *p == '\n' ? " " : p, 1);
        text_put(t, "\n");
}

/* "/vm/ID..." names a registration, and "/vm/ID/launches/LAUNCH..." a launch, too. */
static void put_path(Text *t, const char *path) {
        const char *id = startswith(path, "/vm/"), *end = id ? strchrnul(id, '/') : NULL;
        const char *launch = end ? startswith(end, "/launches/") : NULL;
        _cleanup_free_ char *vm = NULL, *name = NULL;

        if (id && end > id && (vm = strndup(id, (size_t) (end - id))))
                put(t, "CVMSPAWN_REGISTRATION", vm);
        if (launch && *launch && (name = strndup(launch, (size_t) (strchrnul(launch, '/') - launch))))
                put(t, "CVMSPAWN_LAUNCH", name);
}

static bool send_fields(LogLevel level, const JournalFields *f, const char *message) {
        static const int priorities[] = {
                [LOG_LEVEL_ERROR] = LOG_ERR,
                [LOG_LEVEL_WARNING] = LOG_WARNING,
                [LOG_LEVEL_NOTICE] = LOG_NOTICE,
        };
        static_assert(ELEMENTSOF(priorities) == _LOG_LEVEL_MAX, "every level has a priority");
        const struct sockaddr_un where = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *datagram = NULL;

        put(&t, "MESSAGE", message);
        text_putf(&t, "PRIORITY=%d\nMESSAGE_ID=%s\nSYSLOG_IDENTIFIER=%s\n", priorities[level], f->id,
                        log_name());
        if (f->method) {
                put(&t, "CVMSPAWN_METHOD", f->method);
                put(&t, "CVMSPAWN_PATH", f->path);
                put_path(&t, f->path);
        }
        if (f->error < 0)
                text_putf(&t, "ERRNO=%d\n", -f->error);
        return text_finish(&t, &datagram) >= 0 &&
                        sendto(journal_fd, datagram, strlen(datagram), MSG_NOSIGNAL,
                                        (const struct sockaddr *) &where, sizeof(where)) >= 0;
}

void journal_log(LogLevel level, const JournalFields *fields, const char *format, ...) {
        _cleanup_free_ char *message = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&message, format, ap);
        va_end(ap);
        if (n < 0) {
                message = NULL;
                log_full(level, "out of memory");
        } else if (journal_fd < 0 || !send_fields(level, fields, message))
                log_full(level, "%s", message);
}
