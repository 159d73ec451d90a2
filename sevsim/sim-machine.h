/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the simulated kernel keeps of one virtual machine and its vCPUs. All of it lives in the process of the
 * virtual machine monitor and is guarded by one lock (sim-preload.c), KVM_RUN's wait excepted. */

#include <linux/kvm.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sim-abi.h"
#include "sim-psp.h"
#include "sim-ranges.h"
#include "sim-record.h"
#include "sim-tdx.h"

enum {
        SIM_VMS_MAX = 1024, /* QEMU makes one, and since 11.0 another for each reset of a guest with encrypted registers */
        SIM_VCPUS_MAX = 1024,  /* KVM_MAX_VCPUS of a distribution kernel */
        SIM_SLOTS_MAX = 32764, /* KVM_USER_MEM_SLOTS */
        SIM_MSRS_MAX = 128,
        SIM_CPUID_MAX = 256, /* KVM_MAX_CPUID_ENTRIES */
        SIM_XSAVE_SIZE = 4096,
        SIM_TSC_KHZ = 2600000,
        SIM_RUN_SIZE = 3 * 4096, /* kvm_run, port I/O data, coalesced MMIO ring */
};

typedef struct SimMsr {
        uint32_t index;
        uint64_t value;
} SimMsr;

typedef struct SimVcpu {
        unsigned index;      /* order of creation: the order in which the kernel hands VMSAs over */
        uint32_t id;         /* APIC id */
        struct kvm_run *run; /* owned: our mapping of the vCPU's descriptor */
        struct kvm_regs regs;
        struct kvm_sregs2 sregs;
        struct kvm_debugregs debugregs;
        struct kvm_xcrs xcrs;
        struct kvm_vcpu_events events;
        struct kvm_mp_state mp_state;
        struct kvm_lapic_state lapic;
        uint8_t xsave[SIM_XSAVE_SIZE];
        SimMsr msrs[SIM_MSRS_MAX];
        size_t n_msrs;
        struct kvm_cpuid_entry2 cpuid[SIM_CPUID_MAX];
        size_t n_cpuid;
        uint32_t tsc_khz;
        bool tdx_initialized;
        bool guest_ended; /* KVM_RUN has told the end of the guest already */
} SimVcpu;

typedef struct SimSlot {
        bool used;
        uint32_t flags;
        uint64_t gpa;
        uint64_t size;
        uint64_t uaddr;
} SimSlot;

typedef struct SimVm {
        unsigned index;
        VmType type;
        SimVcpu *vcpus[SIM_VCPUS_MAX]; /* owned */
        unsigned n_vcpus;
        SimSlot *slots; /* owned; indexed by slot number, both address spaces */
        size_t n_slots;
        SimRanges private_gfns;  /* KVM_SET_MEMORY_ATTRIBUTES */
        SimRanges assigned_gfns; /* what SNP_LAUNCH_UPDATE gave to the guest: the reverse map table's part */
        uint64_t pinned;         /* bytes of KVM_MEMORY_ENCRYPT_REG_REGION */
        struct kvm_clock_data clock;
        struct kvm_pit_state2 pit;

        bool sev_active; /* INIT, ES_INIT or INIT2 done */
        bool es;         /* registers are encrypted: SEV-ES and SNP */
        bool protected;  /* the VMSAs are encrypted: registers cannot be set any more */
        uint64_t vmsa_features;
        PspGuest guest;
        SimTdx tdx;
        SimRecord *record; /* owned; NULL before INIT or without a record folder */
        unsigned seat;   /* address space or key identifier on a host that is shared; 0: none (sim-host.c) */
        int seat_fd;     /* owned while there is a seat: its lock */
        uint32_t handle; /* 0: not started, or the host is not shared */
        const char *refusal; /* borrowed: why the command under way is refused, for its line in the record */
} SimVm;

/* Fails the command under way the way the kernel would, and leaves the reason for the record. */
int vm_refuse(SimVm *vm, int error, const char *reason);

int vm_create(VmType type, SimVm **ret);
SimVm *vm_by_index(unsigned index);
SimVm *vm_newest(void); /* NULL before the first */
int vm_memory_region(SimVm *vm, const SimMemoryRegion2 *region);
int vm_memory_attributes(SimVm *vm, const SimMemoryAttributes *attributes);
bool vm_gpa_is_guest_memfd(SimVm *vm, uint64_t gpa, uint64_t size);
bool vm_has_private_memory(const SimVm *vm);
/* ES and SNP machines of the new kinds refuse register access once VMSAs are encrypted; the legacy kind ignores it. */
bool vm_has_protected_state(const SimVm *vm);

int vcpu_create(SimVm *vm, uint32_t id, int fd, SimVcpu **ret);
int vcpu_ioctl(SimVm *vm, SimVcpu *vcpu, unsigned long request, void *arg);
uint64_t vcpu_msr(const SimVcpu *vcpu, uint32_t index);
int vcpu_run(SimVcpu *vcpu); /* without the lock */
void vcpu_free(SimVcpu *vcpu);

/* sim-vmsa.c: the register state as the kernel would hand it to the secure processor */
void vmsa_build(const SimVm *vm, const SimVcpu *vcpu, uint8_t ret[static SIM_PAGE_SIZE]);

/* sim-sev.c, sim-snp.c: KVM_MEMORY_ENCRYPT_OP */
const char *vm_type_name(VmType type);
int sev_encrypt_op(SimVm *vm, SimSevCmd *cmd);
int snp_encrypt_op(SimVm *vm, SimSevCmd *cmd);
/* sim-tdx.c: the same request on a TD and on its vCPUs */
struct SimTdxCmd;
int tdx_vm_op(SimVm *vm, struct SimTdxCmd *cmd);
int tdx_vcpu_op(SimVm *vm, SimVcpu *vcpu, struct SimTdxCmd *cmd);
int tdx_vcpu_may_be_created(SimVm *vm);
int sev_pin_region(SimVm *vm, uint64_t size, bool pin);

/* sim-fault-request.c: an error of --faults= in place of a request, or 0 */
struct Device;
int fault_request(const struct Device *device, SimVm *vm, unsigned long request, void *arg);
int fault_platform(SimSevIssueCmd *cmd);

/* sim-kvm.c */
int kvm_system_ioctl(unsigned long request, void *arg);
int kvm_vm_ioctl(SimVm *vm, unsigned long request, void *arg);
int kvm_check_extension(const SimVm *vm, long extension);
size_t kvm_supported_cpuid(const struct kvm_cpuid_entry2 **ret);

/* sim-user.c: the caller's memory, where a bad pointer is -EFAULT and not a crash */
int user_read(void *to, uint64_t uaddr, size_t size);
int user_write(uint64_t uaddr, const void *from, size_t size);
/* The kernel's limit for blobs that a caller hands to the firmware is 16 KiB. Free *ret. */
int user_blob(uint64_t uaddr, size_t size, uint8_t **ret);
