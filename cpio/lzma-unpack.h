/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One LZMA stream with the header of .lzma files, as firmware images hold it: through libarchive, like every other compressor. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

/* Decompresses all n bytes. The header has to name the size of the result, at most `max`; *ret is owned. -EBADMSG for damaged
 * data, -E2BIG over the limit, or as initrd_scan(), each with an error message. */
_warn_unused_result_ int lzma_unpack(
                const uint8_t *data, size_t n, size_t max, uint8_t **ret, size_t *ret_size, char **reterr);
