/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The command lines that were found in a file, in its order. */

#include <stdbool.h>
#include <stddef.h>

#include "foreign-words.h"

/* A log with more launches is to be cut. */
#define FOREIGN_LINES_MAX 1000u

typedef struct ForeignLine {
        char **argv;    /* owned; argv[0] is the program */
        char **notices; /* owned: what was put right */
        size_t line;    /* where in the file, from 1 on */
        bool copy;      /* another log line about the same launch, of less worth */
} ForeignLine;

typedef struct ForeignLines {
        ForeignLine *items; /* owned */
        size_t n_items;
} ForeignLines;

void foreign_lines_done(ForeignLines *l);

/* Arguments of a written line, which are joined: see foreign-argv.h. -EINVAL with an error message. */
_warn_unused_result_ int foreign_list_words(ForeignLines *l, const Words *words, const char *source,
                size_t line, bool copy, char **reterr);
/* Arguments that are exact; what stands in front of the program is skipped. */
_warn_unused_result_ int foreign_list_exact(ForeignLines *l, char *const *argv, size_t line);
_warn_unused_result_ int foreign_list_strings(ForeignLines *l, const Words *words, size_t line);
/* Whether a word is an option of QEMU that takes the next word: "-accel kvm" names no program. */
bool foreign_takes_value(const char *word);
