/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For the files of this room only: one compressed part of an initrd, through libarchive's filters or
 * the compressor's own library (initrd-codec.h). */

#include "initrd-compression.h"
#include "initrd-input.h"

/* Takes decompressed bytes: 0 goes on, a positive value stops, a negative one is handed through. */
typedef int (*initrd_sink_t)(const uint8_t *data, size_t n, void *userdata);

/* Decompresses what begins at `offset` and hands it to the sink in pieces. *ret_end is the offset after the part.
 * 0, or 1 if the sink stopped (then *ret_end is not reliable); -EOPNOTSUPP for a compressor that this libarchive lacks, -ENOPKG for
 * a missing library, -EBADMSG for data that is damaged or has a form that the kernel does not read, -ESTALE for a file that changed,
 * each with an error message. */
_warn_unused_result_ int initrd_decompress(InitrdInput *in, uint64_t offset, InitrdCompression c,
                initrd_sink_t sink, void *userdata, uint64_t *ret_end, char **reterr);

/* For the lzma part at `offset`, which unpacks: -EBADMSG with an error message if both the header and a marker say where it ends. The kernel
 * stops where the header says. */
_warn_unused_result_ int initrd_check_lzma(InitrdInput *in, uint64_t offset, char **reterr);
