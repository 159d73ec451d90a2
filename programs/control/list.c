/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn list: the guests that run. */

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
        .program = "cvmspawn list",
        .summary = "List the running guests: this user's, and root's.",
        .zone = "host",
        .epilog = "Exit status: 0, also without guests; 1 usage error or failure. Manual: cvmspawn-list(1).",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
};

static int print_json(const ControlGuests *l, JsStyle style) {
        _cleanup_js_ Json *list = js_array();
        int r = list ? 0 : -ENOMEM;

        for (size_t i = 0; i < l->n_guests && r >= 0; i++) {
                Json *guest = NULL;

                r = control_guest_json(l->guests + i, &guest);
                if (r >= 0)
                        r = js_append(list, guest);
        }
        return r < 0 ? r : verb_print_json(list, style);
}

/* Folders can have any name. */
static int print_row(const ControlGuest *g, int width) {
        _cleanup_free_ char *name = terminal_visible(g->name, strlen(g->name)),
                            *state = terminal_visible(g->state, strlen(g->state));
        char pid[16] = "-";

        if (!name || !state)
                return -ENOMEM;
        if (g->pid > 0)
                (void) snprintf(pid, sizeof(pid), "%d", (int) g->pid);
        return printf("%-*s  %-13s  %7s  %s\n", width, name, state, pid, g->path) < 0 ? -errno : 0;
}

static int print_table(const ControlGuests *l) {
        int width = (int) strlen("MACHINE"), r = 0;

        if (l->n_guests == 0) {
                puts("No guests.");
                return 0;
        }
        for (size_t i = 0; i < l->n_guests; i++) {
                int n = (int) strlen(l->guests[i].name);

                width = MAX(width, n);
        }
        printf("%-*s  %-13s  %7s  %s\n", width, "MACHINE", "STATE", "PID", "CONTROL SOCKET");
        for (size_t i = 0; i < l->n_guests && r >= 0; i++)
                r = print_row(l->guests + i, width);
        return r;
}

static int list_run(void *arguments, char **words, char **reterr) {
        const Arguments *a = arguments;
        _cleanup_(control_guests_done) ControlGuests l = {};
        int r;

        if (words)
                return error_set(reterr, -EINVAL, "unexpected argument '%s'; see --help", words[0]);
        r = control_find_all(&l, reterr);
        if (r >= 0)
                r = a->common.json ? print_json(&l, a->common.style) : print_table(&l);
        return r;
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(Arguments),
        .common = AT(common),
        .run = list_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
