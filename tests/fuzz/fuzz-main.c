/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs a fuzz target over the files of a directory, as they are, cut off at every length, and with mutations that are the
 * same in every run. A crash, a sanitizer report or the alarm is the failure. */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "macro.h"

#define INPUT_MAX       ((size_t) 1024 * 1024)
#define TRUNCATIONS_MAX 512u
#define MUTATIONS       512u
#ifdef __SANITIZE_ADDRESS__
#define SECONDS_MAX 400u
#else
#define SECONDS_MAX 100u
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly the size, so that a sanitizer sees the first byte read after it. */
static void run_copy(const char *data, size_t size) {
        _cleanup_free_ uint8_t *copy = malloc(MAX(size, (size_t) 1));

        if (!copy)
                abort();
        if (size > 0)
                memcpy(copy, data, size);
        (void) LLVMFuzzerTestOneInput(copy, size);
}

static uint32_t next_random(uint32_t *state) {
        *state = *state * 1664525u +
                        1013904223u; /* a linear congruence: no quality is needed, only repetition */
        return *state >> 8;
}

static void run_mutations(char *data, size_t size) {
        uint32_t state = 1;

        for (unsigned i = 0; i < MUTATIONS && size > 0; i++) {
                size_t at = next_random(&state) % size;
                char saved = data[at];

                data[at] = (char) (i % 2 ? saved ^ (1 << next_random(&state) % 8)
                                         : (int) next_random(&state));
                run_copy(data, size);
                data[at] = saved;
        }
}

static int run_file(const char *path) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        r = file_read_all(path, INPUT_MAX, &data, &size);
        if (r < 0) {
                (void) fprintf(stderr, "cannot read %s: %s\n", path, strerror(-r));
                return r;
        }
        run_copy(data, size);
        for (size_t n = 0; n < size; n += 1 + size / TRUNCATIONS_MAX)
                run_copy(data, n);
        run_mutations(data, size);
        return 0;
}

int main(int argc, char **argv) {
        unsigned n = 0;
        struct dirent *e;
        DIR *d;

        if (argc != 2 || !(d = opendir(argv[1]))) {
                (void) fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
                return EXIT_FAILURE;
        }
        (void) alarm(SECONDS_MAX);
        while ((e = readdir(d))) {
                char path[4096];

                if (e->d_name[0] == '.')
                        continue;
                (void) snprintf(path, sizeof(path), "%s/%s", argv[1], e->d_name);
                if (run_file(path) < 0)
                        return EXIT_FAILURE;
                n++;
        }
        (void) closedir(d);
        (void) printf("%u inputs\n", n);
        return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
