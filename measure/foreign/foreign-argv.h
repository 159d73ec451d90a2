/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Words of a written command line to the arguments that QEMU got. A kernel command line that lost its quotes (ps, logs) is put together again:
 * no option of QEMU takes several words. */

#include "foreign-words.h"

/* `words` begins with the program and stands in `source`. *ret is owned; `notices` (a strv) gets one sentence for each repair. -EINVAL with a
 * sentence if words are left over beside an option that is measured. */
_warn_unused_result_ int foreign_argv(
                const Words *words, const char *source, char ***ret, char ***notices, char **reterr);
/* Whether a word is one of QEMU's options: its name without dashes, or NULL. */
const char *foreign_option_name(const char *word);
/* Whether a path is that of a QEMU: qemu-system-..., qemu-kvm, kvm, qemu. */
bool foreign_is_program(const char *path, size_t n);
