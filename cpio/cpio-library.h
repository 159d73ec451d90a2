/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* libarchive, loaded on need. With what it pulls in (ICU, libxml2, the compressors) it costs more than a millisecond
 * and several MiB, which a launch without credentials and a guest that is running do not need. */

#include "macro.h"

/* Loads the library unless it is loaded; 0, or -ENOPKG with a sentence that names the package. May be called from any
 * thread, also from several at once; the functions of this room that need the library call it themselves. */
_warn_unused_result_ int cpio_library_load(char **reterr);

/* Unmaps the library and gives the memory that its use left behind back to the kernel. Nothing of this room may be
 * running in another thread. Loading again afterwards works. */
void cpio_library_unload(void);
