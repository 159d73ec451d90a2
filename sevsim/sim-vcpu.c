/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sim-machine.h"

enum {
        MSR_IA32_CR_PAT_INDEX = 0x277,
        SYSTEM_EVENT_SHUTDOWN = 1,
};

/* fpstate_init_fxstate(): FCW 0x37f, MXCSR 0x1f80, all else zero. */
static void xsave_initial(uint8_t *area) {
        memset(area, 0, 160);
        area[0] = 0x7f;
        area[1] = 0x03;
        area[24] = 0x80;
        area[25] = 0x1f;
}

/* The power-on state as far as a monitor could read it before it sets its own (init_vmcb(), kvm_vcpu_reset()). */
static void vcpu_reset(SimVcpu *vcpu) {
        static const struct kvm_segment data = { .limit = 0xffff, .type = 3, .present = 1, .s = 1 };
        struct kvm_sregs2 *s = &vcpu->sregs;

        s->es = s->ss = s->ds = s->fs = s->gs = s->cs = data;
        s->cs.selector = 0xf000;
        s->cs.base = 0xffff0000;
        s->cs.type = 11;
        s->ldt = (struct kvm_segment) { .limit = 0xffff, .type = 2, .present = 1 };
        s->tr = (struct kvm_segment) { .limit = 0xffff, .type = 11, .present = 1 };
        s->gdt.limit = s->idt.limit = 0xffff;
        s->cr0 = 0x60000010;
        s->apic_base = 0xfee00800 | (vcpu->index == 0 ? 0x100 : 0);
        vcpu->regs.rip = 0xfff0;
        vcpu->regs.rflags = 2;
        vcpu->debugregs.dr6 = 0xffff0ff0;
        vcpu->debugregs.dr7 = 0x400;
        vcpu->xcrs = (struct kvm_xcrs) { .nr_xcrs = 1, .xcrs = { { .value = 1 } } };
        vcpu->mp_state.mp_state = vcpu->index == 0 ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED;
        xsave_initial(vcpu->xsave);
        vcpu->msrs[vcpu->n_msrs++] = (SimMsr) { MSR_IA32_CR_PAT_INDEX, 0x0007040600070406ULL };
        vcpu->tsc_khz = SIM_TSC_KHZ;
}

int vcpu_create(SimVm *vm, uint32_t id, int fd, SimVcpu **ret) {
        SimVcpu *vcpu;

        if (vm->n_vcpus >= SIM_VCPUS_MAX)
                return -EINVAL;
        if (vm->type == VM_TYPE_TDX) {
                int r = tdx_vcpu_may_be_created(vm);

                if (r < 0)
                        return r;
                vm->protected = true; /* its registers are the module's from the beginning */
        }
        for (unsigned i = 0; i < vm->n_vcpus; i++)
                if (vm->vcpus[i]->id == id)
                        return -EEXIST;

        vcpu = calloc(1, sizeof(SimVcpu));
        if (!vcpu)
                return -ENOMEM;
        vcpu->run = mmap(NULL, SIM_RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (vcpu->run == MAP_FAILED) {
                free(vcpu);
                return -ENOMEM;
        }
        vcpu->index = vm->n_vcpus;
        vcpu->id = id;
        vcpu_reset(vcpu);
        vm->vcpus[vm->n_vcpus++] = vcpu;
        *ret = vcpu;
        return 0;
}

void vcpu_free(SimVcpu *vcpu) {
        if (!vcpu)
                return;
        munmap(vcpu->run, SIM_RUN_SIZE);
        free(vcpu);
}

uint64_t vcpu_msr(const SimVcpu *vcpu, uint32_t index) {
        for (size_t i = 0; i < vcpu->n_msrs; i++)
                if (vcpu->msrs[i].index == index)
                        return vcpu->msrs[i].value;
        return 0;
}

static int vcpu_set_msr(SimVcpu *vcpu, uint32_t index, uint64_t value) {
        for (size_t i = 0; i < vcpu->n_msrs; i++)
                if (vcpu->msrs[i].index == index) {
                        vcpu->msrs[i].value = value;
                        return 0;
                }
        if (vcpu->n_msrs >= SIM_MSRS_MAX)
                return -EINVAL;
        vcpu->msrs[vcpu->n_msrs++] = (SimMsr) { index, value };
        return 0;
}

/* Registers that the guest accesses without the kernel live in the encrypted VMSA: sev_es_prevent_msr_access(). */
static bool msr_is_guests(uint32_t index) {
        static const uint32_t indices[] = {
                0x174,
                0x175,
                0x176,
                0x1d9,
                0x277,
                0xda0,
                0xc0000080,
                0xc0000081,
                0xc0000082,
                0xc0000083,
                0xc0000084,
                0xc0000100,
                0xc0000101,
                0xc0000102,
                0xc0000103,
        };

        for (size_t i = 0; i < sizeof(indices) / sizeof(indices[0]); i++)
                if (indices[i] == index)
                        return true;
        return false;
}

/* Both ways answer how many of the list went through, as the kernel does. */
static int vcpu_msrs(SimVm *vm, SimVcpu *vcpu, struct kvm_msrs *list, bool set) {
        for (uint32_t i = 0; i < list->nmsrs; i++) {
                struct kvm_msr_entry *e = list->entries + i;

                if (vm->protected && msr_is_guests(e->index)) {
                        if (vm_has_protected_state(vm)) {
                                (void) vm_refuse(vm, -EINVAL, "MSR access after the VMSA is encrypted");
                                return (int) i;
                        }
                        if (!set)
                                e->data = 0;
                } else if (!set)
                        e->data = vcpu_msr(vcpu, e->index);
                else if (vcpu_set_msr(vcpu, e->index, e->data) < 0)
                        return (int) i;
        }
        return (int) list->nmsrs;
}

static int vcpu_set_cpuid(SimVm *vm, SimVcpu *vcpu, const struct kvm_cpuid2 *list) {
        if (list->nent > SIM_CPUID_MAX)
                return vm_refuse(vm, -E2BIG, "too many CPUID entries");
        memcpy(vcpu->cpuid, list->entries, list->nent * sizeof(struct kvm_cpuid_entry2));
        vcpu->n_cpuid = list->nent;
        return 0;
}

static int vcpu_get_cpuid(const SimVcpu *vcpu, struct kvm_cpuid2 *list) {
        if (list->nent < vcpu->n_cpuid)
                return -E2BIG;
        memcpy(list->entries, vcpu->cpuid, vcpu->n_cpuid * sizeof(struct kvm_cpuid_entry2));
        list->nent = (uint32_t) vcpu->n_cpuid;
        return 0;
}

/* KVM_SET_SREGS carries the same registers in an older structure with a bitmap where SREGS2 has flags. */
static int vcpu_sregs(SimVcpu *vcpu, struct kvm_sregs *s, bool set) {
        static_assert(offsetof(struct kvm_sregs, interrupt_bitmap) == offsetof(struct kvm_sregs2, flags),
                        "kvm_sregs and kvm_sregs2 have a common beginning");
        const size_t common = offsetof(struct kvm_sregs, interrupt_bitmap);

        if (set)
                memcpy(&vcpu->sregs, s, common);
        else {
                memset(s, 0, sizeof(*s));
                memcpy(s, &vcpu->sregs, common);
        }
        return 0;
}

/* The standard XSAVE layout (AMD 24593, "XSAVE State-Component"): where components lie, and the header's bitmap of those
 * that are in use. */
enum {
        XSAVE_MXCSR = 24,
        XSAVE_X87_SIZE = 160, /* MXCSR included */
        XSAVE_XMM = 160,
        XSAVE_XMM_SIZE = 256,
        XSAVE_BITMAP = 512,
        XSAVE_YMM = 576,
        XSAVE_X87_BIT = 1,
        XSAVE_SSE_BIT = 2,
        XSAVE_YMM_BIT = 4,
};

/* A component that the caller's bitmap leaves out is not taken over, whatever bytes are there: after a reset QEMU leaves out
 * all of them, and what a VMSA gets is the state that KVM began with (copy_uabi_to_xstate()). */
static int xsave_set(SimVcpu *vcpu, uint64_t uaddr) {
        uint8_t area[SIM_XSAVE_SIZE];
        uint8_t used;
        int r;

        r = user_read(area, uaddr, sizeof(area));
        if (r < 0)
                return r;
        used = area[XSAVE_BITMAP];
        if (used & XSAVE_X87_BIT)
                memcpy(vcpu->xsave, area, XSAVE_X87_SIZE);
        else if (used & (XSAVE_SSE_BIT | XSAVE_YMM_BIT))
                memcpy(vcpu->xsave + XSAVE_MXCSR, area + XSAVE_MXCSR, 8);
        if (used & XSAVE_SSE_BIT)
                memcpy(vcpu->xsave + XSAVE_XMM, area + XSAVE_XMM, XSAVE_XMM_SIZE);
        memcpy(vcpu->xsave + XSAVE_BITMAP, area + XSAVE_BITMAP, sizeof(area) - XSAVE_BITMAP);
        return 0;
}

/* Components out of use read as their initial state (copy_xstate_to_uabi_buf()). */
static int xsave_get(const SimVcpu *vcpu, uint64_t uaddr) {
        uint8_t area[SIM_XSAVE_SIZE], initial[XSAVE_X87_SIZE];
        uint8_t used = vcpu->xsave[XSAVE_BITMAP];

        memcpy(area, vcpu->xsave, sizeof(area));
        xsave_initial(initial);
        if (!(used & XSAVE_X87_BIT)) {
                memcpy(area, initial, XSAVE_MXCSR);
                memset(area + XSAVE_MXCSR + 8, 0, XSAVE_X87_SIZE - XSAVE_MXCSR - 8);
        }
        if (!(used & (XSAVE_X87_BIT | XSAVE_SSE_BIT | XSAVE_YMM_BIT)))
                memcpy(area + XSAVE_MXCSR, initial + XSAVE_MXCSR, 8);
        if (!(used & XSAVE_SSE_BIT))
                memset(area + XSAVE_XMM, 0, XSAVE_XMM_SIZE);
        if (!(used & XSAVE_YMM_BIT))
                memset(area + XSAVE_YMM, 0, XSAVE_XMM_SIZE);
        return user_write(uaddr, area, sizeof(area));
}

typedef struct VcpuField {
        unsigned long get;
        unsigned long set;
        size_t offset;
        size_t size;
        bool guarded; /* encrypted with the VMSA */
} VcpuField;

#define FIELD(g, s, member, guarded)                                                                        \
        { g, s, offsetof(SimVcpu, member), sizeof(((SimVcpu *) NULL)->member), guarded }

static const VcpuField fields[] = {
        FIELD(KVM_GET_REGS, KVM_SET_REGS, regs, true),
        FIELD(KVM_GET_SREGS2, KVM_SET_SREGS2, sregs, true),
        FIELD(KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, debugregs, true),
        FIELD(KVM_GET_XCRS, KVM_SET_XCRS, xcrs, true),
        FIELD(KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, events, false),
        FIELD(KVM_GET_MP_STATE, KVM_SET_MP_STATE, mp_state, false),
        FIELD(KVM_GET_LAPIC, KVM_SET_LAPIC, lapic, false),
};

static int vcpu_field(SimVm *vm, SimVcpu *vcpu, const VcpuField *f, bool set, void *arg) {
        void *ours = (uint8_t *) vcpu + f->offset;

        if (f->guarded && vm->protected) {
                if (vm_has_protected_state(vm))
                        return vm_refuse(vm, -EINVAL, "register access after the VMSA is encrypted");
                return 0; /* the legacy kind takes it and the guest never sees it */
        }
        return set ? user_read(ours, (uintptr_t) arg, f->size) : user_write((uintptr_t) arg, ours, f->size);
}

int vcpu_ioctl(SimVm *vm, SimVcpu *vcpu, unsigned long request, void *arg) {
        for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
                if (request == fields[i].get || (fields[i].set && request == fields[i].set))
                        return vcpu_field(vm, vcpu, &fields[i], request != fields[i].get, arg);

        if (request == KVM_MEMORY_ENCRYPT_OP && vm->type == VM_TYPE_TDX)
                return tdx_vcpu_op(vm, vcpu, arg);

        switch (request) {

        case KVM_GET_XSAVE:
        case KVM_GET_XSAVE2:
        case KVM_SET_XSAVE:
                if (vm->protected)
                        return vm_has_protected_state(vm)
                                        ? vm_refuse(vm, -EINVAL,
                                                          "register access after the VMSA is encrypted")
                                        : 0;
                return request == KVM_SET_XSAVE ? xsave_set(vcpu, (uintptr_t) arg)
                                                : xsave_get(vcpu, (uintptr_t) arg);

        case KVM_GET_SREGS:
        case KVM_SET_SREGS:
                if (vm->protected && vm_has_protected_state(vm))
                        return vm_refuse(vm, -EINVAL, "register access after the VMSA is encrypted");
                return vcpu_sregs(vcpu, arg, request == KVM_SET_SREGS);

        case KVM_GET_MSRS:
        case KVM_SET_MSRS:
                return vcpu_msrs(vm, vcpu, arg, request == KVM_SET_MSRS);

        case KVM_SET_CPUID2:
                return vcpu_set_cpuid(vm, vcpu, arg);

        case KVM_GET_CPUID2:
                return vcpu_get_cpuid(vcpu, arg);

        case KVM_GET_TSC_KHZ:
                return (int) vcpu->tsc_khz;

        case KVM_SET_TSC_KHZ:
                vcpu->tsc_khz = (uint32_t) (uintptr_t) arg;
                return 0;

        case KVM_TPR_ACCESS_REPORTING:
        case KVM_SET_VAPIC_ADDR:
        case KVM_X86_SETUP_MCE:
        case KVM_KVMCLOCK_CTRL:
        case KVM_SET_SIGNAL_MASK:
        case KVM_SET_GUEST_DEBUG:
        case KVM_INTERRUPT:
        case KVM_NMI:
        case KVM_ENABLE_CAP:
                return 0;

        default:
                return -ENOTTY;
        }
}

/* What the simulated guest does on its boot processor: it cannot run code, so it ends at once, or never. Two ends are none of the
 * guest's: KVM that faults on a page (-EFAULT, as after an RMP fault), and a processor that does not enter the guest. 1: go on. */
static int guest_ends(SimVcpu *vcpu) {
        const char *end = getenv("CVMSPAWN_SEVSIM_GUEST") ?: "poweroff";

        if (vcpu->index != 0 || vcpu->guest_ended || strcmp(end, "block") == 0)
                return 1;

        vcpu->guest_ended = true;
        if (strcmp(end, "fault") == 0)
                return -EFAULT;
        if (strcmp(end, "fail-entry") == 0) {
                vcpu->run->exit_reason = KVM_EXIT_FAIL_ENTRY;
                vcpu->run->fail_entry.hardware_entry_failure_reason =
                                UINT64_MAX; /* VMEXIT_INVALID: AMD APM volume 2 */
                vcpu->run->fail_entry.cpu = 0;
                return 0;
        }
        vcpu->run->exit_reason = KVM_EXIT_SYSTEM_EVENT;
        vcpu->run->system_event.type = SYSTEM_EVENT_SHUTDOWN;
        vcpu->run->system_event.ndata = 0;
        if (strcmp(end, "reset") == 0)
                vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
        return 0;
}

/* Called without the lock. Waits the way a kernel vCPU does: until a signal, of which `immediate_exit` may be
 * the only trace when the handler ran before we came here. Signals stay blocked between look and wait. */
int vcpu_run(SimVcpu *vcpu) {
        sigset_t all, before;
        int r = -EINTR;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        if (!vcpu->run->immediate_exit) {
                r = guest_ends(vcpu);
                if (r > 0) {
                        ppoll(NULL, 0, NULL, &before);
                        r = -EINTR;
                }
        }
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r == -EINTR)
                vcpu->run->exit_reason = KVM_EXIT_INTR;
        return r;
}
