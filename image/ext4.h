/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* ext2, ext3 and ext4 through libext2fs, which is loaded on need and reads from a Block: it opens no file. A journal is not replayed. */

#include "volume.h"

extern const VolumeKind ext4_volume;

/* Loads the library, for somebody who will not be able to open files later: 0 or -ENOPKG with an error message. */
_warn_unused_result_ int ext4_prepare(char **reterr);
/* The journal has changes that reading does not see. */
bool ext4_needs_recovery(const Volume *v);
