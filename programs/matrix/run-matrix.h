/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The parts of `cvmspawn run-matrix`. */

#include <stdbool.h>
#include <stdint.h>

#include "matrix-file.h"
#include "matrix-result.h"
#include "verb.h"

typedef struct Arguments {
        unsigned jobs; /* 0: as many as processors */
        char *output;
        char **guests;
        char *retry, *launch;
        unsigned expect_status;
        bool fail_fast, print, quiet;
        VerbCommon common;
} Arguments;

typedef struct MatrixShow MatrixShow;

/* What is running: the guests of the matrix, the folders, and how it goes on. */
typedef struct MatrixRun {
        const Arguments *args;
        const char *program; /* of the launcher */
        int source;          /* the folder that relative names begin at */
        int output;          /* the folder of the results */
        int lines;           /* results.jsonl */
        unsigned jobs;
        MatrixResult *results;
        size_t n;
        MatrixShow *show;

        int signal; /* that interrupts it; 0: none */
        bool failed_fast;
} MatrixRun;

/* Asks cvmspawn about the options of each guest, before any of them runs. */
_warn_unused_result_ int matrix_check(const MatrixRun *m, char **reterr);
/* Runs all guests. 0: all have ended, or a signal has been answered (m->signal). */
_warn_unused_result_ int matrix_run(MatrixRun *m, char **reterr);

/* results.jsonl, which has whole lines at all times, and what is written at the end. */
_warn_unused_result_ int matrix_output_open(const Arguments *a, MatrixRun *m, char **reterr);
/* The log of this attempt, empty. */
int matrix_output_log(const MatrixRun *m, const MatrixResult *r, char **reterr);
_warn_unused_result_ int matrix_output_line(const MatrixRun *m, const MatrixResult *r, char **reterr);
_warn_unused_result_ int matrix_output_finish(const MatrixRun *m, const char *name, char **reterr);

/* On a terminal a table of the guests that run, below a line for each one that has ended; elsewhere these lines only. */
_warn_unused_result_ int matrix_show_new(const MatrixRun *m, MatrixShow **ret);
MatrixShow *matrix_show_free(MatrixShow *s);
bool matrix_show_live(const MatrixShow *s);
void matrix_show_draw(MatrixShow *s);
void matrix_show_clear(MatrixShow *s);
void matrix_show_ended(MatrixShow *s, const MatrixResult *r, bool again);

uint64_t matrix_usec(void); /* CLOCK_MONOTONIC */
/* The exit status of a wait status, 128 + n for signals. */
unsigned matrix_status(int code, int status);
