/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Carries bytes from a channel of the guest to one of our descriptors. Where the reader is slow the channel is left
 * alone until it catches up, so that neither the loop nor the signals wait; nothing is dropped and nothing changed. */

#include <stdbool.h>
#include <stddef.h>

#include "loop.h"

#define FORWARD_BUFFER (64u * 1024u)

typedef struct Forward {
        Loop *loop; /* weak */
        int in;     /* owned, not blocking; -EBADF: not in use */
        int out;    /* owned copy; -EBADF: bytes are only shown to `seen` */
        LoopSource *in_source, *out_source;
        char *buffer; /* owned */
        size_t start, end;
        bool ended; /* end of file, or the other side is gone */
        void (*seen)(const char *data, size_t size, void *userdata); /* may be NULL */
        void *userdata;
} Forward;

#define FORWARD_NONE ((Forward) { .in = -EBADF, .out = -EBADF })

/* Takes `in`. */
_warn_unused_result_ int forward_start(Forward *f, Loop *loop, int in, int out,
                void (*seen)(const char *data, size_t size, void *userdata), void *userdata);
/* Reads what is still there, up to the end of file, and writes it out, waiting for the reader: 0, or -EINTR if a signal came
 * while the reader took nothing. */
int forward_drain(Forward *f);
void forward_done(Forward *f);
