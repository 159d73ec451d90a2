/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where the next of several initrds begins in the one that is measured and unpacked. Both who merges and who only measures ask here. */

#include <stdbool.h>
#include <stdint.h>

#include "macro.h"

/* Whether what follows the file at `offset` of fd would be taken for one more block of lz4's legacy format: for a file that begins with
 * it, and for one whose last part has it and does not end it (an early cpio and lz4 in one file, as Ubuntu and dracut write it).
 * Nothing is decompressed: after gzip, bzip2, lzma and lzo it is not found. One that cannot be read is not. */
bool initrd_needs_lz4_end(int fd, uint64_t offset, uint64_t size);

/* `end`: where the one before ends. The next begins at a multiple of 4, where alone the kernel takes an uncompressed cpio
 * (Linux init/initramfs.c). After lz4's legacy format at least 4 zero bytes come first: the kernel's decompressor takes anything
 * else as the size of a next block and loses all that follows (lib/decompress_unlz4.c). -EFBIG. */
_warn_unused_result_ int initrd_next_offset(uint64_t end, bool behind_lz4_legacy, uint64_t *ret);
