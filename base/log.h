/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The program's own voice on standard error: one sentence a line, prefixed with the program's name. Lives in its own
 * library (log_dep) that only programs link: library code returns sentences through `reterr` instead. */

#include <stdbool.h>

#include "macro.h"

typedef enum LogLevel {
        LOG_LEVEL_ERROR,
        LOG_LEVEL_WARNING, /* this and what follows is dropped by --quiet */
        LOG_LEVEL_NOTICE,
        _LOG_LEVEL_MAX,
} LogLevel;

/* name: borrowed for ever (a literal), e.g. "cvmspawn measure". */
void log_open(const char *name, bool quiet);
/* The name that each message begins with. */
const char *log_name(void);
/* Where lines go instead of standard error: a writer that does not wait. NULL: standard error again. */
typedef void (*LogWriter)(const char *text, size_t n, void *userdata);
void log_set_writer(LogWriter writer, void *userdata);
/* Control characters in what is said are shown as ^X. */
void log_full(LogLevel level, const char *format, ...) _printf_(2, 3);
#define log_error(...)   log_full(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_full(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  log_full(LOG_LEVEL_NOTICE, __VA_ARGS__)
/* Prints `sentence`, or strerror(-r) when there is none, frees nothing, and returns r. */
int log_failure(int r, const char *sentence);
