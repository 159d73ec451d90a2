/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct {
        const char *name;
        bool quiet;
} log_state = { .name = "cvmspawn" };

void log_open(const char *name, bool quiet) {
        log_state.name = name;
        log_state.quiet = quiet;
}

void log_full(LogLevel level, const char *format, ...) {
        static const char *const words[] = {
                [LOG_LEVEL_ERROR] = "",
                [LOG_LEVEL_WARNING] = "warning: ",
                [LOG_LEVEL_NOTICE] = "",
        };
        static_assert(ELEMENTSOF(words) == _LOG_LEVEL_MAX, "every level has a word");
        va_list ap;

        if (level == LOG_LEVEL_NOTICE && log_state.quiet)
                return;

        va_start(ap, format);
        flockfile(stderr);
        fprintf(stderr, "%s: %s", log_state.name, words[level]);
        vfprintf(stderr, format, ap);
        fputc('\n', stderr);
        funlockfile(stderr);
        va_end(ap);
}

int log_failure(int r, const char *sentence) {
        log_error("%s", sentence ? sentence : strerror(-r));
        return r;
}
