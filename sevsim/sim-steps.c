/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When the stepping for CPUID 0x8000001f begins (sim-cpuid-trap.c). */

#include <stdlib.h>

#include "sim-device.h"
#include "sim-machine.h"
#include "sim-platform.h"

enum {
        /* Instructions that QEMU executes between its last request and CPUID: some thousand at INIT, and base64
         * of the certificates for query-sev-capabilities. */
        STEPS_LAUNCH = 20000,
        STEPS_CAPABILITIES = 3000000,
};

/* Steps take a hundredth of a second of each launch. Who measures time names the one extension that QEMU asks for last before the
 * instruction. */
static bool step_after(long extension) {
        const char *only = getenv("CVMSPAWN_SEVSIM_STEP_AFTER");

        return !only || strtol(only, NULL, 10) == extension;
}

/* -1: what runs does not execute the instruction. */
static bool steps_off(void) {
        const char *only = getenv("CVMSPAWN_SEVSIM_STEP_AFTER");

        return only && strtol(only, NULL, 10) < 0;
}

/* Requests after which QEMU is about to execute CPUID 0x8000001f. */
unsigned steps_after(const Device *device, unsigned long request, void *arg) {
        if (steps_off())
                return 0;
        if (device->kind == DEVICE_SEV && request == SIM_SEV_ISSUE_CMD &&
                        ((SimSevIssueCmd *) arg)->cmd == PLATFORM_GET_ID2)
                return STEPS_CAPABILITIES;
        /* A machine without SEV never executes the instruction: what has a vCPU is such a machine. */
        if (request == KVM_CHECK_EXTENSION && vm_newest() && vm_newest()->n_vcpus == 0 &&
                        !cpuid_trap_answered() && step_after((long) (uintptr_t) arg))
                return STEPS_LAUNCH;
        /* A machine in place of one that was reset: nothing is asked of KVM again, so any request may be the last. */
        if (vm_newest() && vm_newest()->index > 0 && vm_newest()->n_vcpus == 0 && !cpuid_trap_answered())
                return STEPS_LAUNCH;
        return 0;
}
