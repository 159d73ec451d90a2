/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* FAT12, FAT16 and FAT32 with long names (Microsoft, "FAT32 File System Specification" 1.03). Names compare without case, in ASCII. */

#include <stdbool.h>

#include "volume.h"

extern const VolumeKind fat_volume;

/* The boot sector can be one of FAT. */
bool fat_probe(const Block *b);
