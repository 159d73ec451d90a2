/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The QEMU command lines in a file: /proc/PID/cmdline, a shell's line or script, the output of ps, a log of libvirt or Kata Containers, a
 * JSON array, one argument per line. */

#include "foreign-list.h"

/* -EINVAL with an error message if a line cannot be read, or if there is none. */
_warn_unused_result_ int foreign_lines_read(const char *text, size_t size, ForeignLines *ret, char **reterr);
