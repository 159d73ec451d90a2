/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of sim-rules share. */

#include <stdint.h>

enum { PAGES = 16 };

typedef struct Machine {
        int kvm, sev, vm, memfd;
        uint8_t *memory; /* PAGES pages, at guest address 0 */
} Machine;

/* wanted: 0, or the errno that the request must fail with. */
void expect(const char *rule, int got, int wanted);
Machine machine_new(unsigned long type);
int set_memory(const Machine *m, uint32_t slot, uint64_t gpa, uint32_t flags, uint64_t size);
int set_private(const Machine *m, uint64_t gpa, uint64_t size, uint64_t attributes);
/* sim-rules-tdx.c */
void rules_of_tdx(void);
