/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "terminal-tint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "macro.h"
#include "strutil.h"

enum { TEXT, ESCAPE, CONTROL };

/* The next number of "1;;38:5:7", or -ENODATA at the end; an empty one is 0. */
static int next_number(const char **p) {
        int v = 0;

        if (!*p)
                return -ENODATA;
        for (; **p >= '0' && **p <= '9'; (*p)++)
                v = MIN(v * 10 + (**p - '0'), 9999);
        *p = **p ? *p + 1 : NULL;
        return v;
}

bool terminal_tint_valid(const char *colour) {
        const char *p = colour;
        int v, kind;

        if (strlen(colour) > TERMINAL_TINT_MAX || !*colour ||
                        strspn(colour, "0123456789;") != strlen(colour))
                return false;
        v = next_number(&p);
        if ((v >= 40 && v <= 47) || (v >= 100 && v <= 107))
                return !p;
        kind = v == 48 ? next_number(&p) : -ENODATA;
        for (int i = 0; i < (kind == 2 ? 3 : kind == 5 ? 1 : 0); i++) {
                v = p && *p && *p != ';' ? next_number(&p) : -ENODATA;
                if (v < 0 || v > 255)
                        return false;
        }
        return (kind == 2 || kind == 5) && !p;
}

/* What SGR with these parameters does to the background. */
static void apply(TerminalTint *t, bool *reset) {
        const char *p = t->parameters;

        for (int v = next_number(&p); v >= 0; v = next_number(&p)) {
                bool colour = v == 38 || v == 48;

                if (v == 0 || v == 49) {
                        *reset = true;
                        t->own = false;
                } else if ((v >= 40 && v <= 48) || (v >= 100 && v <= 107))
                        t->own = true;
                if (colour) {
                        int kind = next_number(&p);

                        for (int i = 0; i < (kind == 2 ? 3 : 1); i++)
                                (void) next_number(&p);
                }
        }
}

/* The end of a control sequence. True if the colour has to be set again. */
static bool on_final(TerminalTint *t, char final) {
        bool reset = false;

        t->parameters[t->n_parameters] = 0;
        if (final == 'm')
                apply(t, &reset);
        else if ((final == 'h' || final == 'l') &&
                        (streq(t->parameters, "?1049") || streq(t->parameters, "?47")))
                t->alternate = final == 'h';
        return reset && !t->own;
}

/* True if the colour has to be set again behind this byte. */
static bool step(TerminalTint *t, char c) {
        if (c == 0x1b) {
                t->state = ESCAPE;
                return false;
        }
        if (t->state == ESCAPE) {
                t->n_parameters = 0;
                t->state = c == '[' ? CONTROL : TEXT;
                if (c == 'c')
                        t->own = t->alternate = false;
                return c == 'c';
        }
        if (t->state == TEXT)
                return false;
        if (c >= 0x40 && c <= 0x7e) {
                t->state = TEXT;
                return on_final(t, c);
        }
        if (t->n_parameters < sizeof(t->parameters) - 1)
                t->parameters[t->n_parameters++] = c;
        return false;
}

static size_t set(TerminalTint *t, char *out) {
        int k;

        t->begun = true;
        k = snprintf(out, TERMINAL_TINT_MAX + 4, "\x1b[%sm", t->colour);
        return k < 0 ? 0 : MIN((size_t) k, (size_t) TERMINAL_TINT_MAX + 3);
}

/* From the cursor to the end of the line: EL, ECMA-48 8.3.41. */
static size_t fill(char *out) {
        memcpy(out, "\x1b[K", 3);
        return 3;
}

size_t terminal_tint(TerminalTint *t, const char *data, size_t n, char *out) {
        size_t k = 0;

        if (n > 0 && !t->begun) {
                k = set(t, out);
                k += fill(out + k);
        }
        for (size_t i = 0; i < n; i++) {
                bool text = t->state == TEXT;

                out[k++] = data[i];
                if (step(t, data[i]))
                        k += set(t, out + k);
                /* The new line, which is empty: not the rest of this one, which may have been returned to. */
                else if (text && data[i] == '\n' && !t->own && !t->alternate)
                        k += fill(out + k);
        }
        return k;
}

size_t terminal_tint_end(TerminalTint *t, char *out) {
        if (!t->begun)
                return 0;
        t->begun = false;
        memcpy(out, "\x1b[0m", 4);
        return 4 + fill(out + 4);
}
