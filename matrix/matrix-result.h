/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How one guest of a matrix fared: what its launcher's events said (cvmspawn(1), --status-fd=) and how the launcher ended. */

#include <stdbool.h>
#include <stdint.h>

#include "json.h"
#include "matrix-file.h"

typedef enum GuestOutcome {
        GUEST_NOT_RUN, /* interrupted or cancelled before it was started */
        GUEST_PASSED,
        GUEST_FAILED,      /* the guest's status is not the expected one */
        GUEST_ERROR,       /* refused, timed out, QEMU or the launcher failed */
        GUEST_CANCELLED,   /* ended, since another one failed (--fail-fast) */
        GUEST_INTERRUPTED, /* ended by a signal to run-matrix */
        _GUEST_OUTCOME_MAX,
} GuestOutcome;

const char *guest_outcome_to_string(GuestOutcome o);

typedef enum GuestStage {
        STAGE_WAITING,
        STAGE_STARTING,
        STAGE_BOOTING, /* its first instruction has run */
        STAGE_RUNNING, /* it said that it is ready */
        STAGE_ENDED,
        _GUEST_STAGE_MAX,
} GuestStage;

const char *guest_stage_to_string(GuestStage s);

typedef struct MatrixResult {
        const MatrixGuest *guest; /* borrowed */
        GuestOutcome outcome;
        GuestStage stage;
        unsigned attempts;
        /* Of the last attempt: */
        unsigned status;                      /* of the launcher */
        char *source, *cause, *digest, *mode; /* owned, or NULL */
        bool simulated;
        char started[40];   /* RFC 3339, UTC; empty: not started */
        uint64_t begun;     /* CLOCK_MONOTONIC in microseconds */
        uint64_t usec;      /* from the launcher's start to its end */
        uint64_t cont_usec; /* until the guest's first instruction; 0: unknown */
} MatrixResult;

void matrix_result_done(MatrixResult *r);
/* Before another attempt: what the last one said is forgotten. */
void matrix_result_begin(MatrixResult *r);
/* One event, a line of JSON. What is not understood has no effect. */
_warn_unused_result_ int matrix_result_event(MatrixResult *r, const char *line, size_t n);
/* The launcher has ended: with a status, or by a signal (128 + n). */
void matrix_result_end(MatrixResult *r, unsigned status);
/* Why it did not pass, as one line; owned, NULL without memory. */
char *matrix_result_why(const MatrixResult *r);
/* The log of an attempt, from 1: "NAME.log", "NAME@2.log"; no name has an '@'. */
_warn_unused_result_ int matrix_log_name(const MatrixGuest *g, unsigned attempt, char **ret);
