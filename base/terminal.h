/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Text of somebody who is not trusted, made fit for a terminal: printable characters (UTF-8 included), tabs, newlines and colours
 * (SGR) pass; every other control sequence is dropped, every other control character is shown as ^X. So a guest can neither
 * clear the screen, nor move the cursor, set the title, or make the terminal answer a query.
 *
 * Sequences: ECMA-48 (5th edition) 5.4 control sequences, 5.6 control strings, 8.3.117 SGR. UTF-8: RFC 3629. Directional
 * formatting characters are dropped too: they make text read differently from what it is (Unicode Technical Report 36). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TERMINAL_SEQUENCE_MAX 48u   /* bytes of a colour sequence; longer ones are dropped */
#define TERMINAL_STRING_MAX   4096u /* bytes that a control string without an end may swallow */

typedef struct TerminalFilter {
        bool colours; /* let SGR pass; set by the caller */

        unsigned state;
        char pending[TERMINAL_SEQUENCE_MAX];
        size_t n_pending;
        size_t swallowed;
        unsigned needed; /* continuation bytes of a UTF-8 character */
        bool coloured;   /* a colour is in force */
        bool carriage;   /* a carriage return waits for its newline */
        bool midline;
} TerminalFilter;

/* The most that n bytes, and the end, can become. */
#define TERMINAL_ROOM(n) ((n) *5 + 4 * TERMINAL_SEQUENCE_MAX + 8)

/* Writes to `out`, which has TERMINAL_ROOM(n) bytes; returns how many. Zero-initialised is the beginning. Colours end with
 * their line at the latest. A carriage return alone begins a new line, so that nothing is written over. */
size_t terminal_filter(TerminalFilter *f, const char *data, size_t n, char *out);
/* At the end, or before somebody else writes: colours and the line are ended. TERMINAL_ROOM(0) bytes. */
size_t terminal_filter_end(TerminalFilter *f, char *out);

/* The same for one whole text without colours: owned, or NULL without memory. */
char *terminal_visible(const char *text, size_t n);
