/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What this host has of what a launch needs (HostCaps), probed or read from a file. */

#include "launch.h"
#include "macro.h"

/* Looks at CPU, /dev/kvm and PATH; never fails because something is missing. What ret has of host_take_passed() is used and stays. */
_warn_unused_result_ int host_caps_probe(const VmConfig *config, HostCaps *ret);
/* HostCaps from --host-caps=FILE (JSON, as `check-host --json` prints). */
_warn_unused_result_ int host_caps_read(const char *path, HostCaps *ret, char **reterr);
