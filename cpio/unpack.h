/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One compressed block in memory whose unpacked size is known: a cluster of a disk image. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

typedef enum UnpackMethod {
        UNPACK_DEFLATE, /* raw, without a header */
        UNPACK_ZSTD,
} UnpackMethod;

/* Loads the library of a method, for somebody who will not be able to open files later: 0 or -ENOPKG with an error message. */
_warn_unused_result_ int unpack_prepare(UnpackMethod method, char **reterr);
/* Fills all of `out`; what follows the block in the input is not looked at. -EBADMSG for data that is damaged or too short. */
_warn_unused_result_ int unpack_block(
                UnpackMethod method, const uint8_t *in, size_t n, uint8_t *out, size_t size, char **reterr);
