/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The rules of a TD launch, each broken once: arch/x86/kvm/vmx/tdx.c of Linux 6.16. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "sim-abi.h"
#include "sim-rules.h"
#include "sim-tdx-abi.h"

enum { LEAVES = 64, HOB = 0x1000, SIZES = 0x80000008 };

typedef struct Capabilities {
        SimTdxCapabilities caps;
        struct {
                uint32_t nent, padding;
        } head; /* of struct kvm_cpuid2, which ends with its entries */
        struct kvm_cpuid_entry2 entries[LEAVES];
} Capabilities;

typedef struct InitVm {
        SimTdxInitVm init;
        struct {
                uint32_t nent, padding;
        } head; /* of struct kvm_cpuid2, which ends with its entries */
        struct kvm_cpuid_entry2 entries[300];
} InitVm;

static int command(int fd, uint32_t id, uint32_t flags, const void *data, uint64_t hw_error) {
        SimTdxCmd cmd = { .id = id, .flags = flags, .data = (uintptr_t) data, .hw_error = hw_error };

        return ioctl(fd, KVM_MEMORY_ENCRYPT_OP, &cmd);
}

/* One leaf is enough for a TD. */
static InitVm good_init(void) {
        InitVm i = { .init = { .attributes = 1U << 28, .xfam = 3 }, .head = { .nent = 1 } };

        i.entries[0] = (struct kvm_cpuid_entry2) { .function = SIZES, .eax = 48U << 16 };
        return i;
}

static int split(const Machine *m) {
        struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };

        return ioctl(m->vm, KVM_ENABLE_CAP, &cap);
}

static void rules_of_capabilities(void) {
        Machine m = machine_new(VM_TYPE_TDX);
        static Capabilities c;

        c.head.nent = 1;
        expect("TDX capabilities: too few leaves", command(m.vm, TDX_CAPABILITIES, 0, &c, 0), E2BIG);
        printf("%s the answer says how many\n", c.head.nent > 1 ? "ok" : "FAILED");
        c.head.nent = LEAVES;
        expect("TDX capabilities: flags", command(m.vm, TDX_CAPABILITIES, 1, &c, 0), EINVAL);
        expect("TDX capabilities: hw_error", command(m.vm, TDX_CAPABILITIES, 0, &c, 1), EINVAL);
        expect("TDX capabilities: a bad pointer", command(m.vm, TDX_CAPABILITIES, 0, (void *) 8, 0), EFAULT);
        expect("TDX capabilities", command(m.vm, TDX_CAPABILITIES, 0, &c, 0), 0);
        expect("TDX capabilities twice", command(m.vm, TDX_CAPABILITIES, 0, &c, 0), 0);
        expect("a vCPU's command on the machine", command(m.vm, TDX_GET_CPUID, 0, &c, 0), EINVAL);
        expect("an unknown TDX command", command(m.vm, 77, 0, NULL, 0), EINVAL);
}

static void rules_of_init(void) {
        Machine m = machine_new(VM_TYPE_TDX), unsplit = machine_new(VM_TYPE_TDX);
        InitVm good = good_init(), bad = good;

        (void) split(&m);
        expect("a vCPU before INIT_VM", ioctl(m.vm, KVM_CREATE_VCPU, 0UL), EIO);
        expect("INIT_VM with flags", command(m.vm, TDX_INIT_VM, 1, &good, 0), EINVAL);
        bad.init.attributes |= 1;
        expect("a debug TD", command(m.vm, TDX_INIT_VM, 0, &bad, 0), EINVAL);
        bad = good;
        bad.init.xfam = 1ULL << 20;
        expect("XFAM that the host does not have", command(m.vm, TDX_INIT_VM, 0, &bad, 0), EINVAL);
        bad = good;
        bad.init.reserved[11] = 1;
        expect("reserved members", command(m.vm, TDX_INIT_VM, 0, &bad, 0), EINVAL);
        bad = good;
        bad.head.padding = 1;
        expect("CPUID padding", command(m.vm, TDX_INIT_VM, 0, &bad, 0), EINVAL);
        bad = good;
        bad.head.nent = 257;
        expect("too many CPUID leaves", command(m.vm, TDX_INIT_VM, 0, &bad, 0), E2BIG);
        bad = good;
        bad.entries[0].eax = 20U << 16;
        expect("20 guest physical bits", command(m.vm, TDX_INIT_VM, 0, &bad, 0), EINVAL);
        bad = good;
        bad.head.nent = 0;
        expect("no guest physical bits", command(m.vm, TDX_INIT_VM, 0, &bad, 0), EINVAL);
        bad = good;
        bad.head.nent = 2;
        bad.entries[1].function = 0x12345;
        expect("a leaf that cannot be configured", command(m.vm, TDX_INIT_VM, 0, &bad, 0), EINVAL);
        bad.entries[1] = bad.entries[0];
        expect("a leaf twice", command(m.vm, TDX_INIT_VM, 0, &bad, 0), EINVAL);
        expect("INIT_VM", command(m.vm, TDX_INIT_VM, 0, &good, 0), 0);
        expect("INIT_VM twice", command(m.vm, TDX_INIT_VM, 0, &good, 0), EINVAL);
        expect("INIT_VM without a split interrupt controller", command(unsplit.vm, TDX_INIT_VM, 0, &good, 0),
                        0);
        expect("a vCPU without one", ioctl(unsplit.vm, KVM_CREATE_VCPU, 0UL), EINVAL);
        expect("TDX memory is never read-only", ioctl(m.vm, KVM_CHECK_EXTENSION, KVM_CAP_READONLY_MEM), 0);
}

static int region(int vcpu, const Machine *m, uint64_t gpa, uint64_t pages, uint32_t flags) {
        SimTdxMemRegion r = { (uintptr_t) m->memory, gpa, pages };

        return command(vcpu, TDX_INIT_MEM_REGION, flags, &r, 0);
}

static void rules_of_regions(void) {
        Machine m = machine_new(VM_TYPE_TDX);
        InitVm good = good_init();
        SimTdxMemRegion odd = { 0, 0, 1 }, two = { 0, 8 * SIM_PAGE_SIZE, 2 };
        struct kvm_regs regs = {};
        int vcpu;

        (void) split(&m);
        expect("finalize before INIT_VM", command(m.vm, TDX_FINALIZE_VM, 0, NULL, 0), EINVAL);
        (void) command(m.vm, TDX_INIT_VM, 0, &good, 0);
        vcpu = ioctl(m.vm, KVM_CREATE_VCPU, 0UL);
        expect("a TD's registers", ioctl(vcpu, KVM_GET_REGS, &regs), EINVAL);
        (void) set_memory(&m, 0, 0, SIM_MEM_GUEST_MEMFD, PAGES * SIM_PAGE_SIZE);
        expect("pages before INIT_VCPU", region(vcpu, &m, 0, 1, 1), EINVAL);
        expect("INIT_VCPU with flags", command(vcpu, TDX_INIT_VCPU, 1, (void *) HOB, 0), EINVAL);
        expect("INIT_VCPU", command(vcpu, TDX_INIT_VCPU, 0, (void *) HOB, 0), 0);
        expect("INIT_VCPU twice", command(vcpu, TDX_INIT_VCPU, 0, (void *) HOB, 0), EINVAL);
        expect("the machine's command on a vCPU", command(vcpu, TDX_FINALIZE_VM, 0, NULL, 0), EINVAL);
        expect("pages that are not private", region(vcpu, &m, 0, 1, 1), EINVAL);
        (void) set_private(&m, 0, PAGES * SIM_PAGE_SIZE, SIM_MEMORY_ATTRIBUTE_PRIVATE);
        expect("unknown flags", region(vcpu, &m, 0, 1, 2), EINVAL);
        expect("no pages", region(vcpu, &m, 0, 0, 1), EINVAL);
        expect("an odd guest address", region(vcpu, &m, 12, 1, 1), EINVAL);
        expect("pages that wrap around", region(vcpu, &m, SIM_PAGE_SIZE, UINT64_MAX / SIM_PAGE_SIZE, 1),
                        EINVAL);
        expect("a shared address", region(vcpu, &m, 1ULL << 47, 1, 1), EINVAL);
        expect("no source", command(vcpu, TDX_INIT_MEM_REGION, 1, &odd, 0), EINVAL);
        odd.source = SIM_PAGE_SIZE;
        expect("a source that is not mapped", command(vcpu, TDX_INIT_MEM_REGION, 1, &odd, 0), EFAULT);
        expect("pages outside of the memory", region(vcpu, &m, PAGES * SIM_PAGE_SIZE, 1, 1), EINVAL);
        expect("pages", region(vcpu, &m, 0, 2, 1), 0);
        expect("a page twice", region(vcpu, &m, SIM_PAGE_SIZE, 1, 1), EIO);
        two.source = (uintptr_t) m.memory;
        (void) command(vcpu, TDX_INIT_MEM_REGION, 0, &two, 0);
        expect("the region is written back", two.n_pages == 0 && two.gpa == 10 * SIM_PAGE_SIZE ? 0 : -1, 0);
        expect("no run before the end", ioctl(vcpu, KVM_RUN, NULL), EINVAL);
        expect("finalize", command(m.vm, TDX_FINALIZE_VM, 0, NULL, 0), 0);
        expect("finalize twice", command(m.vm, TDX_FINALIZE_VM, 0, NULL, 0), EINVAL);
        expect("pages after the end", region(vcpu, &m, 4 * SIM_PAGE_SIZE, 1, 1), EINVAL);
        expect("GET_CPUID after the end", command(vcpu, TDX_GET_CPUID, 0, &good.head, 0), EINVAL);
}

void rules_of_tdx(void) {
        rules_of_capabilities();
        rules_of_init();
        rules_of_regions();
}
