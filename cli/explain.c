/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn explain: what a saved log of QEMU or the kernel says about a launch that failed. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "log.h"
#include "options.h"
#include "run-explain.h"
#include "strutil.h"

#define LOG_MAX (64u * 1024u * 1024u) /* a kernel log has some MiB */

typedef struct ExplainArguments {
        bool help;
} ExplainArguments;

static const OptionRow rows[] = {
        { "help", 'h', OPTION_NONE, NULL, "Options", "Show this help", NULL, option_set_true,
                        offsetof(ExplainArguments, help), 0 },
};

static const OptionTable table = {
        .program = "cvmspawn explain",
        .arguments = "[FILE]",
        .summary = "Says what a log of QEMU or of the kernel means for a confidential launch; '-' or no "
                   "FILE: standard input.",
        .zone = "host",
        .epilog = "Exit status: 0 something was explained, 3 nothing known was found, 1 usage. Manual: "
                  "cvmspawn-explain(1).",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
};

/* Prints each cause once, with its line; general ones only where no better one was found. */
static int explain_text(char *text, ExplainRank wanted, bool *ret_found) {
        _cleanup_strv_free_ char **told = NULL;

        for (char *line = text, *next; line; line = next) {
                _cleanup_free_ char *sentence = NULL;
                ExplainRank rank = EXPLAIN_NOTHING;
                char *end = strchr(line, '\n');
                int r;

                next = end ? end + 1 : NULL;
                if (end)
                        *end = 0;
                r = explain_line(line, &rank, &sentence);
                if (end)
                        *end = '\n';
                if (r < 0)
                        return r;
                if (rank != wanted || !sentence || strv_contains(told, sentence))
                        continue;
                printf("%.*s\n    %s\n", (int) (end ? end - line : (ptrdiff_t) strlen(line)), line,
                                sentence);
                *ret_found = true;
                r = strv_push(&told, sentence);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int explain_file(const char *path, char **reterr) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        bool found = false;
        size_t size;
        int r;

        if (path && !streq(path, "-")) {
                fd = fd_open(path, O_RDONLY | O_NOCTTY, 0);
                if (fd < 0)
                        return error_set(reterr, fd, "cannot open '%s': %s", path, strerror(-fd));
        }
        r = fd_read_all(fd >= 0 ? fd : STDIN_FILENO, LOG_MAX, &text, &size);
        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", path ?: "standard input", strerror(-r));
        for (size_t i = 0; i < size; i++)
                if (text[i] == 0)
                        text[i] = ' ';

        r = explain_text(text, EXPLAIN_CAUSE, &found);
        if (r >= 0 && !found)
                r = explain_text(text, EXPLAIN_GENERAL, &found);
        if (r < 0)
                return r;
        if (!found)
                puts("Nothing in it is known to this program; 'cvmspawn check-host' looks at the host "
                     "itself.");
        return found ? 0 : 3;
}

int main(int argc, char **argv) {
        _cleanup_strv_free_ char **arguments = NULL;
        _cleanup_free_ char *error = NULL;
        ExplainArguments a = {};
        int r;

        if (options_dump_requested(&table, argc, argv))
                return 0;
        log_open("cvmspawn explain", /* quiet= */ false);
        r = options_parse(&table, argc, argv, &a, &arguments, &error);
        if (r >= 0 && strv_length(arguments) > 1)
                r = error_set(&error, -EINVAL, "one file at most is expected; see --help");
        if (r >= 0 && a.help) {
                options_help(&table, stdout);
                return 0;
        }
        if (r >= 0)
                r = explain_file(arguments ? arguments[0] : NULL, &error);
        if (r < 0)
                (void) log_failure(r, error);
        return r < 0 ? 1 : r;
}
