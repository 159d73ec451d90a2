/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When an error of --faults= comes. The list is read at each step: nothing is read where none is set. */

#include <stdlib.h>
#include <string.h>

#include "sim-fault.h"

enum { STRUCK_MAX = 128 };

static bool struck[STRUCK_MAX]; /* by place in the table */

static const char *list(void) {
        const char *faults = getenv("CVMSPAWN_SEVSIM_FAULTS");

        return faults && *faults ? faults : NULL;
}

static const char *next(const char *p) {
        p += strcspn(p, ",");
        return *p ? p + 1 : NULL;
}

const SimFault *fault_strike(FaultStep step) {
        for (const char *p = list(); p; p = next(p)) {
                FaultStep at;
                const SimFault *f = fault_parse(p, &at);
                size_t i = f ? (size_t) (f - sim_faults) : STRUCK_MAX;

                if (i >= STRUCK_MAX || at != step)
                        continue;
                if (step < FAULT_CREATE_VM)
                        return f;
                if (!struck[i]) {
                        struck[i] = true;
                        return f;
                }
        }
        return NULL;
}

uint32_t fault_vm_types(uint32_t types) {
        for (const char *p = list(); p; p = next(p)) {
                FaultStep at;
                const SimFault *f = fault_parse(p, &at);

                if (f && at == FAULT_VM_TYPES)
                        types &= ~(UINT32_C(1) << f->error);
        }
        return types;
}
