/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The control socket of a running guest: RUNTIME/control, which speaks varlink. */

#include "macro.h"
#include "run-keeper.h"
#include "varlink.h"

#define CONTROL_SOCKET "control"
#define CONTROL_FOLDER "cvmspawn" /* in /run, or in $XDG_RUNTIME_DIR */

/* Where the socket is. The folder's flock(2) says that the launcher lives. A child removes what is left of one that was killed; what even
 * that one left is replaced. */
typedef struct ControlSocket {
        int fd;        /* owned: listens; -EBADF: the guest has none */
        int folder_fd; /* owned: RUNTIME */
        int parent_fd; /* owned: what RUNTIME is in, if it is ours to remove */
        char *name;    /* owned: RUNTIME's name in its parent */
        char *path;    /* owned: of the socket, for messages and registration */
        Keeper keeper;
} ControlSocket;

#define CONTROL_SOCKET_NONE                                                                                 \
        ((ControlSocket) { .fd = -EBADF, .folder_fd = -EBADF, .parent_fd = -EBADF, .keeper = KEEPER_NONE })

/* Makes it. 0 also if this user has nowhere to make it. -EBUSY: a guest of that name has one. */
_warn_unused_result_ int control_socket_open(const char *machine, ControlSocket *ret, char **reterr);
/* Removes it, with its folder if that is ours. */
void control_socket_done(ControlSocket *c);
