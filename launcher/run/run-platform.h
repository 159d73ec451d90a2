/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "loop.h"
#include "qmp-sev.h"
#include "run-confine.h"

/* This host's SEV platform, as a QEMU without a machine tells of it: the same program with the same rights as the guest's. */
_warn_unused_result_ int run_ask_platform(
                Loop *loop, const char *qemu, const QemuUser *user, QmpSevCapabilities *ret, char **reterr);
