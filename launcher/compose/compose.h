/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* PURE: what was decided in, QEMU's command line out. No file is opened, nothing is asked of the host, nothing is logged. */

#include "launch.h"

typedef struct QemuCommand {
        char **argv; /* owned strv */
        int *fds;    /* owned: descriptors that QEMU inherits */
        size_t n_fds;
} QemuCommand;

void qemu_command_done(QemuCommand *c);

/* Can this host launch that mode at all? 0, or -EOPNOTSUPP, -ENOENT with an error message: the first reason why not. */
_warn_unused_result_ int compose_check_host(
                const VmConfig *config, const HostCaps *caps, const LaunchChoices *choices, char **reterr);

/* 0, -ENOMEM, or -EINVAL with an error message when host and launch do not fit (no C-bit position known, ...). */
_warn_unused_result_ int compose_qemu(const VmConfig *config, const LaunchInputs *in, const HostCaps *caps,
                const LaunchChoices *choices, QemuCommand *ret, char **reterr);

/* The same machine under TCG, with -qtest on its standard input and output: firmware and devices, nothing that would run. For what cannot
 * be had so, -EOPNOTSUPP with an error message. */
_warn_unused_result_ int compose_tables(const VmConfig *config, const LaunchInputs *in, const HostCaps *caps,
                const LaunchChoices *choices, QemuCommand *ret, char **reterr);
