/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where secrets go in a guest, as files that only root reads: credentials into /run/credstore, where PID 1 looks for LoadCredential= and
 * ImportCredential= (systemd.exec(5)); keys of volumes into /run/cryptsetup-keys.d, where systemd-cryptsetup looks (crypttab(5)). Both
 * live through the step from initrd to host. */

#include <stddef.h>

#include "json.h"
#include "macro.h"

#define GUEST_CREDSTORE "/run/credstore"
#define GUEST_KEYS      "/run/cryptsetup-keys.d"

typedef struct GuestDrop {
        const char *credentials, *keys; /* directories, made (0700) if they are missing */
        size_t n_credentials, n_keys;   /* counted */
} GuestDrop;

/* {"secrets": [...]} as a registration has them: {"type": "credential", "name", "data"}, {"type": "luks-passphrase", "passphrase",
 * "name"} (root without one), {"guid", "data"} (the credential cvmspawn.secret.GUID). All are understood before the first is
 * written. -EBADMSG with an error message. */
_warn_unused_result_ int guest_drop(GuestDrop *d, const Json *secrets, char **reterr);
