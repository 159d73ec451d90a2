/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* System credentials as data: an ordered list of (id, secret bytes). What a name may look like follows systemd's
 * credential_name_valid(); what would be lost in the guest is refused here (systemd.system-credentials(7)). */

#include <stdbool.h>
#include <stddef.h>

#include "secret.h"

#define CREDENTIAL_SIZE_MAX (1024u * 1024u) /* PID 1 skips larger ones: CREDENTIAL_SIZE_MAX in systemd */
#define CREDENTIALS_TOTAL_MAX                                                                               \
        (1024u * 1024u)          /* PID 1 stops importing: CREDENTIALS_TOTAL_SIZE_MAX in systemd */
#define CREDENTIAL_NAME_MAX 250u /* NAME.cred must fit NAME_MAX, 255 */
#define CREDENTIAL_TMPFS_SIZE                                                                               \
        (1024u * 1024u)               /* the guest's /run/credentials/@system is a tmpfs of 1 MiB ... */
#define CREDENTIAL_TMPFS_INODES 1024u /* ... with this many inodes, the root directory included */
#define CREDENTIAL_TMPFS_PAGE   4096u /* ... that counts whole pages */

typedef struct Credential {
        char *id; /* owned */
        SecretBuf value;
} Credential;

typedef struct CredentialSet {
        Credential *items; /* owned, in the order they were given: the order of the archive */
        size_t n_items;
} CredentialSet;

void credential_set_done(CredentialSet *set);
bool credential_name_valid(const char *id);
/* Takes *value (emptied) on success. -EINVAL bad name, -EEXIST duplicate, -E2BIG too large, -ENAMETOOLONG; a sentence says
 * which. */
_warn_unused_result_ int credential_set_add(
                CredentialSet *set, const char *id, SecretBuf *value, char **reterr);
const Credential *credential_set_find(const CredentialSet *set, const char *id);
/* Checks what only the whole set shows: total size and what the guest's tmpfs holds. */
_warn_unused_result_ int credential_set_check(const CredentialSet *set, char **reterr);
