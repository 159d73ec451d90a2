/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For the files of this room only: one compressed part of an initrd through libarchive's filters. */

#include "initrd-compression.h"
#include "initrd-input.h"

/* Takes decompressed bytes: 0 goes on, a positive value stops, a negative one is handed through. */
typedef int (*initrd_sink_t)(const uint8_t *data, size_t n, void *userdata);

/* Decompresses what begins at `offset` and hands it to the sink in pieces. *ret_end is the offset behind the part.
 * 0, or 1 if the sink stopped (then *ret_end is right only if initrd_compression_tells_end()); -EOPNOTSUPP for a compressor
 * that is not supported, -EBADMSG for damaged data, -ESTALE for a file that changed, each with a sentence. */
_warn_unused_result_ int initrd_decompress(InitrdInput *in, uint64_t offset, InitrdCompression c,
                initrd_sink_t sink, void *userdata, uint64_t *ret_end, char **reterr);
