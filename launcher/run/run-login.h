/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What lets a user into the guest: an ssh key that exists as long as the guest runs, and a vsock address. */

#include "run-runtime.h"
#include "run.h"

typedef struct Login {
        RuntimeDir directory;
        char *key;         /* owned: the private key's file; NULL: none was generated */
        char *public;      /* owned: the public one */
        char *address;     /* owned: what ssh takes as its host; NULL: none */
        unsigned tcp_port; /* of the address; 0: ssh's own */
        int sockets;       /* owned: the directory of sockets; -EBADF: none */
        int listener;      /* owned: systemd of the guest reports here; -EBADF: it does not */
        uint32_t notify_port;
        int journal; /* owned: journald of the guest sends here; -EBADF: it does not */
        uint32_t journal_port;
} Login;

#define LOGIN_NONE                                                                                          \
        ((Login) { .directory = RUNTIME_DIR_NONE, .sockets = -EBADF, .listener = -EBADF, .journal = -EBADF })

/* Before files are resolved; may settle choices->vsock_cid. *ret can be given to login_done() in any case. */
_warn_unused_result_ int login_start(const VmConfig *config, const QemuUser *user, LaunchChoices *choices,
                Login *ret, char **reterr);
void login_done(Login *l);
/* For users and programs: how to log in. */
void login_announce(const Login *l, const LaunchChoices *choices, const EventSink *events);

/* run-vsock.c: an address that is free. */
_warn_unused_result_ int vsock_reserve(const VmConfig *config, LaunchChoices *choices, char **reterr);
_warn_unused_result_ int vsock_listen(const LaunchChoices *choices, Login *l, char **reterr);
_warn_unused_result_ int vsock_listen_journal(
                const VmConfig *config, const LaunchChoices *choices, Login *l, char **reterr);
