/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the simulated TDX module keeps of one TD. */

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct SimTdx {
        bool created, finalized;
        bool split_irqchip; /* KVM_ENABLE_CAP */
        uint64_t shared_bit;
        EVP_MD_CTX *mrtd; /* owned */
        uint64_t hob;     /* what INIT_VCPU handed to the vCPUs: the address of the list of memory */
        uint8_t digest[48];
} SimTdx;

/* sim-tdx-measure.c: the module's TDH.MNG.INIT, TDH.MEM.PAGE.ADD, TDH.MR.EXTEND and TDH.MR.FINALIZE, as far as MRTD is concerned */
int tdx_measure_begin(SimTdx *t);
int tdx_measure_add(SimTdx *t, uint64_t gpa);
int tdx_measure_extend(SimTdx *t, uint64_t gpa, const uint8_t chunk[static 256]);
int tdx_measure_end(SimTdx *t);
