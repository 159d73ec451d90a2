/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Two sockets, each of which gets what the other one sends. Nobody is read faster than the other one takes it: what is on its way has one buffer
 * in each direction. */

#include "loop.h"
#include "macro.h"

#define TUNNEL_PIPE_BUFFER (16u * 1024)
#define TUNNEL_PIPE_IDLE   (120u * 1000000u) /* without a byte in either direction; at most twice that */

typedef struct TunnelPipe TunnelPipe;

/* `ended` is called once, from the loop: it frees the pipe. Takes both descriptors, also on failure. begin goes to b before all else, begin_a to a: at most
 * TUNNEL_PIPE_BUFFER bytes each; or NULL. A socket may still be connecting. */
typedef struct TunnelPipeSpec {
        int a, b;
        const void *begin;
        size_t begin_size;
        const void *begin_a;
        size_t begin_a_size;
        void (*ended)(TunnelPipe *p, void *userdata);
        void *userdata;
} TunnelPipeSpec;

_warn_unused_result_ int tunnel_pipe_new(Loop *loop, const TunnelPipeSpec *spec, TunnelPipe **ret);
TunnelPipe *tunnel_pipe_free(TunnelPipe *p); /* takes NULL; returns NULL */
/* Why the socket `a` failed, -errno; 0 if it did not. For `ended`. */
_warn_unused_result_ int tunnel_pipe_error(const TunnelPipe *p);
