/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn explain: what a saved log of QEMU or the kernel says about a launch that failed. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "explain.h"
#include "fd.h"
#include "strutil.h"
#include "terminal.h"
#include "verb.h"

#define LOG_MAX (64u * 1024u * 1024u) /* a kernel log has some MiB */

typedef struct Arguments {
        VerbCommon common;
} Arguments;

#define AT(member) offsetof(Arguments, member)

static const OptionRow rows[] = { VERB_HELP_ROWS };

static const OptionTable table = {
        .program = "cvmspawn explain",
        .arguments = "[FILE]",
        .summary = "Explain what a log of QEMU or of the kernel means for a confidential launch; '-' or no FILE: standard input.",
        .zone = "host",
        .epilog = "Exit status: 0 at least one message was explained, 3 no known message was found, 1 usage error. Manual: "
                  "cvmspawn-explain(1).",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
};

/* EXPLAIN_NOTHING asks for the technologies that are active. */
static int explain_as(const char *line, ExplainRank wanted, char **ret) {
        _cleanup_free_ char *sentence = NULL;
        ExplainRank rank = wanted;
        int r = wanted == EXPLAIN_NOTHING ? explain_active(line, &sentence)
                                          : explain_line(line, &rank, &sentence);

        *ret = r >= 0 && rank == wanted ? TAKE_PTR(sentence) : NULL;
        return r;
}

/* Prints each cause once, with its line; general ones only where no better one was found. */
static int explain_text(char *text, ExplainRank wanted, bool *ret_found) {
        _cleanup_strv_free_ char **told = NULL;

        for (char *line = text, *next; line; line = next) {
                _cleanup_free_ char *sentence = NULL;
                char *end = strchr(line, '\n');
                int r;

                next = end ? end + 1 : NULL;
                if (end)
                        *end = 0;
                r = explain_as(line, wanted, &sentence);
                if (end)
                        *end = '\n';
                if (r < 0)
                        return r;
                if (!sentence || strv_contains(told, sentence))
                        continue;
                _cleanup_free_ char *shown =
                                terminal_visible(line, end ? (size_t) (end - line) : strlen(line));
                if (!shown)
                        return -ENOMEM;
                printf("%s\n    %s\n", shown, sentence);
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
                fd = fd_open_read(path, PIPE_WRITER_USEC);
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
        if (r >= 0)
                r = explain_text(text, EXPLAIN_NOTHING, &found);
        if (r < 0)
                return r;
        if (!found)
                puts("No known messages found; 'cvmspawn check-host' checks the host itself.");
        return found ? 0 : 3;
}

static int explain_run(_unused_ void *arguments, char **words, char **reterr) {
        if (strv_length(words) > 1)
                return error_set(reterr, -EINVAL, "expected at most one file; see --help");
        return explain_file(words ? words[0] : NULL, reterr);
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(Arguments),
        .common = AT(common),
        .run = explain_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
