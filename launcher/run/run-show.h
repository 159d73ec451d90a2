/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One line on a terminal that says what a launch is doing, and for how long: progress.h knows. It takes no lock and allocates nothing, and a
 * terminal that takes nothing is not waited for. */

#include <stdbool.h>

#define SHOW_USEC UINT64_C(1000000) /* between one time and the next */

/* fd: a terminal that does not block, borrowed. Nothing is shown before. */
void show_open(int fd);
/* Shows the line, or another time in it, if that has lasted for a while. From any thread. */
void show_now(void);
bool show_is_open(void);
/* Takes the line away, so that something else may be written. */
void show_clear(void);
/* The same, for good. */
void show_close(void);
