/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <signal.h>
#include <time.h>

#include "run-matrix.h"

uint64_t matrix_usec(void) {
        struct timespec ts = {};

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

unsigned matrix_status(int code, int status) {
        return code == CLD_EXITED ? (unsigned) status : 128 + (unsigned) status;
}
