/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reads what the simulated host recorded and says it: in lines, each of which says that it is a simulation, or as JSON. */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "json.h"
#include "macro.h"

typedef struct SevsimLaunch {
        char *name;        /* owned: launch-NNN */
        char *folder;      /* owned */
        char *vm_type;     /* owned, or NULL */
        char *digest;      /* owned, or NULL: the launch did not get that far */
        char *measurement; /* owned, or NULL: SEV and SEV-ES only */
        char **secrets;    /* owned: "GUID, N bytes" */
        char **refused;    /* owned: "COMMAND: reason" */
        size_t commands;
        bool finished;
} SevsimLaunch;

typedef struct SevsimReport {
        SevsimLaunch *launches; /* owned */
        size_t n_launches;
        char *predicted; /* owned, or NULL */
} SevsimReport;

typedef enum SevsimMatch {
        SEVSIM_MATCH_UNKNOWN, /* nothing to compare with, or nothing recorded */
        SEVSIM_MATCH_EQUAL,
        SEVSIM_MATCH_DIFFERENT,
} SevsimMatch;

void sevsim_report_done(SevsimReport *report);
/* Reads the launches of the folder after the first `before` ones. `predicted` is copied; where it is NULL a file
 * `predicted-digest` that a launcher left in the folder counts. */
_warn_unused_result_ int sevsim_report_read(const char *record, unsigned before, const char *predicted,
                SevsimReport *ret, char **reterr);
SevsimMatch sevsim_report_match(const SevsimReport *report);
void sevsim_report_print(const SevsimReport *report, bool kept, FILE *f);
_warn_unused_result_ int sevsim_report_json(
                const SevsimReport *report, JsStyle style, int status, char **ret);
