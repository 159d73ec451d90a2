/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The part of TOML (toml.io, v1.0.0) that configuration files are written in: tables, strings, integers, booleans and arrays. What is not of
 * these (dates, floats, inline tables, arrays of tables) is refused with its line. */

#include "json.h"

/* *ret is an object with a member for each table, "" for what stands before the first; its name has dots as in the file. A negative number
 * becomes null. -EINVAL with an error message that names the line. */
_warn_unused_result_ int kata_toml_read(const char *text, size_t size, Json **ret, char **reterr);
