/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Credentials as the cpio archive that PID 1 of an initrd imports as system credentials: newc, byte for byte what
 * systemd-vmspawn 262.1 appends to the initrd.
 *
 *   .extra                                  directory, 0555
 *   .extra/system_credentials               directory, 0500
 *   .extra/system_credentials/NAME.cred     file, 0400, one a credential in the order of the set
 *   TRAILER!!!
 *
 * Owner root, modification time 0, one link each, inode numbers 1, 2, 3, ... The result is part of what a confidential
 * launch measures: the same credentials in the same order always give the same bytes. */

#include <stddef.h>
#include <stdint.h>

#include "credential.h"
#include "macro.h"

/* The archive's size, by arithmetic; 0 for no credentials (then there is no archive). -EINVAL for a name that is no
 * credential name, -EFBIG for a value that newc cannot express. */
_warn_unused_result_ int cpio_credentials_size(const CredentialSet *set, uint64_t *ret);

/* Writes the archive into buf, whose size must be what cpio_credentials_size() said (-EINVAL otherwise). After a failure
 * the content of buf is undefined. */
_warn_unused_result_ int cpio_credentials_write(
                const CredentialSet *set, void *buf, size_t size, char **reterr);
