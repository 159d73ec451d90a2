/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What another launcher's QEMU command line means to the launch digest. */

#include "measure-request.h"

/* Words as a POSIX shell splits them: quotes, backslashes, continued lines; no expansions. *ret is owned. */
_warn_unused_result_ int shell_split(const char *text, char ***ret, char **reterr);

/* argv[0] is the program. Fills what is NULL in *a: mode, vCPUs, CPU, firmware, kernel, initrd, words and VMSA flavour. *ret_igvm: the
 * IGVM file, owned, or NULL. *ret_notice: one sentence about what could not be taken into account, owned, or NULL. */
_warn_unused_result_ int qemu_arguments(
                char *const *argv, MeasureArguments *a, char **ret_igvm, char **ret_notice, char **reterr);
