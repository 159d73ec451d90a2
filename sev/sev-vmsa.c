/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sev-vmsa.h"

#include <string.h>

#include "bytes.h"
#include "strutil.h"

#define RESET_VECTOR 0xfffffff0u

static void put_segment(uint8_t *page, VmsaOffset at, VmsaSegment s, uint64_t base) {
        le16_write(page + at, s.selector);
        le16_write(page + at + 2, s.attributes);
        le32_write(page + at + 4, s.limit);
        le64_write(page + at + 8, base);
}

void vmsa_build(const VmsaSpec *spec, uint8_t ret[static SEV_PAGE_SIZE]) {
        const VmmRegisters *f = &vmm_row(spec->profile)->registers;
        uint32_t eip = spec->application || f->flat ? spec->entry : RESET_VECTOR;

        memset(ret, 0, SEV_PAGE_SIZE);

        put_segment(ret, VMSA_ES, f->data, 0);
        put_segment(ret, VMSA_CS, spec->application ? f->cs_application : f->cs_boot,
                        f->flat ? 0 : eip & 0xffff0000);
        put_segment(ret, VMSA_SS, f->ss, 0);
        put_segment(ret, VMSA_DS, f->data, 0);
        put_segment(ret, VMSA_FS, f->data, 0);
        put_segment(ret, VMSA_GS, (VmsaSegment) { 0, 0x93, 0xffff }, 0);
        put_segment(ret, VMSA_GDTR, (VmsaSegment) { 0, 0, 0xffff }, 0);
        put_segment(ret, VMSA_LDTR, (VmsaSegment) { 0, 0x82, 0xffff }, 0);
        put_segment(ret, VMSA_IDTR, (VmsaSegment) { 0, 0, 0xffff }, 0);
        put_segment(ret, VMSA_TR, (VmsaSegment) { 0, f->tr_attributes, 0xffff }, 0);

        le64_write(ret + VMSA_EFER, 0x1000); /* SVME */
        le64_write(ret + VMSA_CR4, 0x40);    /* MCE */
        le64_write(ret + VMSA_CR0, f->cr0);
        le64_write(ret + VMSA_DR7, 0x400);
        le64_write(ret + VMSA_DR6, 0xffff0ff0);
        le64_write(ret + VMSA_RFLAGS, 2);
        le64_write(ret + VMSA_RIP, f->flat ? eip : eip & 0xffff);
        le64_write(ret + VMSA_G_PAT, f->g_pat);
        le64_write(ret + VMSA_RDX, f->rdx_is_signature ? spec->signature : f->rdx);
        le64_write(ret + VMSA_SEV_FEATURES, f->flat ? 1 : spec->features);
        le64_write(ret + VMSA_XCR0, 1);
        le32_write(ret + VMSA_MXCSR, f->mxcsr);
        le16_write(ret + VMSA_X87_FCW, f->fcw);
}

#define SEGMENT_FIELDS(name, at)                                                                            \
        { name ".selector", (at), 2 }, { name ".attributes", (at) + 2, 2 }, { name ".limit", (at) + 4, 4 }, \
        {                                                                                                   \
                name ".base", (at) + 8, 8                                                                   \
        }

static const VmsaField fields[] = {
        SEGMENT_FIELDS("es", VMSA_ES),
        SEGMENT_FIELDS("cs", VMSA_CS),
        SEGMENT_FIELDS("ss", VMSA_SS),
        SEGMENT_FIELDS("ds", VMSA_DS),
        SEGMENT_FIELDS("fs", VMSA_FS),
        SEGMENT_FIELDS("gs", VMSA_GS),
        SEGMENT_FIELDS("gdtr", VMSA_GDTR),
        SEGMENT_FIELDS("ldtr", VMSA_LDTR),
        SEGMENT_FIELDS("idtr", VMSA_IDTR),
        SEGMENT_FIELDS("tr", VMSA_TR),
        { "vmpl", 0x0ca, 1 },
        { "cpl", 0x0cb, 1 },
        { "efer", VMSA_EFER, 8 },
        { "xss", 0x140, 8 },
        { "cr4", VMSA_CR4, 8 },
        { "cr3", 0x150, 8 },
        { "cr0", VMSA_CR0, 8 },
        { "dr7", VMSA_DR7, 8 },
        { "dr6", VMSA_DR6, 8 },
        { "rflags", VMSA_RFLAGS, 8 },
        { "rip", VMSA_RIP, 8 },
        { "rsp", 0x1d8, 8 },
        { "rax", 0x1f8, 8 },
        { "cr2", 0x240, 8 },
        { "g_pat", VMSA_G_PAT, 8 },
        { "pkru", 0x2e8, 4 },
        { "tsc_aux", 0x2ec, 4 },
        { "rcx", 0x308, 8 },
        { "rdx", VMSA_RDX, 8 },
        { "rbx", 0x318, 8 },
        { "rbp", 0x328, 8 },
        { "rsi", 0x330, 8 },
        { "rdi", 0x338, 8 },
        { "r8", 0x340, 8 },
        { "sev_features", VMSA_SEV_FEATURES, 8 },
        { "virtual_tom", 0x3c8, 8 },
        { "xcr0", VMSA_XCR0, 8 },
        { "mxcsr", VMSA_MXCSR, 4 },
        { "x87_fcw", VMSA_X87_FCW, 2 },
};

const VmsaField *vmsa_fields(size_t *ret_n) {
        *ret_n = ELEMENTSOF(fields);
        return fields;
}

uint64_t vmsa_field_value(const VmsaField *f, const uint8_t page[static SEV_PAGE_SIZE]) {
        uint64_t v = 0;

        assert(f->size <= 8 && f->offset + f->size <= SEV_PAGE_SIZE);
        for (unsigned i = f->size; i > 0; i--)
                v = v << 8 | page[f->offset + i - 1];
        return v;
}
