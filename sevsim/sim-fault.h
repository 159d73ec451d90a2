/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Errors of the kernel and of the secure processor by name, for tests of what a launcher makes of them. The runner's --faults=
 * is CVMSPAWN_SEVSIM_FAULTS here: NAME[@STEP], separated by commas. What a host lacks is missing all the time; an error comes once. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum FaultStep {
        /* as long as the process lives */
        FAULT_OPEN_KVM,
        FAULT_OPEN_SEV,
        FAULT_VM_TYPES,
        /* once */
        FAULT_CREATE_VM,
        FAULT_CREATE_VCPU,
        FAULT_GUEST_MEMFD,
        FAULT_PRIVATE,
        FAULT_PIN,
        FAULT_STATUS,
        /* once, and of launch commands: an error can be moved from one to another */
        FAULT_INIT,
        FAULT_START,
        FAULT_UPDATE,
        FAULT_VMSA,
        FAULT_MEASURE,
        FAULT_SECRET,
        FAULT_FINISH,
        FAULT_TDX_CAPABILITIES,
        FAULT_TDX_INIT,
        FAULT_TDX_VCPU,
        FAULT_TDX_MEMORY,
        FAULT_TDX_FINISH,
        _FAULT_STEP_MAX,
        _FAULT_STEP_INVALID = -1,
} FaultStep;

typedef struct SimFault {
        const char *name;
        FaultStep step;
        int error;         /* errno; FAULT_VM_TYPES: the type that is missing */
        unsigned firmware; /* the secure processor's status; 0: it was not asked */
        const char *text;
} SimFault;

/* sim-fault-table.c */
extern const SimFault sim_faults[];
extern const size_t sim_faults_n;
const char *fault_step_to_string(FaultStep step);
/* Reads one NAME[@STEP] up to a comma or the end. NULL: not known, or it does not occur at that step. */
const SimFault *fault_parse(const char *text, FaultStep *ret_step);

/* sim-fault.c: an error that is to come at this step, now; or NULL. */
const SimFault *fault_strike(FaultStep step);
/* The VM types that KVM offers, less the missing ones. */
uint32_t fault_vm_types(uint32_t types);
