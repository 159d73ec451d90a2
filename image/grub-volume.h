/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* btrfs and xfs, read by GRUB's own drivers: grub-fstest of the package grub-common, which another process runs for this one. Names are those
 * that it prints. Of btrfs a subvolume is the root directory: the one that the user named, or the only one with an /etc. */

#include "volume.h"

extern const VolumeKind grub_btrfs_volume, grub_xfs_volume;

/* A kind of the above, which needs a helper. */
bool grub_volume_needs_helper(const VolumeKind *kind);
/* The subvolume that is the root directory, for messages; NULL: the top level, or another kind. */
const char *grub_volume_root(const Volume *v);
