/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "macro.h"
#include "secret.h"

/* The first line of the file, NUL-terminated; path NULL: *ret stays empty. */
_warn_unused_result_ int key_passphrase(const char *path, SecretBuf *ret, char **reterr);
