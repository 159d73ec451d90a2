/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A background colour under somebody's text on a terminal: the text passes unchanged, and the colour is set again wherever the text resets it
 * (SGR without parameters, 0 or 49, and RIS: ECMA-48 8.3.117, 8.3.105). The rest of each line is filled; not on the alternate screen, where
 * programs draw and lines have no rest. A background that the text sets for itself counts until it is reset. */

#include <stdbool.h>
#include <stddef.h>

#define TERMINAL_TINT_MAX 16u /* bytes of the colour: "48;2;255;255;255" */

typedef struct TerminalTint {
        const char *colour; /* weak: SGR's parameters, which terminal_tint_valid() */

        unsigned state;
        char parameters[48];
        size_t n_parameters;
        bool begun;     /* the colour has been set */
        bool own;       /* the text has set one */
        bool alternate; /* screen */
} TerminalTint;

/* The most that n bytes can become. */
#define TERMINAL_TINT_ROOM(n) ((n) *11 + TERMINAL_TINT_MAX + 16)

/* True for parameters of SGR that set a background: 40 to 47, 100 to 107, 48;5;N and 48;2;R;G;B. */
bool terminal_tint_valid(const char *colour);
/* Writes to `out`, which has TERMINAL_TINT_ROOM(n) bytes; returns how many. */
size_t terminal_tint(TerminalTint *t, const char *data, size_t n, char *out);
/* At the end, or before somebody else writes: the terminal's own colour. TERMINAL_TINT_ROOM(0) bytes. */
size_t terminal_tint_end(TerminalTint *t, char *out);
