/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Secrets that the guest's owner injected at launch (SEV, SEV-ES), as the kernel's efi_secret module shows them: one file a GUID in
 * securityfs, wiped by unlink(2). Linux Documentation/security/secrets/coco.rst. */

#include <stdio.h>

#include "macro.h"
#include "secret.h"

#define GUEST_SECRETS    "/sys/kernel/security/secrets/coco"
#define GUEST_SECRET_MAX (64u * 1024u) /* the whole area has a few KiB */

/* The GUIDs that are there: owned strv, sorted. -ENOENT with an error message and remedy if the directory does not exist. */
_warn_unused_result_ int guest_secret_list(const char *tree, char ***ret, char **reterr);
_warn_unused_result_ int guest_secret_read(
                const char *tree, const char *guid, SecretBuf *ret, char **reterr);
/* Wipes it from memory for this boot. */
_warn_unused_result_ int guest_secret_wipe(const char *tree, const char *guid, char **reterr);
