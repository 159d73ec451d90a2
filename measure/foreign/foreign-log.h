/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Log lines of Kata Containers' runtimes, plain, as logfmt (msg="...") or in JSON, also behind a prefix of the journal:
 *
 *   Go    launching PROGRAM with: [ARGUMENTS]      blanks between arguments, nothing quoted (virtcontainers' qemu)
 *   Rust  qemu cmd: ... "PROGRAM" "ARGUMENT" ...   and  qemu args: ARGUMENTS  about the same launch */

#include "foreign-list.h"

/* 1 if the line is one of these and was added, 0 if not. */
_warn_unused_result_ int foreign_log_line(
                ForeignLines *l, const char *text, size_t n, size_t line, char **reterr);
