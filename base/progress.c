/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "progress.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic uint64_t last, begun;
static const char *_Atomic doing = "starting";

void progress_step(const char *what) {
        atomic_store(&doing, what);
        progress_note();
        atomic_store(&begun, atomic_load(&last));
}

void progress_note(void) {
        struct timespec ts = {};

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        atomic_store(&last, (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000);
}

uint64_t progress_usec(void) {
        return atomic_load(&last);
}

uint64_t progress_begun(void) {
        return atomic_load(&begun);
}

const char *progress_doing(void) {
        return atomic_load(&doing);
}
