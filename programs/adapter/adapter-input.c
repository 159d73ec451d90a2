/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The standard input of the command of --run=, and its terminal's size. */

#include "adapter-run.h"

#include <errno.h>
#include <unistd.h>

/* The length of the piece with its head, once that is known. */
static size_t piece(const Input *in) {
        return in->have < 2 ? 2 : 2 + (size_t) (in->data[0] | (in->data[1] & 0x7f) << 8);
}

static bool is_about_terminal(const Input *in) {
        return in->have >= 2 && in->data[1] & 0x80;
}

/* More of the piece; true once it is there. */
static bool read_piece(Input *in) {
        ssize_t n = read(in->port, in->data + in->have, piece(in) - in->have);

        if (n > 0)
                in->have += (size_t) n;
        if (piece(in) >= sizeof(in->data))
                adapter_fail("a piece of the standard input is too long", NULL);
        in->written = 2;
        return in->have >= 2 && in->have == piece(in);
}

/* The text of a whole piece. */
static bool take_terminal(Input *in, Terminal *ret) {
        in->data[in->have] = 0;
        in->have = 0;
        return adapter_terminal_parse((const char *) in->data + 2, ret);
}

void adapter_input_first(Input *in, int notifications, Terminal *ret) {
        struct pollfd p = { .fd = in->port, .events = POLLIN };

        adapter_notify(notifications, "INPUT=1\n");
        do
                if (poll(&p, 1, -1) < 0 && errno != EINTR)
                        adapter_fail("cannot wait for the launcher", NULL);
        while (!read_piece(in));
        if (!is_about_terminal(in))
                adapter_fail("the launcher did not say whether it has a terminal", NULL);
        (void) take_terminal(in, ret);
}

struct pollfd adapter_input_wanted(const Input *in) {
        if (in->pipe < 0)
                return (struct pollfd) { .fd = -1 };
        return in->have < piece(in) ? (struct pollfd) { .fd = in->port, .events = POLLIN }
                                    : (struct pollfd) { .fd = in->pipe, .events = POLLOUT };
}

static void end_input(Input *in) {
        (void) close(in->pipe);
        in->pipe = -1;
}

void adapter_input_move(Input *in, short happened, int notifications) {
        Terminal t;
        ssize_t n;

        if (!happened)
                return;
        if (in->have < piece(in)) {
                if (!read_piece(in))
                        return;
                if (is_about_terminal(in)) {
                        if (take_terminal(in, &t) && in->terminal >= 0)
                                adapter_terminal_resize(in->terminal, &t);
                        adapter_notify(notifications, "INPUT=1\n");
                } else if (in->have == 2)
                        end_input(in);
                return;
        }
        n = write(in->pipe, in->data + in->written, in->have - in->written);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
                end_input(in);
                return;
        }
        in->written += n > 0 ? (size_t) n : 0;
        if (in->written < in->have)
                return;
        in->have = 0;
        adapter_notify(notifications, "INPUT=1\n");
}
