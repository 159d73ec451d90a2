/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files that a user named, read whole, with an error message if that fails: "--leaf: cannot read 'x': it has more than 1024
 * bytes". `option` is the option's name without dashes, or NULL for an argument. */

#include <stdbool.h>
#include <stddef.h>

#include "macro.h"
#include "secret.h"

_warn_unused_result_ int input_read(const char *option, const char *path, size_t max, char **ret,
                size_t *ret_size, char **reterr);
/* The same into locked memory. */
_warn_unused_result_ int input_read_secret(
                const char *option, const char *path, size_t max, SecretBuf *ret, char **reterr);
/* The sentence alone, for a read that went another way; returns r. */
int input_error(const char *option, const char *path, size_t max, int r, char **reterr);

/* Is this a URI, such as pkcs11:token=owner, and not the path of a file that exists? */
bool input_is_uri(const char *s);
