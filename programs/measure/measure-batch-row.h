/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One line of a batch: a launch, or several where its files are lists. */

#include "credential.h"
#include "json.h"
#include "measure-cli.h"

typedef struct BatchRow {
        MeasureArguments arguments; /* owned */
        const Json *id;             /* weak: in the line's object */
        char **initrds;             /* owned; more than one are merged */
        char **ovmfs, **kernels;    /* owned; each combination is a launch; NULL: as in arguments */
        CredentialSet credentials;
        char *expect; /* owned, or NULL */
} BatchRow;

void batch_row_done(BatchRow *row);
/* Starts from the command line's options; the members of the line override them. -EINVAL with an error message. The row is the caller's
 * to free after a failure, too. */
_warn_unused_result_ int batch_row_read(
                const CliArguments *a, const Json *line, BatchRow *row, char **reterr);
