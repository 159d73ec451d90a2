/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The virtio ports that the launcher gives its guest, found by name; and questions to an attestation service over one of them, which
 * somebody on the host passes on (cvmspawn-attestation-protocol(7), THE GUEST'S PORT):
 *
 *      > launch|validate ID LENGTH NEWLINE, LENGTH bytes, NEWLINE
 *      < ID STATUS RETRY LENGTH NEWLINE, LENGTH bytes, NEWLINE
 *
 * ID is a number of the guest's; lines with a different ID, and other lines, answer an earlier program and are skipped. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

#define GUEST_PORT_ATTEST     "io.cvmspawn.attest"
#define GUEST_PORT_ANSWER_MAX (128u * 1024u)
#define GUEST_PORT_LINE_MAX   64u

/* The path of the device, owned. root: prefix of /sys and /dev. -ENOENT: there is none (yet). */
_warn_unused_result_ int guest_port_find(const char *root, const char *name, char **ret);

typedef struct GuestPort {
        int fd; /* owned */
        uint64_t id;
        uint64_t deadline; /* microseconds of CLOCK_BOOTTIME: all waiting ends here */
        char pending[4096];
        size_t n_pending, pos;
} GuestPort;

void guest_port_done(GuestPort *p);
uint64_t guest_port_now(void);

/* Opens the port, or the socket at `path` if it is one. -ENOENT, -EBUSY (somebody else has it). */
_warn_unused_result_ int guest_port_open(const char *path, uint64_t deadline, GuestPort *ret);

typedef struct GuestAnswer {
        unsigned status, retry_after; /* as in HTTP; seconds, 0: not said */
        char *body;                   /* owned; NUL-terminated, the NUL is not counted */
        size_t size;
} GuestAnswer;

void guest_answer_done(GuestAnswer *a);

/* -ETIMEDOUT at the deadline, -EBADMSG for an answer over the limit, -EPIPE if the other side is gone. */
_warn_unused_result_ int guest_port_ask(
                GuestPort *p, const char *verb, const void *body, size_t size, GuestAnswer *ret);
