/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim-bytes.h"
#include "sim-generation.h"

/* AMD 56860, table of TCB_VERSION; AMD 57230, extensions of a VCEK certificate. Turin's certificates have no 3.4. */
static const SimGeneration generations[] = {
        { "genoa", "Genoa", "Genoa", 0x19, 0x11, 1, 0, { 10, 0, 0, 0, 0, 0, 23, 84 },
                        { "3.1", "3.2", "3.4", "3.5", "3.6", "3.7", "3.3", "3.8" }, 64 },
        { "milan", "Milan", "Milan-B0", 0x19, 0x01, 1, 0, { 4, 0, 0, 0, 0, 0, 24, 219 },
                        { "3.1", "3.2", "3.4", "3.5", "3.6", "3.7", "3.3", "3.8" }, 64 },
        { "turin", "Turin", "Turin", 0x1a, 0x02, 1, 1, { 1, 1, 1, 4, 0, 0, 0, 81 },
                        { "3.9", "3.1", "3.2", "3.3", "3.5", "3.6", "3.7", "3.8" }, 8 },
};

const SimGeneration *generation_by_name(const char *name) {
        for (size_t i = 0; i < sizeof(generations) / sizeof(generations[0]); i++)
                if (strcmp(generations[i].name, name) == 0)
                        return generations + i;
        return NULL;
}

const SimGeneration *generation_of(const char *platform) {
        const SimGeneration *generation = NULL;
        char path[4096], text[32] = "";
        int fd = -1;

        if (platform && snprintf(path, sizeof(path), "%s/generation", platform) < (int) sizeof(path))
                fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
                ssize_t n = read(fd, text, sizeof(text) - 1);

                close(fd);
                text[n > 0 ? n : 0] = '\0';
                text[strcspn(text, " \n")] = '\0';
                generation = generation_by_name(text);
        }
        return generation ? generation : generations;
}

uint64_t generation_tcb(const SimGeneration *generation) {
        return get_le64(generation->tcb);
}
