/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

/* A set-up without progress for so long is given up. A separate file defines it: a test program links a shorter one. */
#define RUN_GIVEN_UP "the launch was given up: nothing happened for %ju s while "
extern const uint64_t run_set_up_usec;
