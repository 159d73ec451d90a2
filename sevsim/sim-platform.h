/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "sim-abi.h"

/* Requests on /dev/sev (sim-platform.c). */
int platform_ioctl(unsigned long request, void *arg);
/* PDH_GEN: a new key for sessions, signed by the PEK, in the platform's folder (sim-platform-keys.c). */
int platform_new_pdh(SimSevIssueCmd *cmd);

/* Answers the CPUID instruction for leaf 0x8000001f, from now on until it came or far too much else did
 * (sim-cpuid-trap.c). Nothing happens where the processor itself answers with the simulated C-bit. */
void cpuid_trap_arm(unsigned max_steps);
/* How many steps are due after this request of QEMU, or 0 (sim-steps.c). */
struct Device;
unsigned steps_after(const struct Device *device, unsigned long request, void *arg);
/* Ends the stepping early: every request that comes in does so. */
void cpuid_trap_stop(void);
bool cpuid_trap_answered(void);
/* A machine begins: QEMU executes the instruction for each, also for one that replaces another at a reset; but for no TD. */
void cpuid_trap_expect(bool expected);
