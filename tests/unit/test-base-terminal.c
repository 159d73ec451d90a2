/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include "test.h"

#include "macro.h"
#include "terminal.h"

#define SGR_LONG "1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1"

static const struct {
        const char *in, *out;
        bool colours;
} cases[] = {
        { "plain text\n", "plain text\n", true },
        { "a\tb\r\nc\r\r\nd\n", "a\tb\nc\nd\n", true },
        { "10%\r20%\r\n", "10%\n20%\n", true }, /* nothing is written over */
        { "\033[1;31mred\033[0m\n", "\033[1;31mred\033[0m\n", true },
        { "\033[1;31mred\033[0m\n", "red\n", false },
        { "\033[8mhidden\nnext\n", "\033[8mhidden\033[0m\nnext\n", true }, /* ends with its line */
        { "\033[38:2:1:2:3mx\n", "\033[38:2:1:2:3mx\033[0m\n", true },
        { "\033[>4;1mx\n", "x\n", true },         /* xterm's modifyOtherKeys has the letter of SGR */
        { "\033[" SGR_LONG "mx\n", "x\n", true }, /* longer than anything honest */
        { "\033[2J\033[H\033[3Jcleared\033c\n", "cleared\n", true },
        { "\033[6n\033[c\033[>c\033[=c\033Z\033[5n?\n", "?\n", true }, /* queries: nobody answers */
        { "\033]0;title\007a\033]52;c;AAAA\033\\b\033P$q\"p\033\\c\n", "abc\n", true },
        { "\033_apc\033\\\033^pm\033\\\033Xsos\033\\d\n", "d\n", true },
        { "\033]8;;http://x\033\\link\033]8;;\033\\\n", "link\n", true },
        { "\033(0\033)B\033#8\033%Gx\n", "x\n", true }, /* character sets, DECALN */
        { "\033[?1049h\033[?25l\0337\0338\033[?1000hx\n", "x\n", true },
        { "a\bb\ac\x7f\x0e\x0f\x05\n", "a^Hb^Gc^?^N^O^E\n", true },
        { "\033[1\n2Jx\n", "\n2Jx\n", true }, /* a control character ends the sequence */
        { "\033[1\033[2Jx\n", "x\n", true },  /* and so does another beginning */
        { "\303\244\342\202\254\360\237\230\200\n", "\303\244\342\202\254\360\237\230\200\n", true },
        { "\302\2332Jx\n", "2Jx\n", true },                                /* CSI as one character, U+009B */
        { "\2332Jx\n", "\\x9b2Jx\n", true },                               /* and as one byte */
        { "\300\257\355\240\200\n", "\\xc0\\xaf\\xed\\xa0\\x80\n", true }, /* overlong, surrogate */
        { "\342\202\n\377\n", "\\xe2\\x82\n\\xff\n", true },
        { "a\342\200\256b\342\200\250c\n", "abc\n", true }, /* right-to-left override, line separator */
        { "no newline", "no newline\n", true },
        { "half \342\202", "half \\xe2\\x82\n", true },
        { "\033[", "", true },
        { "", "", true },
};

static void filter(const char *in, size_t n, size_t step, bool colours, char *out) {
        TerminalFilter f = { .colours = colours };
        size_t size = 0;

        for (size_t i = 0; i < n; i += step)
                size += terminal_filter(&f, in + i, MIN(step, n - i), out + size);
        size += terminal_filter_end(&f, out + size);
        out[size] = 0;
}

static void only_text_and_colours_pass(_unused_ void **state) {
        char out[1024];

        /* In one piece, and cut anywhere. */
        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases))
                for (size_t step = 1; step <= strlen(c->in) + 1; step++) {
                        filter(c->in, strlen(c->in), step, c->colours, out);
                        assert_string_equal(out, c->out);
                }
}

static void strings_without_end_swallow_little(_unused_ void **state) {
        static char in[3 * TERMINAL_STRING_MAX], out[TERMINAL_ROOM(sizeof(in)) + 1];

        memset(in, 'x', sizeof(in));
        memcpy(in, "\033]", 2);
        filter(in, sizeof(in), sizeof(in), true, out);
        assert_in_range(strlen(out), sizeof(in) - TERMINAL_STRING_MAX - 10, sizeof(in));
}

/* Any bytes: what comes out is harmless, and fits the room that was promised. */
static void nothing_else_passes(_unused_ void **state) {
        static char in[4096], out[TERMINAL_ROOM(sizeof(in)) + 1];
        uint32_t seed = 1;

        for (size_t round = 0; round < 2000; round++) {
                static const char often[] = "\033[];m0123\r\n\t\007\\PX^_ Jn\302\233\342\200\256";

                for (size_t i = 0; i < sizeof(in); i++) {
                        seed = seed * 1664525u + 1013904223u;
                        in[i] = round % 2 ? (char) (seed >> 24) : often[(seed >> 16) % (sizeof(often) - 1)];
                }
                filter(in, sizeof(in), round % 97 + 1, true, out);
                assert_true(strlen(out) <= TERMINAL_ROOM(sizeof(in)));
                for (const char *p = out; *p; p++) {
                        uint8_t b = (uint8_t) *p;

                        if (b == 0x1b) {
                                assert_int_equal(p[1], '[');
                                p += 2 + strspn(p + 2, "0123456789;:");
                                assert_int_equal(*p, 'm');
                                continue;
                        }
                        assert_true(b == '\n' || b == '\t' || (b >= 0x20 && b != 0x7f));
                        assert_false(b == 0xc2 && (uint8_t) p[1] < 0xa0);
                }
        }
}

static void whole_texts_become_visible(_unused_ void **state) {
        static const char text[] = "a\0b\033[31mc\001";
        char *out = terminal_visible(text, sizeof(text) - 1);

        assert_string_equal(out, "a^@bc^A");
        free(out);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(only_text_and_colours_pass),
                cmocka_unit_test(strings_without_end_swallow_little),
                cmocka_unit_test(nothing_else_passes),
                cmocka_unit_test(whole_texts_become_visible),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
