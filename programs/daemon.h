/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the daemons share: sockets, the service manager, and what they give up before they answer. */

#include <stdbool.h>
#include <stddef.h>

#include "confine.h"
#include "macro.h"

#define DAEMON_LISTEN_FDS_START 3
#define DAEMON_STORES_MAX       4u

/* How many sockets the service manager passed, at most `max`; they have the numbers from DAEMON_LISTEN_FDS_START on. */
_warn_unused_result_ int daemon_passed_sockets(unsigned max, char **reterr);
/* A new socket; *ret_address is "host:port" or "unix:PATH" (owned). local: what is said if others can reach it (-EPERM); NULL: they may. */
_warn_unused_result_ int daemon_listen(
                const char *address, const char *local, int *ret_fd, char **ret_address, char **reterr);
/* The same for a passed one, counted from 0. */
_warn_unused_result_ int daemon_take_socket(
                unsigned number, const char *local, int *ret_fd, char **ret_address, char **reterr);
/* A socket to the service manager, opened before confinement; -EBADF if there is none. */
int daemon_notify_open(void);
/* "READY=1" to the service manager, if there is one. */
void daemon_notify(int fd, const char *line);

typedef struct DaemonConfinement {
        const ConfinePath *paths;
        size_t n_paths;
        const char *const *calls; /* system calls beyond those of a server */
        size_t n_calls;
        bool network; /* connections to other machines stay possible, as far as the calls go */
} DaemonConfinement;

/* Adds the folders of a file, which stay readable when it is replaced by a new one: of its name, and of what that links to. */
_warn_unused_result_ int daemon_folders_of(const char *file, char ***list);

/* Gives up everything that serving does not need; for good. */
_warn_unused_result_ int daemon_confine(const DaemonConfinement *c, char **reterr);
/* For a child that downloads: it can open only these directories, and the files that name resolution and TLS read. In /etc these are single files,
 * since keys may lie beside them. */
_warn_unused_result_ int daemon_confine_fetcher(const char *const *stores, size_t n_stores);
/* For a process that only moves bytes between sockets: it can open connections and read the files that name resolution reads. */
_warn_unused_result_ int daemon_confine_forwarder(char **reterr);
