/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One of our own descriptors, written without ever waiting: what its reader does not take is queued, up to a limit. Only a reader
 * that has gone away (EPIPE) is nobody's fault; every other error means that something was lost, and is remembered. */

#include <stdbool.h>
#include <stddef.h>

#include "loop.h"

#define OUTPUT_QUEUE (256u * 1024u) /* bytes that wait for their reader, unless somebody says otherwise */

typedef struct Output {
        Loop *loop; /* weak; NULL: nobody watches, the queue moves when something is written or drained */
        int fd;     /* owned; -EBADF: nowhere */
        enum {
                OUTPUT_POLLED,      /* its description is shared: written in pieces that poll(2) says fit */
                OUTPUT_NONBLOCKING, /* a description of our own */
                OUTPUT_SOCKET,
                OUTPUT_FILE, /* takes everything at once */
        } kind;
        bool terminal;
        LoopSource *source;
        char *queue; /* owned */
        size_t start, end, capacity;
        size_t limit;   /* of the queue */
        int error;      /* -errno of the first failure; 0: none. EPIPE is none */
        bool gone;      /* the reader went away, or the descriptor failed: what is written now is dropped */
        size_t dropped; /* bytes that did not fit */
        /* The queue has become short again, or the descriptor has failed: may be NULL. */
        void (*changed)(struct Output *o, void *userdata);
        void *userdata;
} Output;

#define OUTPUT_NONE ((Output) { .fd = -EBADF })

/* Opens a copy of the descriptor; 0 or -errno. */
_warn_unused_result_ int output_open(Output *o, int fd);
void output_done(Output *o);
/* While a loop runs its queue moves by itself; NULL ends that. */
void output_attach(Output *o, Loop *loop);

/* Writes or queues. Bytes beyond the limit are dropped and counted: ask output_room() where none may be. */
void output_write(Output *o, const char *data, size_t size);
size_t output_room(const Output *o);
/* Bytes that are still queued. */
size_t output_pending(const Output *o);

/* Waits until everything is written, or the reader is gone: 0, -EINTR if a signal came that has a handler, -ETIMEDOUT at `deadline`
 * (CLOCK_MONOTONIC in microseconds; 0: none). */
int output_drain(Output *o, uint64_t deadline);

/* A LogWriter (log.h); userdata: Output. */
void run_log_writer(const char *text, size_t n, void *userdata);

uint64_t monotonic_usec(void);
