/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* PEM texts (RFC 7468): the blocks one after another, whatever stands between them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"

/* True if the bytes look like PEM and not like DER. */
bool pem_detect(const void *data, size_t size);

/* The next block after *pos: 1 with label (borrowed from the text, label_size bytes) and owned content, 0 if there is none
 * left, -EBADMSG for a broken one. */
_warn_unused_result_ int pem_next(const char *text, size_t size, size_t *pos, const char **ret_label,
                size_t *ret_label_size, uint8_t **ret, size_t *ret_size);
/* One block as text, owned; NULL: out of memory. */
char *pem_encode(const char *label, const void *data, size_t size);
