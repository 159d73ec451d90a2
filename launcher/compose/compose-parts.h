/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The command line under construction and the parts that add to it, each in its own file. */

#include "compose.h"

typedef struct Composer {
        const VmConfig *config;     /* weak */
        const LaunchInputs *inputs; /* weak */
        const HostCaps *caps;       /* weak */
        const LaunchChoices *choices;
        bool confidential; /* SEV really on: neither plain nor simulated */
        char **argv;       /* owned until compose_qemu() hands it over */
        int *fds;
        size_t n_fds;
        int error; /* first failure; the rest is skipped */
} Composer;

/* Appends arguments; the last one of the variadic list is NULL. */
void compose_add(Composer *c, const char *first, ...) __attribute__((sentinel));
void compose_addf(Composer *c, const char *option, const char *format, ...) _printf_(3, 4);
/* Appends "-object|-device|... JSON"; takes the value, NULL is an error (out of memory). */
void compose_json(Composer *c, const char *option, Json *value);
/* As compose_json with a format for js_build(). */
#define compose_build(c, option, ...)                                                                       \
        ({                                                                                                  \
                Json *_j_ = NULL;                                                                           \
                if (js_build(&_j_, __VA_ARGS__) < 0)                                                        \
                        _j_ = NULL;                                                                         \
                compose_json((c), (option), _j_);                                                           \
        })
void compose_fd(Composer *c, int fd);

void compose_machine(Composer *c);
void compose_confidential(Composer *c);
void compose_boot(Composer *c);
void compose_strings(Composer *c);
void compose_channels(Composer *c);
void compose_devices(Composer *c);
