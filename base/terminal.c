/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "terminal.h"

#include <stdlib.h>
#include <string.h>

#include "macro.h"

#define ESC 0x1bu
#define BEL 0x07u
#define DEL 0x7fu

enum {
        STATE_TEXT,
        STATE_ESCAPE,
        STATE_INTERMEDIATE, /* ESC and bytes 0x20 to 0x2f: the final byte is still to come */
        STATE_CSI,
        STATE_STRING, /* OSC, DCS, SOS, PM, APC: to BEL or ST */
        STATE_STRING_ESCAPE,
        STATE_UTF8,
};

typedef struct Sink {
        char *out;
        size_t n;
} Sink;

static void put(Sink *o, const char *data, size_t n) {
        memcpy(o->out + o->n, data, n);
        o->n += n;
}

static void put_hex(Sink *o, uint8_t b) {
        static const char digits[] = "0123456789abcdef";
        const char text[] = { '\\', 'x', digits[b >> 4], digits[b & 15] };

        put(o, text, sizeof(text));
}

static void put_newline(TerminalFilter *f, Sink *o) {
        if (f->coloured)
                put(o, "\033[0m", 4);
        f->coloured = false;
        put(o, "\n", 1);
        f->midline = false;
}

static void put_text(TerminalFilter *f, Sink *o, const char *data, size_t n) {
        put(o, data, n);
        f->midline = true;
}

static void keep(TerminalFilter *f, uint8_t b) {
        if (f->n_pending < sizeof(f->pending))
                f->pending[f->n_pending++] = (char) b;
}

/* Control characters beyond ASCII, line and paragraph separators, and what changes the direction of text. */
static bool is_harmful(uint32_t c) {
        return (c >= 0x80 && c <= 0x9f) || c == 0x061c || (c >= 0x200e && c <= 0x200f) ||
                        (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff ||
                        (c >= 0xfff9 && c <= 0xfffb);
}

static void end_character(TerminalFilter *f, Sink *o) {
        static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
        size_t n = f->n_pending;
        uint32_t c = (uint8_t) f->pending[0] & (0x7fu >> n);

        for (size_t i = 1; i < n; i++)
                c = c << 6 | ((uint8_t) f->pending[i] & 0x3f);
        if (c < least[n - 1] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                for (size_t i = 0; i < n; i++)
                        put_hex(o, (uint8_t) f->pending[i]);
        else if (!is_harmful(c))
                put(o, f->pending, n);
        f->midline = true;
        f->n_pending = 0;
        f->state = STATE_TEXT;
}

static void begin_character(TerminalFilter *f, Sink *o, uint8_t b) {
        f->needed = b >= 0xc2 && b <= 0xdf ? 1 : b >= 0xe0 && b <= 0xef ? 2 : b >= 0xf0 && b <= 0xf4 ? 3 : 0;
        if (f->needed == 0) {
                put_hex(o, b);
                f->midline = true;
                return;
        }
        f->n_pending = 0;
        keep(f, b);
        f->state = STATE_UTF8;
}

static void on_text(TerminalFilter *f, Sink *o, uint8_t b) {
        if (f->carriage && b != '\n' && b != '\r')
                put_newline(f, o);
        f->carriage = b == '\r';

        if (b == ESC)
                f->state = STATE_ESCAPE;
        else if (b == '\n')
                put_newline(f, o);
        else if (b == '\t' || (b >= 0x20 && b < DEL))
                put_text(f, o, (const char *) &b, 1);
        else if (b >= 0x80)
                begin_character(f, o, b);
        else if (b != '\r')
                put_text(f, o, (const char[]) { '^', (char) (b ^ 0x40) }, 2);
}

static void end_sequence(TerminalFilter *f, Sink *o, uint8_t final) {
        bool digits = true;

        f->state = STATE_TEXT;
        for (size_t i = 2; i < f->n_pending; i++)
                digits = digits && strchr("0123456789;:", f->pending[i]);
        if (final != 'm' || !digits || !f->colours || f->n_pending >= sizeof(f->pending))
                return;
        put(o, f->pending, f->n_pending);
        put(o, "m", 1);
        /* "CSI m" and "CSI 0 m" end all colours. */
        f->coloured = f->n_pending > 3 || (f->n_pending == 3 && f->pending[2] != '0');
}

/* True if the byte belongs to the sequence; else it is text, or another sequence's beginning. */
static bool in_sequence(TerminalFilter *f, Sink *o, uint8_t b) {
        if (f->state == STATE_ESCAPE && b == '[') {
                f->state = STATE_CSI;
                f->n_pending = 0;
                keep(f, ESC);
                keep(f, b);
                return true;
        }
        if (f->state == STATE_ESCAPE && strchr("]PX^_", b) && b) {
                f->state = STATE_STRING;
                f->swallowed = 0;
                return true;
        }
        if (b < 0x20 || b >= DEL) {
                f->state = STATE_TEXT;
                return false;
        }
        if (f->state == STATE_CSI) {
                if (b >= 0x40)
                        end_sequence(f, o, b);
                else
                        keep(f, b);
        } else
                f->state = b < 0x30 ? STATE_INTERMEDIATE : STATE_TEXT;
        return true;
}

static void in_string(TerminalFilter *f, uint8_t b) {
        if (b == BEL || (f->state == STATE_STRING_ESCAPE && b == '\\') ||
                        ++f->swallowed > TERMINAL_STRING_MAX)
                f->state = STATE_TEXT;
        else
                f->state = b == ESC ? STATE_STRING_ESCAPE : STATE_STRING;
}

static bool in_character(TerminalFilter *f, Sink *o, uint8_t b) {
        if (b < 0x80 || b > 0xbf) {
                for (size_t i = 0; i < f->n_pending; i++)
                        put_hex(o, (uint8_t) f->pending[i]);
                f->midline = true;
                f->n_pending = 0;
                f->state = STATE_TEXT;
                return false;
        }
        keep(f, b);
        if (--f->needed == 0)
                end_character(f, o);
        return true;
}

size_t terminal_filter(TerminalFilter *f, const char *data, size_t n, char *out) {
        Sink o = { .out = out };

        for (size_t i = 0; i < n; i++) {
                uint8_t b = (uint8_t) data[i];

                if (f->state == STATE_STRING || f->state == STATE_STRING_ESCAPE)
                        in_string(f, b);
                else if (f->state == STATE_TEXT ||
                                !(f->state == STATE_UTF8 ? in_character(f, &o, b) : in_sequence(f, &o, b)))
                        on_text(f, &o, b);
        }
        return o.n;
}

size_t terminal_filter_end(TerminalFilter *f, char *out) {
        Sink o = { .out = out };

        if (f->state == STATE_UTF8)
                (void) in_character(f, &o, 0);
        if (f->coloured || f->midline || f->carriage)
                put_newline(f, &o);
        *f = (TerminalFilter) { .colours = f->colours };
        return o.n;
}

char *terminal_visible(const char *text, size_t n) {
        TerminalFilter f = {};
        char *out = n < SIZE_MAX / 8 ? malloc(TERMINAL_ROOM(n) + 1) : NULL;
        size_t size;

        if (!out)
                return NULL;
        size = terminal_filter(&f, text, n, out);
        out[size] = 0;
        return out;
}
