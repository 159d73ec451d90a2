/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn status NAME: one guest. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control-guest.h"
#include "error.h"
#include "strutil.h"
#include "terminal.h"
#include "verb.h"

typedef struct Arguments {
        VerbCommon common;
} Arguments;

#define AT(member) offsetof(Arguments, member)

static const OptionRow rows[] = { VERB_ROWS("Output") };

static const OptionTable table = {
        .program = "cvmspawn status",
        .arguments = "NAME",
        .summary = "Show the state of a running guest, by its machine name or the path of its control socket.",
        .zone = "host",
        .epilog = "Exit status: 0 it runs or is paused, 3 it is not running, 1 usage error or failure. Manual: cvmspawn-status(1).",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
};

static int print_text(const ControlGuest *g) {
        _cleanup_free_ char *name = terminal_visible(g->name, strlen(g->name)),
                            *state = terminal_visible(g->state, strlen(g->state));

        if (!name || !state)
                return -ENOMEM;
        return printf("Machine: %s\nState: %s\nLauncher: process %d\nControl socket: %s\n", name, state,
                               (int) g->pid, g->path) < 0
                        ? -errno
                        : 0;
}

static int status_run(void *arguments, char **words, char **reterr) {
        const Arguments *a = arguments;
        _cleanup_(control_guest_done) ControlGuest g = { .connection = VARLINK_CONNECTION_NONE };
        _cleanup_js_ Json *j = NULL;
        int r;

        if (strv_length(words) != 1)
                return error_set(reterr, -EINVAL, "expected the name of one guest; see --help");
        r = control_find(words[0], &g, reterr);
        if (r < 0)
                return control_failed(r, reterr);
        control_ask(&g);
        if (g.error < 0 && g.error != -ETIMEDOUT)
                return error_set(reterr, g.error, "guest '%s' does not answer: %s", g.name,
                                g.error == -ECONNRESET ? "it has ended" : strerror(-g.error));
        if (!a->common.json)
                return print_text(&g);
        r = control_guest_json(&g, &j);
        return r < 0 ? r : verb_print_json(j, a->common.style);
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(Arguments),
        .common = AT(common),
        .run = status_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
