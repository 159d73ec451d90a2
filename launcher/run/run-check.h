/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a launch would refuse of the values of its options, without starting, making or changing anything: for --print=. Each check is
 * beside the code that does it, with the same error messages. Locks that another guest holds, and what the kernel here lacks, are no matter
 * of an option's value. */

#include "launch.h"

_warn_unused_result_ int console_log_check(const VmConfig *config, char **reterr);
_warn_unused_result_ int copy_out_check(const VmConfig *config, char **reterr);
_warn_unused_result_ int disks_check(const VmConfig *config, const LaunchInputs *in, char **reterr);
_warn_unused_result_ int journal_check(const VmConfig *config, char **reterr);
_warn_unused_result_ int login_check(const VmConfig *config, const LaunchChoices *choices, char **reterr);
_warn_unused_result_ int network_check(const VmConfig *config, char **reterr);
_warn_unused_result_ int owner_check(const VmConfig *config, char **reterr);
_warn_unused_result_ int tpm_check(const VmConfig *config, const LaunchChoices *choices, char **reterr);
_warn_unused_result_ int volumes_check(const VmConfig *config, char **reterr);
_warn_unused_result_ int vsock_check(const LaunchChoices *choices, char **reterr);

/* Whose service manager, machined and storage providers: the user's? */
bool run_for_user(const VmConfig *config);
/* All of them. With --host-caps= it is for a host elsewhere, and what it needs there is not looked for here. */
_warn_unused_result_ int run_check(const VmConfig *config, const HostCaps *caps,
                const LaunchChoices *choices, const LaunchInputs *in, char **reterr);
