/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Requests on /dev/kvm and on a machine's descriptor, launch commands excepted. */

#include <errno.h>
#include <string.h>

#include "sim-fault.h"
#include "sim-machine.h"
#include "sim-tdx-abi.h"

#define SUPPORTED_XCR0 0x2e7ULL /* x87, SSE, AVX, AVX-512, PKRU */

typedef struct CapRow {
        long extension;
        int value;
} CapRow;

/* Capabilities whose answer is the same for every machine. What is not here is not there. */
static const CapRow caps[] = {
        { KVM_CAP_IRQCHIP, 1 },
        { KVM_CAP_USER_MEMORY, 1 },
        { KVM_CAP_SET_TSS_ADDR, 1 },
        { KVM_CAP_EXT_CPUID, 1 },
        { KVM_CAP_MP_STATE, 1 },
        { KVM_CAP_NR_VCPUS, 512 },
        { KVM_CAP_MAX_VCPUS, SIM_VCPUS_MAX },
        { KVM_CAP_MAX_VCPU_ID, 4096 },
        { KVM_CAP_NR_MEMSLOTS, SIM_SLOTS_MAX },
        { KVM_CAP_COALESCED_MMIO, 2 }, /* KVM_COALESCED_MMIO_PAGE_OFFSET */
        { KVM_CAP_COALESCED_PIO, 1 },
        { KVM_CAP_SYNC_MMU, 1 },
        { KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },
        { KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1 },
        { KVM_CAP_IRQ_ROUTING, 4096 },
        { KVM_CAP_IRQ_INJECT_STATUS, 1 },
        { KVM_CAP_MCE, 32 },
        { KVM_CAP_IRQFD, 1 },
        { KVM_CAP_IRQFD_RESAMPLE, 1 },
        { KVM_CAP_PIT2, 1 },
        { KVM_CAP_PIT_STATE2, 1 },
        { KVM_CAP_IOEVENTFD, 1 },
        { KVM_CAP_IOEVENTFD_ANY_LENGTH, 1 },
        { KVM_CAP_SET_IDENTITY_MAP_ADDR, 1 },
        { KVM_CAP_ADJUST_CLOCK, 1 },
        { KVM_CAP_INTERNAL_ERROR_DATA, 1 },
        { KVM_CAP_VCPU_EVENTS, 1 },
        { KVM_CAP_X86_ROBUST_SINGLESTEP, 1 },
        { KVM_CAP_DEBUGREGS, 1 },
        { KVM_CAP_XSAVE, 1 },
        { KVM_CAP_XSAVE2, SIM_XSAVE_SIZE },
        { KVM_CAP_XCRS, 1 },
        { KVM_CAP_SYS_ATTRIBUTES, 1 },
        { KVM_CAP_TSC_CONTROL, 1 },
        { KVM_CAP_GET_TSC_KHZ, 1 },
        { KVM_CAP_TSC_DEADLINE_TIMER, 1 },
        { KVM_CAP_KVMCLOCK_CTRL, 1 },
        { KVM_CAP_SIGNAL_MSI, 1 },
        { KVM_CAP_READONLY_MEM, 1 },
        { KVM_CAP_CHECK_EXTENSION_VM, 1 },
        { KVM_CAP_ENABLE_CAP_VM, 1 },
        { KVM_CAP_DISABLE_QUIRKS, 1 },
        { KVM_CAP_SPLIT_IRQCHIP, 1 },
        { KVM_CAP_X2APIC_API, 3 },
        { KVM_CAP_IMMEDIATE_EXIT, 1 },
        { KVM_CAP_GET_MSR_FEATURES, 1 },
        { KVM_CAP_SREGS2, 1 },
        { KVM_CAP_EXCEPTION_PAYLOAD, 1 },
        { KVM_CAP_SET_GUEST_DEBUG, 1 },
        { KVM_CAP_X86_SMM, 1 },
        { TDX_CAP_APIC_BUS_CYCLES_NS, 1 },
        { TDX_CAP_VM_TSC_CONTROL, 1 },
        { SIM_CAP_EXIT_HYPERCALL, (int) SIM_HC_MAP_GPA_RANGE_MASK },
        { SIM_CAP_USER_MEMORY2, 1 },
        { SIM_CAP_MEMORY_FAULT_INFO, 1 },
};

int kvm_check_extension(const SimVm *vm, long extension) {
        bool private = !vm || vm_has_private_memory(vm);

        /* These depend on the machine when asked on its descriptor. */
        if (extension == SIM_CAP_MEMORY_ATTRIBUTES)
                return private ? (int) SIM_MEMORY_ATTRIBUTE_PRIVATE : 0;
        if (extension == SIM_CAP_GUEST_MEMFD)
                return private ? 1 : 0;
        if (extension == SIM_CAP_VM_TYPES)
                return (int) fault_vm_types(VM_TYPES_MASK);
        if (extension == KVM_CAP_MULTI_ADDRESS_SPACE)
                return vm && vm_has_private_memory(vm) ? 1 : 2;

        /* kvm_arch_has_readonly_mem() */
        if (extension == KVM_CAP_READONLY_MEM && vm && vm->type == VM_TYPE_TDX)
                return 0;

        for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++)
                if (caps[i].extension == extension)
                        return caps[i].value;
        return 0;
}

static int supported_cpuid(struct kvm_cpuid2 *list) {
        const struct kvm_cpuid_entry2 *table;
        size_t n = kvm_supported_cpuid(&table);

        if (list->nent < n)
                return -E2BIG;
        memcpy(list->entries, table, n * sizeof(table[0]));
        list->nent = (uint32_t) n;
        return 0;
}

/* The model specific registers that QEMU should know we keep; those of a VMSA are what matters here. Features that
 * are read as such: microcode revision and DE_CFG, both zero. */
static const uint32_t msr_indices[] = {
        0x10,
        0x3b,
        0x48,
        0x174,
        0x175,
        0x176,
        0x1a0,
        0x1d9,
        0x277,
        0x6e0,
        0xda0,
        0x4b564d00,
        0x4b564d01,
        0x4b564d02,
        0x4b564d03,
        0x4b564d04,
        0x4b564d06,
        0xc0000081,
        0xc0000082,
        0xc0000083,
        0xc0000084,
        0xc0000102,
        0xc0000103,
        0xc0010117,
        0xc001011f,
};
static const uint32_t feature_indices[] = { 0x8b, 0xc0011029 };

static int msr_list(struct kvm_msr_list *list, const uint32_t *indices, size_t n) {
        size_t room = list->nmsrs;

        list->nmsrs = (uint32_t) n;
        if (room < n)
                return -E2BIG;
        memcpy(list->indices, indices, n * sizeof(indices[0]));
        return 0;
}

/* Later kernels have more attributes (policy bits since 6.19): asking for those fails here as on the one modelled. */
static int device_attribute(const struct kvm_device_attr *a, bool read) {
        static const uint64_t values[] = {
                [SIM_GROUP_X86] = SUPPORTED_XCR0, [SIM_GROUP_SEV] = SIM_VMSA_FEATURES
        };

        if (a->flags != 0 || a->attr != 0 || a->group >= sizeof(values) / sizeof(values[0]))
                return -ENXIO;
        return read ? user_write(a->addr, &values[a->group], sizeof(values[0])) : 0;
}

int kvm_system_ioctl(unsigned long request, void *arg) {
        static const uint64_t mce_caps = 1ULL << 8 | 1ULL << 24; /* MCG_CTL_P, MCG_SER_P */

        switch (request) {

        case KVM_GET_API_VERSION:
                return KVM_API_VERSION;

        case KVM_CHECK_EXTENSION:
                return kvm_check_extension(NULL, (long) (intptr_t) arg);

        case KVM_GET_VCPU_MMAP_SIZE:
                return SIM_RUN_SIZE;

        case KVM_GET_SUPPORTED_CPUID:
                return supported_cpuid(arg);

        case KVM_GET_MSR_INDEX_LIST:
                return msr_list(arg, msr_indices, sizeof(msr_indices) / sizeof(msr_indices[0]));

        case KVM_GET_MSR_FEATURE_INDEX_LIST:
                return msr_list(arg, feature_indices, sizeof(feature_indices) / sizeof(feature_indices[0]));

        case KVM_GET_MSRS:
                /* Feature MSRs on the system descriptor: all read as zero. */
                for (uint32_t i = 0; i < ((struct kvm_msrs *) arg)->nmsrs; i++)
                        ((struct kvm_msrs *) arg)->entries[i].data = 0;
                return (int) ((struct kvm_msrs *) arg)->nmsrs;

        case KVM_HAS_DEVICE_ATTR:
        case KVM_GET_DEVICE_ATTR:
                return device_attribute(arg, request == KVM_GET_DEVICE_ATTR);

        case KVM_X86_GET_MCE_CAP_SUPPORTED:
                return user_write((uintptr_t) arg, &mce_caps, sizeof(mce_caps));

        default:
                return -ENOTTY;
        }
}

static int memory_region_1(SimVm *vm, const struct kvm_userspace_memory_region *old) {
        return vm_memory_region(vm,
                        &(SimMemoryRegion2) {
                                        .slot = old->slot,
                                        .flags = old->flags,
                                        .guest_phys_addr = old->guest_phys_addr,
                                        .memory_size = old->memory_size,
                                        .userspace_addr = old->userspace_addr,
                        });
}

static int encrypt_op(SimVm *vm, SimSevCmd *cmd) {
        /* Without a command it asks whether there is any memory encryption. */
        if (!cmd)
                return 0;
        if (vm->type == VM_TYPE_TDX)
                return tdx_vm_op(vm, (SimTdxCmd *) cmd);
        return cmd->id >= SEV_CMD_SNP_LAUNCH_START ? snp_encrypt_op(vm, cmd) : sev_encrypt_op(vm, cmd);
}

int kvm_vm_ioctl(SimVm *vm, unsigned long request, void *arg) {
        switch (request) {

        case KVM_CHECK_EXTENSION:
                return kvm_check_extension(vm, (long) (intptr_t) arg);

        case KVM_MEMORY_ENCRYPT_OP:
                return encrypt_op(vm, arg);

        case KVM_MEMORY_ENCRYPT_REG_REGION:
        case KVM_MEMORY_ENCRYPT_UNREG_REGION:
                return sev_pin_region(vm, ((struct kvm_enc_region *) arg)->size,
                                request == KVM_MEMORY_ENCRYPT_REG_REGION);

        case SIM_SET_USER_MEMORY_REGION2:
                return vm_memory_region(vm, arg);

        case KVM_SET_USER_MEMORY_REGION:
                return memory_region_1(vm, arg);

        case SIM_SET_MEMORY_ATTRIBUTES:
                return vm_memory_attributes(vm, arg);

        case KVM_GET_PIT2:
                return user_write((uintptr_t) arg, &vm->pit, sizeof(vm->pit));

        case KVM_SET_PIT2:
                return user_read(&vm->pit, (uintptr_t) arg, sizeof(vm->pit));

        case KVM_GET_CLOCK:
                return user_write((uintptr_t) arg, &vm->clock, sizeof(vm->clock));

        case KVM_SET_CLOCK:
                return user_read(&vm->clock, (uintptr_t) arg, sizeof(vm->clock));

        case KVM_ENABLE_CAP:
                vm->tdx.split_irqchip |= ((struct kvm_enable_cap *) arg)->cap == KVM_CAP_SPLIT_IRQCHIP;
                return 0;

        case KVM_GET_TSC_KHZ:
                return SIM_TSC_KHZ;

        case KVM_SET_TSC_KHZ:
        case KVM_SET_TSS_ADDR:
        case KVM_SET_IDENTITY_MAP_ADDR:
        case KVM_SET_NR_MMU_PAGES:
        case KVM_CREATE_IRQCHIP:
        case KVM_GET_IRQCHIP:
        case KVM_SET_IRQCHIP:
        case KVM_CREATE_PIT2:
        case KVM_REINJECT_CONTROL:
        case KVM_SET_GSI_ROUTING:
        case KVM_REGISTER_COALESCED_MMIO:
        case KVM_UNREGISTER_COALESCED_MMIO:
        case KVM_IOEVENTFD:
        case KVM_IRQFD:
        case KVM_GET_DIRTY_LOG:
                return 0;

        case KVM_SIGNAL_MSI:
        case KVM_IRQ_LINE:
        case KVM_IRQ_LINE_STATUS:
                return request == KVM_IRQ_LINE ? 0 : 1;

        default:
                return -ENOTTY;
        }
}
