/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "qmp-sev.h"
#include "run-confine.h"
#include "run-hook.h"

/* This host's SEV platform, as a QEMU without a machine tells of it: the same program with the same rights as the guest's. hook may be NULL:
 * then a loop of its own is used. */
_warn_unused_result_ int run_ask_platform(const char *qemu, const QemuUser *user, RunHook *hook,
                QmpSevCapabilities *ret, char **reterr);
