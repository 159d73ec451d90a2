/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* libarchive, loaded on need. With what it pulls in (ICU, libxml2, the compressors) it costs more than a millisecond
 * and several MiB: only what reads a compressed initrd loads it. May be called from any thread, also from several at once. */

#include "macro.h"

/* Unmaps the library and gives the memory that its use left behind back to the kernel. Nothing of this room may be
 * running in another thread. Loading again afterwards works. */
void cpio_library_unload(void);
