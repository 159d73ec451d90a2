/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* --fw-cfg=auto: the ACPI and SMBIOS tables of this launch, from an unmodified QEMU and without running the guest, kept in the user's cache. */

#include "compose.h"
#include "run.h"

/* A folder as --fw-cfg=DIR takes it; *ret is owned. The firmware must have been copied. */
_warn_unused_result_ int run_tables(const RunRequest *request, char **ret, char **reterr);
