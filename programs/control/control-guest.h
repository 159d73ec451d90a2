/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Running guests, as list, status, stop and events find them: by their control sockets (cvmspawn-control(7)). */

#include <stdbool.h>
#include <sys/types.h>

#include "macro.h"
#include "varlink-connection.h"

#define CONTROL_INSTANCE    "io.systemd.MachineInstance"
#define CONTROL_NOT_RUNNING 3 /* exit status: a guest of that name does not run */
#define CONTROL_ANSWER_USEC                                                                                 \
        (2 * UINT64_C(1000000)) /* a launcher answers at once, but for one that still starts its guest */

typedef struct ControlGuest {
        char *name, *path; /* owned; path: of the socket */
        VarlinkConnection connection;
        pid_t pid;    /* of the launcher */
        int error;    /* why it cannot be asked: -EACCES, ...; -ETIMEDOUT: its guest does not run yet */
        bool running; /* its vCPUs */
        char *state;  /* owned: QEMU's word, or ours */
} ControlGuest;

typedef struct ControlGuests {
        ControlGuest *guests; /* owned, sorted by name */
        size_t n_guests;
} ControlGuests;

void control_guest_done(ControlGuest *g);
void control_guests_done(ControlGuests *l);

/* All guests of this user, and those of root, with their states. */
_warn_unused_result_ int control_find_all(ControlGuests *ret, char **reterr);
/* The guest of this name, or the path of a control socket: connected, not yet asked. -ESRCH: it does not run. */
_warn_unused_result_ int control_find(const char *name, ControlGuest *ret, char **reterr);
/* Asks for its state. Whether it is there at all is for the caller to look at: g->error. */
void control_ask(ControlGuest *g);
/* Calls a method without parameters. -EREMOTEIO: it was refused. */
_warn_unused_result_ int control_call(ControlGuest *g, const char *method, uint64_t deadline, char **reterr);
/* Makes the connection a subscription, to these events or (NULL) all; READY has come. */
_warn_unused_result_ int control_subscribe(
                ControlGuest *g, char *const *events, uint64_t deadline, char **reterr);
/* {"name", "state", "running", "pid", "socket"} */
_warn_unused_result_ int control_guest_json(const ControlGuest *g, Json **ret);
/* The exit status of a program whose guest could not be found or asked. */
int control_failed(int r, char **reterr);
