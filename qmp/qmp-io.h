/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The sending half of the client, private to this room: a queue of whole messages, some with a descriptor.
 *
 * A descriptor must arrive with a byte of its own command: QEMU keeps only the descriptors that came last and gives
 * them to the next add-fd or getfd that it reads. So a message with one begins a separate sendmsg(). */

#include <stdbool.h>
#include <stddef.h>

#include "macro.h"

typedef struct QmpChunk QmpChunk;

typedef struct QmpOutput {
        QmpChunk *head, **tail; /* owned; tail: NULL while empty */
} QmpOutput;

void qmp_output_done(QmpOutput *o);
/* Queues text (taken, also on failure; erased when sent) with a duplicate of fd, or fd < 0 for none. */
_warn_unused_result_ int qmp_output_push(QmpOutput *o, char *text, size_t size, int fd);
bool qmp_output_empty(const QmpOutput *o);
/* Sends as much as the socket takes: 0 if the queue is empty now, -EAGAIN if not, else the errno of sendmsg(). */
_warn_unused_result_ int qmp_output_flush(QmpOutput *o, int fd);
