/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* ProcessSpec.prepare: in a mount namespace that this process and its children alone have, writes to the directory `userdata` (its path)
 * go to memory. An ordinary user becomes root of a user namespace. 0 or -errno. */
int run_overlay(void *userdata);
