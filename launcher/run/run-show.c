/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-show.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "progress.h"

#define AFTER_USEC UINT64_C(1500000) /* what is done by then was not worth a line */
#define LINE_SIZE  120u
#define TRIES      1000u /* a child may have been forked while the lock was held */
#define CLEAR      "\r\033[K"

static struct {
        atomic_int fd; /* with 1 added; 0: nowhere */
        atomic_flag lock;
        bool shown;
} show = { .lock = ATOMIC_FLAG_INIT };

static bool take_lock(void) {
        for (unsigned i = 0; i < TRIES; i++) {
                if (!atomic_flag_test_and_set(&show.lock))
                        return true;
                (void) sched_yield();
        }
        return false;
}

static size_t put(char *line, size_t n, const char *text) {
        size_t k = strlen(text);

        k = k < LINE_SIZE - n ? k : LINE_SIZE - n;
        memcpy(line + n, text, k);
        return n + k;
}

static size_t put_number(char *line, size_t n, uint64_t value) {
        char digits[21];
        size_t i = sizeof(digits) - 1;

        digits[i] = 0;
        do
                digits[--i] = (char) ('0' + value % 10);
        while ((value /= 10) > 0);
        return put(line, n, digits + i);
}

static uint64_t now_usec(void) {
        struct timespec ts = {};

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

void show_open(int fd) {
        atomic_store(&show.fd, fd + 1);
}

bool show_is_open(void) {
        return atomic_load(&show.fd) > 0;
}

void show_now(void) {
        const int fd = atomic_load(&show.fd) - 1;
        const uint64_t begun = progress_begun(), now = now_usec();
        char line[LINE_SIZE];
        size_t n;

        if (fd < 0 || begun == 0 || now < begun + AFTER_USEC || !take_lock())
                return;
        n = put(line, 0, CLEAR "cvmspawn: ");
        n = put(line, n, progress_doing());
        n = put(line, n, " (");
        n = put_number(line, n, (now - begun) / 1000000);
        n = put(line, n, " s)");
        if (write(fd, line, n) > 0)
                show.shown = true;
        atomic_flag_clear(&show.lock);
}

void show_clear(void) {
        const int fd = atomic_load(&show.fd) - 1;

        if (fd < 0 || !take_lock())
                return;
        if (show.shown && write(fd, CLEAR, strlen(CLEAR)) > 0)
                show.shown = false;
        atomic_flag_clear(&show.lock);
}

void show_close(void) {
        show_clear();
        atomic_store(&show.fd, 0);
}
