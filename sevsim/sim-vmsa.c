/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A model of what Linux' KVM puts into a VMSA (AMD 24593, table B-4 "VMSA layout").
 *
 * QEMU never writes a VMSA: it sets registers, KVM keeps them in the VMCB save area and copies that area, with
 * some fields from elsewhere, when the launch ends. This file models these kernel functions (Linux 6.16,
 * arch/x86/kvm/svm): init_vmcb(), svm_set_segment(), svm_set_cr0(), svm_set_cr4(), svm_set_efer(),
 * svm_set_msr(), sev_es_sync_vmsa(). On hardware the kernel supplies it; here it is a model, and a kernel that
 * changes these functions changes the digest without this file knowing. */

#include <string.h>

#include "sim-bytes.h"
#include "sim-machine.h"

enum {
        VMSA_GDTR = 0x60,
        VMSA_LDTR = 0x70,
        VMSA_IDTR = 0x80,
        VMSA_TR = 0x90,
        VMSA_CPL = 0xcb,
        VMSA_EFER = 0xd0,
        VMSA_XSS = 0x140,
        VMSA_CR4 = 0x148,
        VMSA_CR3 = 0x150,
        VMSA_CR0 = 0x158,
        VMSA_DR7 = 0x160,
        VMSA_DR6 = 0x168,
        VMSA_RFLAGS = 0x170,
        VMSA_RIP = 0x178,
        VMSA_RSP = 0x1d8,
        VMSA_RAX = 0x1f8,
        VMSA_STAR = 0x200,
        VMSA_LSTAR = 0x208,
        VMSA_CSTAR = 0x210,
        VMSA_SFMASK = 0x218,
        VMSA_KERNEL_GS_BASE = 0x220,
        VMSA_SYSENTER_CS = 0x228,
        VMSA_SYSENTER_ESP = 0x230,
        VMSA_SYSENTER_EIP = 0x238,
        VMSA_G_PAT = 0x268,
        VMSA_DBGCTL = 0x270,
        VMSA_RCX = 0x308,
        VMSA_SEV_FEATURES = 0x3b0,
        VMSA_XCR0 = 0x3e8,
        VMSA_X87_DP = 0x400,
        VMSA_MXCSR = 0x408,
        VMSA_X87_FTW = 0x40c,
        VMSA_X87_FSW = 0x40e,
        VMSA_X87_FCW = 0x410,
        VMSA_X87_FOP = 0x412,
        VMSA_X87_RIP = 0x418,
        VMSA_X87_REGISTERS = 0x420, /* 8 registers of 10 bytes */
        VMSA_XMM = 0x470,
        VMSA_YMM = 0x570,
};

#define EFER_SVME (1ULL << 12)
#define CR0_CD    (1ULL << 30)
#define CR0_NW    (1ULL << 29)
#define CR4_MCE   (1ULL << 6)

#define MSR_SYSENTER_CS    0x174U
#define MSR_SYSENTER_ESP   0x175U
#define MSR_SYSENTER_EIP   0x176U
#define MSR_DEBUGCTL       0x1d9U
#define MSR_PAT            0x277U
#define MSR_XSS            0xda0U
#define MSR_STAR           0xc0000081U
#define MSR_LSTAR          0xc0000082U
#define MSR_CSTAR          0xc0000083U
#define MSR_SFMASK         0xc0000084U
#define MSR_KERNEL_GS_BASE 0xc0000102U

/* svm_set_segment(): the descriptor's attributes move together into twelve bits. */
static void put_segment(uint8_t *p, const struct kvm_segment *s) {
        unsigned attributes = s->type & 0xfU;

        attributes |= (s->s & 1U) << 4 | (s->dpl & 3U) << 5;
        attributes |= (s->present && !s->unusable ? 1U : 0U) << 7;
        attributes |= (s->avl & 1U) << 8 | (s->l & 1U) << 9 | (s->db & 1U) << 10 | (s->g & 1U) << 11;

        put_le16(p, s->selector);
        put_le16(p + 2, (uint16_t) attributes);
        put_le32(p + 4, s->limit);
        put_le64(p + 8, s->base);
}

static void put_table(uint8_t *p, const struct kvm_dtable *t) {
        put_le32(p + 4, t->limit);
        put_le64(p + 8, t->base);
}

static void put_segments(uint8_t *page, const struct kvm_sregs2 *s) {
        const struct kvm_segment *segments[] = { &s->es, &s->cs, &s->ss, &s->ds, &s->fs, &s->gs };

        for (size_t i = 0; i < sizeof(segments) / sizeof(segments[0]); i++)
                put_segment(page + 16 * i, segments[i]);
        put_table(page + VMSA_GDTR, &s->gdt);
        put_segment(page + VMSA_LDTR, &s->ldt);
        put_table(page + VMSA_IDTR, &s->idt);
        put_segment(page + VMSA_TR, &s->tr);
        page[VMSA_CPL] = s->ss.dpl & 3;
}

static void put_general(uint8_t *page, const struct kvm_regs *r) {
        /* rcx, rdx, rbx lie together; rsp has its own place; rbp to r15 follow after a gap (sev_es_sync_vmsa). */
        const uint64_t from_rcx[] = { r->rcx, r->rdx, r->rbx };
        const uint64_t from_rbp[] = { r->rbp, r->rsi, r->rdi, r->r8, r->r9, r->r10, r->r11, r->r12, r->r13,
                r->r14, r->r15 };

        put_le64(page + VMSA_RAX, r->rax);
        put_le64(page + VMSA_RSP, r->rsp);
        for (size_t i = 0; i < 3; i++)
                put_le64(page + VMSA_RCX + 8 * i, from_rcx[i]);
        for (size_t i = 0; i < 11; i++)
                put_le64(page + VMSA_RCX + 0x20 + 8 * i, from_rbp[i]);
        put_le64(page + VMSA_RIP, r->rip);
        put_le64(page + VMSA_RFLAGS, r->rflags);
}

/* Only machines of the new kinds get their floating point state copied (kernel 6.10 and later). */
static void put_fpu(uint8_t *page, const uint8_t *xsave) {
        memcpy(page + VMSA_X87_FCW, xsave + 0, 2);
        memcpy(page + VMSA_X87_FSW, xsave + 2, 2);
        put_le16(page + VMSA_X87_FTW, xsave[4]);
        memcpy(page + VMSA_X87_FOP, xsave + 6, 2);
        memcpy(page + VMSA_X87_RIP, xsave + 8, 8);
        memcpy(page + VMSA_X87_DP, xsave + 16, 8);
        memcpy(page + VMSA_MXCSR, xsave + 24, 4);
        for (size_t i = 0; i < 8; i++)
                memcpy(page + VMSA_X87_REGISTERS + 10 * i, xsave + 32 + 16 * i, 10);
        memcpy(page + VMSA_XMM, xsave + 160, 256);
        if (get_le64(xsave + 512) & 4)
                memcpy(page + VMSA_YMM, xsave + 576, 256);
}

void vmsa_build(const SimVm *vm, const SimVcpu *vcpu, uint8_t ret[static SIM_PAGE_SIZE]) {
        const struct kvm_sregs2 *s = &vcpu->sregs;
        static const struct {
                unsigned offset;
                uint32_t msr;
        } msrs[] = {
                { VMSA_XSS, MSR_XSS },
                { VMSA_STAR, MSR_STAR },
                { VMSA_LSTAR, MSR_LSTAR },
                { VMSA_CSTAR, MSR_CSTAR },
                { VMSA_SFMASK, MSR_SFMASK },
                { VMSA_KERNEL_GS_BASE, MSR_KERNEL_GS_BASE },
                { VMSA_SYSENTER_CS, MSR_SYSENTER_CS },
                { VMSA_SYSENTER_ESP, MSR_SYSENTER_ESP },
                { VMSA_SYSENTER_EIP, MSR_SYSENTER_EIP },
                { VMSA_G_PAT, MSR_PAT },
                { VMSA_DBGCTL, MSR_DEBUGCTL },
        };

        memset(ret, 0, SIM_PAGE_SIZE);
        put_segments(ret, s);
        put_general(ret, &vcpu->regs);
        for (size_t i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++)
                put_le64(ret + msrs[i].offset, vcpu_msr(vcpu, msrs[i].msr));

        put_le64(ret + VMSA_EFER, s->efer | EFER_SVME);
        put_le64(ret + VMSA_CR0, s->cr0 & ~(CR0_CD | CR0_NW));
        put_le64(ret + VMSA_CR3, s->cr3);
        put_le64(ret + VMSA_CR4, s->cr4 | CR4_MCE);
        /* CR2 reaches the VMCB only when a vCPU runs, which none has. */
        put_le64(ret + VMSA_DR6, vcpu->debugregs.dr6);
        put_le64(ret + VMSA_DR7, vcpu->debugregs.dr7);
        for (uint32_t i = 0; i < vcpu->xcrs.nr_xcrs && i < KVM_MAX_XCRS; i++)
                if (vcpu->xcrs.xcrs[i].xcr == 0)
                        put_le64(ret + VMSA_XCR0, vcpu->xcrs.xcrs[i].value);
        put_le64(ret + VMSA_SEV_FEATURES, vm->vmsa_features);
        if (vm->type != VM_TYPE_DEFAULT)
                put_fpu(ret, vcpu->xsave);
}
