/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "run-session.h"

/* The descriptor of a drive that is a volume; owned by the caller. */
_warn_unused_result_ int session_acquire_volume(
                Session *s, const DriveSource *d, bool *ret_read_only, char **reterr);
