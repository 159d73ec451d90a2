/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A virtual machine monitor that does what QEMU never does: each request that Linux refuses must be refused by the
 * simulated host too, with the same error, or a launch that it lets through proves nothing. Runs with sevsim.so
 * preloaded; prints one line a rule, `ok` or `FAILED`. */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim-abi.h"
#include "sim-rules.h"

enum { NORMAL = 1, VMSA = 2, ZERO = 3 };

static int failures;

void expect(const char *rule, int got, int wanted) {
        int error = got < 0 ? errno : 0;
        bool ok = error == wanted;

        printf("%s %s", ok ? "ok" : "FAILED", rule);
        if (!ok)
                printf(": errno %d, wanted %d", error, wanted);
        printf("\n");
        failures += !ok;
}

static int sev_command(const Machine *m, uint32_t id, void *data) {
        SimSevCmd cmd = { .id = id, .data = (uintptr_t) data, .sev_fd = (uint32_t) m->sev };

        return ioctl(m->vm, KVM_MEMORY_ENCRYPT_OP, &cmd);
}

int set_memory(const Machine *m, uint32_t slot, uint64_t gpa, uint32_t flags, uint64_t size) {
        SimMemoryRegion2 region = {
                .slot = slot,
                .flags = flags,
                .guest_phys_addr = gpa,
                .memory_size = size,
                .userspace_addr = (uintptr_t) m->memory,
                .guest_memfd = (uint32_t) m->memfd,
        };

        return ioctl(m->vm, SIM_SET_USER_MEMORY_REGION2, &region);
}

int set_private(const Machine *m, uint64_t gpa, uint64_t size, uint64_t attributes) {
        SimMemoryAttributes a = { .address = gpa, .size = size, .attributes = attributes };

        return ioctl(m->vm, SIM_SET_MEMORY_ATTRIBUTES, &a);
}

static int update(const Machine *m, uint64_t page, uint64_t size, uint8_t type, uint16_t flags) {
        SimSnpLaunchUpdate u = {
                .gfn_start = page,
                .uaddr = (uintptr_t) m->memory + page * SIM_PAGE_SIZE,
                .len = size,
                .type = type,
                .flags = flags,
        };

        return sev_command(m, SEV_CMD_SNP_LAUNCH_UPDATE, &u);
}

static int snp_start(const Machine *m, uint64_t policy, uint16_t flags) {
        SimSnpLaunchStart start = { .policy = policy, .flags = flags };

        return sev_command(m, SEV_CMD_SNP_LAUNCH_START, &start);
}

Machine machine_new(unsigned long type) {
        Machine m = { .kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC),
                .sev = open("/dev/sev", O_RDWR | O_CLOEXEC) };
        SimCreateGuestMemfd create = { .size = PAGES * SIM_PAGE_SIZE };

        m.vm = ioctl(m.kvm, KVM_CREATE_VM, type);
        m.memfd = type >= VM_TYPE_SNP ? ioctl(m.vm, SIM_CREATE_GUEST_MEMFD, &create) : -1;
        m.memory = mmap(NULL, PAGES * SIM_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                        0);
        if (m.kvm < 0 || m.sev < 0 || m.vm < 0 || m.memory == MAP_FAILED) {
                printf("FAILED to make a machine: is sevsim.so preloaded?\n");
                exit(EXIT_FAILURE);
        }
        return m;
}

static void rules_of_memory(void) {
        Machine m = machine_new(VM_TYPE_SNP), legacy = machine_new(VM_TYPE_DEFAULT);
        const uint64_t all = PAGES * SIM_PAGE_SIZE;

        expect("guest_memfd memory is never read-only",
                        set_memory(&m, 0, 0, SIM_MEM_GUEST_MEMFD | KVM_MEM_READONLY, all), EINVAL);
        expect("slots are aligned to pages", set_memory(&m, 0, 100, SIM_MEM_GUEST_MEMFD, all), EINVAL);
        expect("guest_memfd memory", set_memory(&m, 0, 0, SIM_MEM_GUEST_MEMFD, all), 0);
        expect("slots do not overlap", set_memory(&m, 1, SIM_PAGE_SIZE, SIM_MEM_GUEST_MEMFD, all), EEXIST);
        expect("a guest_memfd slot is not changed", set_memory(&m, 0, 0, SIM_MEM_GUEST_MEMFD, all), EINVAL);
        expect("no slot is deleted twice", set_memory(&m, 7, 0, 0, 0), EINVAL);
        expect("attributes are aligned to pages",
                        set_private(&m, 1, SIM_PAGE_SIZE, SIM_MEMORY_ATTRIBUTE_PRIVATE), EINVAL);
        expect("only the private attribute exists", set_private(&m, 0, SIM_PAGE_SIZE, 1), EINVAL);
        expect("legacy machines have no private memory",
                        set_private(&legacy, 0, SIM_PAGE_SIZE, SIM_MEMORY_ATTRIBUTE_PRIVATE), EINVAL);
        expect("nor guest_memfd", set_memory(&legacy, 0, 0, SIM_MEM_GUEST_MEMFD, all), EINVAL);
        expect("there is no machine of type 1", ioctl(m.kvm, KVM_CREATE_VM, 1UL), EINVAL);
}

static void rules_of_start(void) {
        Machine m = machine_new(VM_TYPE_SNP), legacy = machine_new(VM_TYPE_DEFAULT),
                late = machine_new(VM_TYPE_SNP);
        SimSevInit2 init = {}, features = { .vmsa_features = 1 }, flags = { .flags = 1 },
                    ghcb = { .ghcb_version = 3 };

        expect("no launch before INIT2", snp_start(&m, 0x30000, 0), ENOTTY);
        expect("the legacy INIT is for legacy machines", sev_command(&m, SEV_CMD_INIT, NULL), EINVAL);
        expect("INIT2 is not", sev_command(&legacy, SEV_CMD_INIT2, &init), EINVAL);
        expect("INIT2 without unknown features", sev_command(&m, SEV_CMD_INIT2, &features), EINVAL);
        expect("INIT2 without flags", sev_command(&m, SEV_CMD_INIT2, &flags), EINVAL);
        expect("INIT2 with a known GHCB version", sev_command(&m, SEV_CMD_INIT2, &ghcb), EINVAL);
        expect("INIT2", sev_command(&m, SEV_CMD_INIT2, &init), 0);
        expect("INIT2 once", sev_command(&m, SEV_CMD_INIT2, &init), EINVAL);
        (void) ioctl(late.vm, KVM_CREATE_VCPU, 0UL);
        expect("INIT2 before vCPUs", sev_command(&late, SEV_CMD_INIT2, &init), EINVAL);

        expect("bit 17 of the policy", snp_start(&m, 0x10000, 0), EINVAL);
        expect("policy bits of later kernels", snp_start(&m, 0x30000 | 1 << 22, 0), EINVAL);
        expect("start without flags", snp_start(&m, 0x30000, 1), EINVAL);
        expect("a policy that forbids SMT, on a host with SMT", snp_start(&m, 0x20000, 0), EIO);
        expect("start", snp_start(&m, 0x30000, 0), 0);
        expect("start once", snp_start(&m, 0x30000, 0), EINVAL);
        expect("SEV commands are not for SNP", sev_command(&m, SEV_CMD_LAUNCH_FINISH, NULL), ENOTTY);
        expect("a bad pointer", sev_command(&m, SEV_CMD_SNP_LAUNCH_UPDATE, (void *) 8), EFAULT);
        expect("an unknown command", sev_command(&m, 110, NULL), EINVAL);
}

static void rules_of_update(void) {
        Machine m = machine_new(VM_TYPE_SNP);
        SimSevInit2 init = {};
        SimSnpLaunchFinish finish = {}, flags = { .flags = 1 };
        struct kvm_regs regs = {};
        struct kvm_sregs sregs = {};
        int vcpu;

        expect("INIT2 again", sev_command(&m, SEV_CMD_INIT2, &init), 0);
        expect("update before start", update(&m, 0, SIM_PAGE_SIZE, NORMAL, 0), EINVAL);
        expect("finish before start", sev_command(&m, SEV_CMD_SNP_LAUNCH_FINISH, &finish), EINVAL);
        (void) snp_start(&m, 0x30000, 0);
        expect("pages without memory", update(&m, 0, SIM_PAGE_SIZE, NORMAL, 0), EINVAL);
        (void) set_memory(&m, 0, 0, SIM_MEM_GUEST_MEMFD, PAGES * SIM_PAGE_SIZE);
        expect("pages that are not private", update(&m, 0, SIM_PAGE_SIZE, NORMAL, 0), EINVAL);
        (void) set_private(&m, 0, 8 * SIM_PAGE_SIZE, SIM_MEMORY_ATTRIBUTE_PRIVATE);
        expect("a length of half a page", update(&m, 0, SIM_PAGE_SIZE / 2, NORMAL, 0), EINVAL);
        expect("no length", update(&m, 0, 0, NORMAL, 0), EINVAL);
        expect("flags", update(&m, 0, SIM_PAGE_SIZE, NORMAL, 1), EINVAL);
        expect("VMSAs are the kernel's", update(&m, 0, SIM_PAGE_SIZE, VMSA, 0), EINVAL);
        expect("type 7", update(&m, 0, SIM_PAGE_SIZE, 7, 0), EINVAL);
        expect("a range that ends in shared pages", update(&m, 4, 8 * SIM_PAGE_SIZE, NORMAL, 0), EINVAL);
        expect("update", update(&m, 0, 2 * SIM_PAGE_SIZE, NORMAL, 0), 0);
        expect("a page twice", update(&m, 1, SIM_PAGE_SIZE, ZERO, 0), EEXIST);
        (void) set_private(&m, 4 * SIM_PAGE_SIZE, SIM_PAGE_SIZE, 0);
        expect("a page made shared again", update(&m, 4, SIM_PAGE_SIZE, NORMAL, 0), EINVAL);

        vcpu = ioctl(m.vm, KVM_CREATE_VCPU, 0UL);
        expect("registers before the end", ioctl(vcpu, KVM_SET_REGS, &regs), 0);
        expect("no run before the end", ioctl(vcpu, KVM_RUN, NULL), EINVAL);
        expect("finish without flags", sev_command(&m, SEV_CMD_SNP_LAUNCH_FINISH, &flags), EINVAL);
        expect("finish", sev_command(&m, SEV_CMD_SNP_LAUNCH_FINISH, &finish), 0);
        expect("no registers after the end", ioctl(vcpu, KVM_SET_REGS, &regs), EINVAL);
        expect("not even read", ioctl(vcpu, KVM_GET_SREGS, &sregs), EINVAL);
        expect("no page after the end", update(&m, 2, SIM_PAGE_SIZE, NORMAL, 0), EIO);
        expect("finish once", sev_command(&m, SEV_CMD_SNP_LAUNCH_FINISH, &finish), EEXIST);
}

static void rules_of_sev(void) {
        Machine m = machine_new(VM_TYPE_SEV), es = machine_new(VM_TYPE_SEV_ES);
        SimSevInit2 init = {}, features = { .vmsa_features = 1 << 5 };
        SimSevLaunchStart start = { .policy = 1 }, start_es = { .policy = 5 };
        SimSevRegion region = { .uaddr = (uintptr_t) m.memory, .len = SIM_PAGE_SIZE };
        SimSevRegion odd = { .uaddr = (uintptr_t) m.memory, .len = 17 },
                     place = { .uaddr = (uintptr_t) m.memory + 1, .len = 16 };
        SimSevRegion query = {}, blob = { .uaddr = (uintptr_t) m.memory, .len = 48 };
        struct kvm_regs regs = {};
        int vcpu;

        expect("a SEV machine has no VMSA features", sev_command(&m, SEV_CMD_INIT2, &features), EINVAL);
        expect("INIT2 of SEV", sev_command(&m, SEV_CMD_INIT2, &init), 0);
        expect("a policy of SEV-ES on a SEV machine", sev_command(&m, SEV_CMD_LAUNCH_START, &start_es), EIO);
        expect("data before start", sev_command(&m, SEV_CMD_LAUNCH_UPDATE_DATA, &region), EIO);
        expect("start of SEV", sev_command(&m, SEV_CMD_LAUNCH_START, &start), 0);
        expect("start of SEV once", sev_command(&m, SEV_CMD_LAUNCH_START, &start), EIO);
        expect("17 bytes", sev_command(&m, SEV_CMD_LAUNCH_UPDATE_DATA, &odd), EIO);
        expect("an odd address", sev_command(&m, SEV_CMD_LAUNCH_UPDATE_DATA, &place), EIO);
        expect("VMSAs of SEV", sev_command(&m, SEV_CMD_LAUNCH_UPDATE_VMSA, NULL), ENOTTY);
        expect("finish before the measurement", sev_command(&m, SEV_CMD_LAUNCH_FINISH, NULL), EIO);
        expect("query of the length", sev_command(&m, SEV_CMD_LAUNCH_MEASURE, &query), EIO);
        expect("measurement", sev_command(&m, SEV_CMD_LAUNCH_MEASURE, &blob), 0);
        expect("data after the measurement", sev_command(&m, SEV_CMD_LAUNCH_UPDATE_DATA, &region), EIO);
        expect("finish of SEV", sev_command(&m, SEV_CMD_LAUNCH_FINISH, NULL), 0);
        printf("%s the query said 48\n", query.len == 48 ? "ok" : "FAILED");
        failures += query.len != 48;

        expect("INIT2 of SEV-ES", sev_command(&es, SEV_CMD_INIT2, &init), 0);
        expect("start of SEV-ES", sev_command(&es, SEV_CMD_LAUNCH_START, &start_es), 0);
        vcpu = ioctl(es.vm, KVM_CREATE_VCPU, 0UL);
        expect("VMSAs", sev_command(&es, SEV_CMD_LAUNCH_UPDATE_VMSA, NULL), 0);
        expect("VMSAs once", sev_command(&es, SEV_CMD_LAUNCH_UPDATE_VMSA, NULL), EINVAL);
        expect("no registers after the VMSA", ioctl(vcpu, KVM_SET_REGS, &regs), EINVAL);
}

int main(void) {
        rules_of_memory();
        rules_of_start();
        rules_of_update();
        rules_of_sev();
        rules_of_tdx();
        return failures > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
