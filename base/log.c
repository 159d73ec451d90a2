/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "terminal.h"

static struct {
        const char *name;
        bool quiet;
        LogWriter writer; /* NULL: standard error */
        void *userdata;
} log_state = { .name = "cvmspawn" };

void log_open(const char *name, bool quiet) {
        log_state.name = name;
        log_state.quiet = quiet;
}

const char *log_name(void) {
        return log_state.name;
}

void log_set_writer(LogWriter writer, void *userdata) {
        log_state.writer = writer;
        log_state.userdata = userdata;
}

static void write_log(const char *text, size_t n) {
        if (log_state.writer)
                log_state.writer(text, n, log_state.userdata);
        else
                (void) fwrite(text, 1, n, stderr);
}

/* Allocates nothing. */
static void write_out_of_memory(void) {
        char line[128];
        int n = snprintf(line, sizeof(line), "%.100s: out of memory\n", log_state.name);

        if (n > 0)
                write_log(line, (size_t) n);
}

void log_full(LogLevel level, const char *format, ...) {
        static const char *const words[] = {
                [LOG_LEVEL_ERROR] = "",
                [LOG_LEVEL_WARNING] = "warning: ",
                [LOG_LEVEL_NOTICE] = "",
        };
        static_assert(ELEMENTSOF(words) == _LOG_LEVEL_MAX, "every level has a word");
        _cleanup_free_ char *text = NULL, *line = NULL, *shown = NULL;
        va_list ap;
        int n;

        if (level != LOG_LEVEL_ERROR && log_state.quiet)
                return;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0) {
                text = NULL;
                write_out_of_memory();
                return;
        }
        /* What others said may be quoted in it: QEMU, a guest, the name of a file. */
        shown = terminal_visible(text, (size_t) n);
        n = shown ? asprintf(&line, "%s: %s%s\n", log_state.name, words[level], shown) : -1;
        if (n < 0) {
                line = NULL;
                write_out_of_memory();
                return;
        }
        write_log(line, (size_t) n);
}

int log_failure(int r, const char *sentence) {
        if (sentence)
                log_error("%s", sentence);
        else if (r == -ENOMEM)
                log_error("out of memory");
        else /* a bare errno says neither what failed nor where: the caller's mistake, and shown as one */
                log_error("internal error: a step failed without a message (%s); please report it with the command line",
                                strerror(-r));
        return r;
}
