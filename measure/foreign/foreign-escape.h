/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Backslash escapes. *s stands at the backslash and is moved after the escape; the bytes are added to `t`. */

#include "strutil.h"

/* Of $'...' in bash (bash(1), QUOTING): what is not known keeps its backslash. */
void escape_bash(const char **s, Text *t);
/* Of quoted strings in Go, Rust, Python and JSON, together. -EINVAL, with *s where it was, for all others. */
_warn_unused_result_ int escape_string(const char **s, Text *t);
