/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The initial VMSA: the page with a vCPU's registers at start, which SEV-ES and SEV-SNP measure.
 *
 * Layout: AMD 24593 (APM volume 2), appendix B, table B-4. Values: the x86 reset state as each hypervisor sets it up
 * (vmm-profile.h); all bytes that are not named are zero. */

#include <stdbool.h>
#include <stdint.h>

#include "macro.h"
#include "sev-abi.h"
#include "vmm-profile.h"

typedef enum VmsaOffset {
        VMSA_ES = 0x000, /* a segment: u16 selector, u16 attributes, u32 limit, u64 base */
        VMSA_CS = 0x010,
        VMSA_SS = 0x020,
        VMSA_DS = 0x030,
        VMSA_FS = 0x040,
        VMSA_GS = 0x050,
        VMSA_GDTR = 0x060,
        VMSA_LDTR = 0x070,
        VMSA_IDTR = 0x080,
        VMSA_TR = 0x090,
        VMSA_EFER = 0x0d0,
        VMSA_CR4 = 0x148,
        VMSA_CR0 = 0x158,
        VMSA_DR7 = 0x160,
        VMSA_DR6 = 0x168,
        VMSA_RFLAGS = 0x170,
        VMSA_RIP = 0x178,
        VMSA_G_PAT = 0x268,
        VMSA_RDX = 0x310,
        VMSA_SEV_FEATURES = 0x3b0,
        VMSA_XCR0 = 0x3e8,
        VMSA_MXCSR = 0x408,
        VMSA_X87_FCW = 0x410,
} VmsaOffset;

typedef struct VmsaSpec {
        VmmProfile profile;
        bool application; /* an application processor: starts at `entry` instead of the reset vector */
        uint32_t entry;   /* of application processors; of all processors with an SVSM profile */
        uint32_t signature;
        uint64_t features; /* SEV_FEATURES; ignored by the SVSM profiles, which have SNPActive only */
} VmsaSpec;

void vmsa_build(const VmsaSpec *spec, uint8_t ret[static SEV_PAGE_SIZE]);

/* One register of a page by name, for people who compare two pages. */
typedef struct VmsaField {
        const char *name;
        uint16_t offset, size; /* 1, 2, 4 or 8 bytes, little endian */
} VmsaField;

const VmsaField *vmsa_fields(size_t *ret_n);
uint64_t vmsa_field_value(const VmsaField *f, const uint8_t page[static SEV_PAGE_SIZE]);
