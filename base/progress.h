/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How far a long operation of this process has come, for somebody who watches that it goes on; from any thread and signal handler. */

#include <stdint.h>

/* What is done from here on: "copying the files"; a literal. */
void progress_step(const char *doing);
/* Another piece of it is done. */
void progress_note(void);

/* When there was progress last: CLOCK_MONOTONIC in microseconds; 0: not yet. */
uint64_t progress_usec(void);
/* When the last step began, likewise. */
uint64_t progress_begun(void);
/* The last step; borrowed, never NULL. */
const char *progress_doing(void);
