/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a command has beside its output. */

#include <poll.h>
#include <stdint.h>

#include "adapter.h"

/* What the launcher says of its user's terminal: "ROWS COLUMNS apart|merged TERM" (launcher/run/run-terminal.c). */
typedef struct Terminal {
        bool wanted;
        bool error_apart; /* standard error is not on it */
        unsigned short rows, columns;
        char name[64]; /* for $TERM */
} Terminal;

/* What goes to the command. Its port has no memory, so each piece is asked for: two bytes that say how long it is, then as many; none are the
 * end (launcher/run/run-input.c). The highest bit of the length: it is about the terminal. */
typedef struct Input {
        int pipe; /* -1: it takes no more */
        int port;
        int terminal; /* weak; -1: there is none */
        uint8_t data[2 + ADAPTER_CHUNK];
        size_t have, written; /* head included */
} Input;

/* Asks for the first piece and waits for it: it is about the terminal. */
void adapter_input_first(Input *in, int notifications, Terminal *ret);
struct pollfd adapter_input_wanted(const Input *in);
void adapter_input_move(Input *in, short happened, int notifications);

/* The text of a piece, NUL-terminated; false: it is about none. */
bool adapter_terminal_parse(const char *text, Terminal *ret);
/* Two ends of a new one; the second is the command's. */
void adapter_terminal_open(const Terminal *t, int *ret_ours, int *ret_command);
void adapter_terminal_resize(int fd, const Terminal *t);
