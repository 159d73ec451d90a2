/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Carries bytes from a channel of the guest to one of our descriptors. Where the reader is slow the bytes wait in a queue, and when
 * that is full the channel is left alone until the reader catches up, so that neither the loop nor the signals wait. Nothing is
 * dropped, and nothing changed but what a terminal must not see. */

#include "run-output.h"
#include "terminal-tint.h"
#include "terminal.h"

#define FORWARD_BUFFER (64u * 1024u)

typedef struct Forward {
        Loop *loop; /* weak */
        int in;     /* owned, not blocking; -EBADF: not in use */
        LoopSource *in_source;
        Output out;             /* none: bytes are only shown to `seen` */
        TerminalFilter *filter; /* owned; NULL: unchanged */
        TerminalTint *tint;     /* owned; NULL: the terminal's own background */
        char *buffer;           /* owned */
        bool ended;             /* end of file, or the other side is gone */
        int error;              /* -errno of a read that failed */
        void (*seen)(const char *data, size_t size, void *userdata); /* may be NULL */
        /* Something of this stream is lost: may be NULL. `what` is "read" or "written". */
        void (*failed)(struct Forward *f, const char *what, int error, void *userdata);
        void *userdata;
} Forward;

#define FORWARD_NONE ((Forward) { .in = -EBADF, .out = OUTPUT_NONE })

typedef struct ForwardSpec {
        int in;                 /* taken on success */
        int out;                /* copied; -EBADF: none */
        bool raw;               /* a terminal gets every byte: it is the guest's */
        const char *background; /* weak: of a terminal, as terminal_tint_valid(); NULL: its own */
        size_t queue;           /* bytes that wait for a slow reader; 0: OUTPUT_QUEUE */
        void (*seen)(const char *data, size_t size, void *userdata);
        void (*failed)(Forward *f, const char *what, int error, void *userdata);
        void *userdata;
} ForwardSpec;

_warn_unused_result_ int forward_start(Forward *f, Loop *loop, const ForwardSpec *spec);
/* Reads what is still there, up to the end of file, and writes it out, waiting for the reader: 0, or -EINTR if a signal came, or
 * -ETIMEDOUT at the deadline (see output_drain()). */
int forward_drain(Forward *f, uint64_t deadline);
/* Ends colours and line on a terminal, so that somebody else can write there. */
void forward_break(Forward *f);
void forward_done(Forward *f);
