/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "secret.h"

/* Reads a file, FIFO or (connecting to it) stream socket of at most `max` bytes straight into locked memory: 0, -E2BIG, or the errno of
 * open, connect or read. */
int secret_buf_read_path(SecretBuf *s, const char *path, size_t max);
