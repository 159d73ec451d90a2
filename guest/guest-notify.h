/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Words to the launcher over the virtio port io.cvmspawn.notify: READY=1, STATUS=..., EXIT_STATUS=... */

#include "macro.h"

#define GUEST_NOTIFY_PORT "io.cvmspawn.notify"

/* root: prefix of /sys and /dev. -ENOENT with an error message if the launcher gave no such port. */
_warn_unused_result_ int guest_notify(const char *root, char *const *lines, char **reterr);
