/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What all programs on one simulated host share (cvmspawn sevsim --listen=): address space identifiers and handles of guests, and how many run.
 * Without such a host each process has a host for itself, and nothing here does anything. */

#include <stdbool.h>
#include <stdint.h>

#include "sim-machine.h"

/* Gives the machine an identifier of its kind until its last process ends. -EBUSY (of a TD -ENOSPC) if all are in use; -EIO: the state of
 * the host cannot be opened. */
int host_seat_take(SimVm *vm);
void host_seat_free(SimVm *vm);
/* The secure processor's part begins: a handle that no other guest of the host has had. */
int host_guest_start(SimVm *vm);
uint32_t host_handle(const SimVm *vm);
/* Guests that the secure processor knows; SNP guests are counted apart. */
uint32_t host_guest_count(bool snp);
