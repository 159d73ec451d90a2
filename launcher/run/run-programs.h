/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Other programs of cvmspawn, found beside this one, as children that answer with one JSON text. */

#include "json.h"
#include "process.h"

/* The path of another program of cvmspawn: beside this one. In a build directory they are called verb-NAME, installed
 * just NAME. *ret is owned; -ENOENT if it is not there. */
_warn_unused_result_ int run_find_program(const char *name, char **ret, char **reterr);

/* A program's message without the "cvmspawn NAME: " at its beginning. */
const char *program_sentence(const char *name, const char *line);

/* A descriptor of a part of the simulation: beside this program, or in the room of a build directory. */
_warn_unused_result_ int run_simulation_fd(const char *name, char **reterr);

/* What a program that somebody else made says to --version or --help, on either output; *ret is owned. */
_warn_unused_result_ int run_ask(const char *program, const char *option, char **ret, char **reterr);

typedef struct ProgramChild {
        const char *name; /* borrowed */
        Process process;
        int out, err; /* owned; `out` turns readable when the answer comes */
} ProgramChild;

#define PROGRAM_CHILD_NONE ((ProgramChild) { .process = PROCESS_NONE, .out = -EBADF, .err = -EBADF })

/* arguments: NULL-terminated, without the program itself. name must outlive the child. */
_warn_unused_result_ int program_child_start(const char *name, char *const *arguments, const int *keep_fds,
                size_t n_keep_fds, ProgramChild *ret, char **reterr);
/* Waits for the answer and the end of the child. What it says when it fails is the error's sentence. */
_warn_unused_result_ int program_child_finish(ProgramChild *c, Json **ret, char **reterr);
void program_child_done(ProgramChild *c);
