/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A folder of the host as a cpio archive (newc) that an initrd can have behind it. The same files give the same bytes on each host: names in
 * the order of their bytes, a folder before what is in it; owner root, time 0; mode 0755 for folders and for what its owner may execute, else 0644.
 * Regular files, folders and symbolic links only. */

#include <stdint.h>

#include "macro.h"

#define CPIO_FOLDER_BYTES_MAX ((uint64_t) 256 << 20)
#define CPIO_FOLDER_FILES_MAX 65536u
#define CPIO_FOLDER_DEPTH_MAX 64u

/* Into a memory file, which is the caller's: its descriptor, or -errno with an error message. target is absolute; its parents become folders of the
 * archive. -EFBIG over a limit, -EBADMSG for what cannot be packed, -EAGAIN for a file that changed. */
_warn_unused_result_ int cpio_pack_folder(
                const char *source, const char *target, uint64_t *ret_size, char **reterr);
