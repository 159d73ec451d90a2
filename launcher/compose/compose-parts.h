/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The command line under construction and the parts that add to it, each in its own file. */

#include "compose.h"

typedef struct Composer {
        const VmConfig *config;     /* weak */
        const LaunchInputs *inputs; /* weak */
        const HostCaps *caps;       /* weak */
        const LaunchChoices *choices;
        bool confidential; /* SEV or TDX really on: neither plain nor simulated */
        bool tables; /* the same machine under TCG, whose tables are read before it runs: compose_tables() */
        char **argv; /* owned until compose_qemu() hands it over */
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

/* What is different for each vendor's technologies. */
typedef struct ComposeVendor {
        int (*add_object)(const Composer *c, const Coco *coco, Json *j);  /* the members of its object */
        int (*check)(const Composer *c, const Coco *coco, char **reterr); /* does the host have it? */
        void (*simulate)(Composer *c);                                    /* where nothing of it is there */
        const char *simulated_machine, *simulated_cpu;
} ComposeVendor;
const ComposeVendor *compose_vendor(const Coco *coco);

void compose_machine(Composer *c);
void compose_confidential(Composer *c);
void compose_boot(Composer *c);
void compose_strings(Composer *c);
void compose_channels(Composer *c);
void compose_devices(Composer *c);
