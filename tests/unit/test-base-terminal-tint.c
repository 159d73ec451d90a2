/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "macro.h"
#include "terminal-tint.h"

static void colours(_unused_ void **state) {
        static const char *const good[] = { "40", "47", "100", "107", "48;5;0", "48;5;255", "48;2;0;60;255",
                "48;2;255;255;255" };
        static const char *const bad[] = { "", "4", "39", "48", "99", "108", "44;1", "48;5", "48;5;256",
                "48;2;1;2", "48;2;1;2;", "48;2;1;;3", "48;2;1;2;3;4", "48;3;1", "44m", "\x1b[44", "red",
                "48;2;0255;255;255" };

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_true(terminal_tint_valid(good[i]));
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_false(terminal_tint_valid(bad[i]));
}

/* In one piece and byte by byte. */
static void becomes(const char *text, const char *expected) {
        for (int bytes = 0; bytes < 2; bytes++) {
                TerminalTint t = { .colour = "44" };
                char out[4096];
                size_t n = strlen(text), k = 0;

                if (bytes)
                        for (size_t i = 0; i < n; i++)
                                k += terminal_tint(&t, text + i, 1, out + k);
                else
                        k = terminal_tint(&t, text, n, out);
                k += terminal_tint_end(&t, out + k);
                assert_int_equal(terminal_tint_end(&t, out + k), 0);
                out[k] = 0;
                assert_string_equal(out, expected);
        }
}

#define BEGIN "\x1b[44m\x1b[K"
#define AGAIN "\x1b[44m"
#define END   "\x1b[0m\x1b[K"

static void text_is_tinted(_unused_ void **state) {
        becomes("", "");
        becomes("a", BEGIN "a" END);
        becomes("a\r\nb\n", BEGIN "a\r\n\x1b[Kb\n\x1b[K" END);
        becomes("\x1b[31mred\x1b[0m.", BEGIN "\x1b[31mred\x1b[0m" AGAIN "." END);
        becomes("\x1b[m\x1b[49m\x1b[1;0m", BEGIN "\x1b[m" AGAIN "\x1b[49m" AGAIN "\x1b[1;0m" AGAIN END);
        becomes("\x1b"
                "c.",
                        BEGIN "\x1b"
                              "c" AGAIN "." END);
}

/* Parameters of colours are no resets, and its own background stays. */
static void its_own_colours_stay(_unused_ void **state) {
        becomes("\x1b[38;5;0mx\n", BEGIN "\x1b[38;5;0mx\n\x1b[K" END);
        becomes("\x1b[0;41mx\n", BEGIN "\x1b[0;41mx\n" END);
        becomes("\x1b[48;2;0;0;0mx\n\x1b[0m\n", BEGIN "\x1b[48;2;0;0;0mx\n\x1b[0m" AGAIN "\n\x1b[K" END);
        becomes("\x1b[?1049hx\n\x1b[?1049ly\n", BEGIN "\x1b[?1049hx\n\x1b[?1049ly\n\x1b[K" END);
}

/* The room suffices for the worst of it, and a sequence without an end. */
static void room(_unused_ void **state) {
        enum { N = 3000 };
        char *text = malloc(N), *out = malloc(TERMINAL_TINT_ROOM(N));
        TerminalTint t = { .colour = "48;2;255;255;255" };

        assert_non_null(text);
        assert_non_null(out);
        for (size_t period = 2; period <= 3; period++) {
                for (size_t i = 0; i < N; i++)
                        text[i] = (period == 2 ? "\x1b"
                                                 "c"
                                               : "\x1b[m")[i % period];
                assert_true(terminal_tint(&t, text, N, out) <= TERMINAL_TINT_ROOM(N));
        }
        memset(text, '\n', N);
        assert_true(terminal_tint(&t, text, N, out) <= TERMINAL_TINT_ROOM(N));
        memset(text, '1', N);
        text[0] = 0x1b;
        text[1] = '[';
        assert_int_equal(terminal_tint(&t, text, N, out), N); /* begun above */
        free(text);
        free(out);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(colours),
                cmocka_unit_test(text_is_tinted),
                cmocka_unit_test(its_own_colours_stay),
                cmocka_unit_test(room),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
