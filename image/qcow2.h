/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The content of a qcow2 image (QEMU docs/interop/qcow2.rst), read only. No other file is ever opened: images that name one are refused. */

#include "block.h"

typedef struct Qcow2 Qcow2;

Qcow2 *qcow2_free(Qcow2 *q); /* returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(Qcow2 *, qcow2_free);

/* The descriptor stays the caller's; *ret_block is valid as long as the handle is. -EBADMSG, -EOPNOTSUPP, -EPERM (other files) with an
 * error message. */
_warn_unused_result_ int qcow2_open(int fd, Qcow2 **ret, Block *ret_block, char **reterr);
