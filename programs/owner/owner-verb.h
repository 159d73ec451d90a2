/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `cvmspawn owner`: what its files share. */

#include "macro.h"
#include "secret.h"

/* The header line with the token, whose newline at the end does not count. */
_warn_unused_result_ int owner_read_token(const char *path, SecretBuf *ret, char **reterr);
/* JSON from a file ("-": standard input), with the secrets of another one unless that is NULL. */
_warn_unused_result_ int owner_read_body(
                const char *path, const char *secrets, SecretBuf *ret, char **reterr);
/* A file as it is; *ret is owned. */
_warn_unused_result_ int owner_read_upload(const char *path, char **ret, size_t *ret_size, char **reterr);
