/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How library code explains a failure: it returns -errno and, where the caller passed `reterr`, leaves one whole
 * sentence there (owned by the caller, free()). The sentence says what is wrong, where (offset, option, file), what
 * was expected and what to do; it has no trailing full stop or newline. The program prints it once. */

#include <errno.h>

#include "macro.h"

/* Stores the formatted sentence in *reterr unless reterr is NULL or a sentence is there already (the first, most
 * specific one wins), and returns r, which must be negative. */
int error_set(char **reterr, int r, const char *format, ...) _printf_(3, 4);

/* Puts "PREFIX: " before the sentence in *reterr, if there is one; returns r. */
int error_prefix(char **reterr, int r, const char *format, ...) _printf_(3, 4);

/* Continues an owned sentence: "A; B". Without one, or without `more`, what there is: 0 or -ENOMEM. */
_warn_unused_result_ int sentence_append(char **sentence, const char *more);
