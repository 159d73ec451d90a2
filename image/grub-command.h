/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For the files of GRUB's scripts only: from text to commands. */

#include "grub-script.h"

#define GRUB_STEPS_MAX 1000000u /* commands, over all menus and entries */

typedef struct Script {
        const char *p, *end;
        unsigned *steps; /* weak */
        char **reterr;
} Script;

typedef enum CommandEnd {
        COMMAND_PLAIN,
        COMMAND_BLOCK, /* a "{" follows */
        COMMAND_CLOSE, /* a "}" alone */
        COMMAND_EOF,
} CommandEnd;

typedef struct Command {
        char **words; /* owned */
        CommandEnd end;
} Command;

void command_done(Command *c);
/* The next command that has words, or an end. env: NULL, variables are empty. */
_warn_unused_result_ int command_read(Script *s, const GrubEnv *env, Command *c);
/* Behind a "{": the block up to its end, which is passed. */
_warn_unused_result_ int command_skip_block(Script *s, const char **ret, size_t *ret_size);
/* The arguments of "if": whether it is true. */
bool command_condition(char *const *words);
