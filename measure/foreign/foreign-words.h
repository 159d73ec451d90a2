/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Text to words, in the forms in which command lines are written down: as bash reads them (bash(1), QUOTING), as ps(1) shows them
 * (blanks only, nothing quoted), and as lists of quoted strings (Python, Go, Rust, JSON). */

#include <stdbool.h>
#include <stddef.h>

#include "macro.h"

/* A line with more words is not a command line. */
#define WORDS_MAX 65536u

typedef struct Word {
        char *text;        /* owned; without its quotes */
        size_t begin, end; /* where it stands in the source */
        bool quoted;       /* some of it was quoted */
} Word;

typedef struct Words {
        Word *items; /* owned */
        size_t n_items;
        bool raw;      /* split at blanks only: quotes are bytes like others */
        size_t end;    /* where the command ended in the source */
        bool raw_json; /* a word begins with {" outside quotes: no shell has seen this line */
} Words;

void words_done(Words *w);

/* One command from the beginning of `text` on: it ends at a newline, unless the next line begins with an option, or at an operator of the
 * shell. What a shell would replace ($NAME, `...`, ~) and what it would not understand (curly quotes) is refused. */
_warn_unused_result_ int words_shell(const char *text, Words *ret, char **reterr);
/* Blanks separate, except inside JSON objects; `n` bytes. */
_warn_unused_result_ int words_raw(const char *text, size_t n, Words *ret);
/* "a" "b" or 'a', 'b': as long as quoted strings follow each other, with at most a comma between. */
_warn_unused_result_ int words_strings(const char *text, Words *ret, char **reterr);
/* The content of a string that begins with the quote at `text`; escapes of Go, Rust, Python and JSON. *ret is owned, *ret_end the byte after
 * the closing quote. */
_warn_unused_result_ int words_unquote(const char *text, char **ret, const char **ret_end, char **reterr);
