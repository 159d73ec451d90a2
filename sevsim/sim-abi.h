/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The parts of Linux's user interface that the simulation answers and that the headers of an older build
 * machine do not have. Everything older comes from <linux/kvm.h>.
 *
 * Sources: Linux include/uapi/linux/kvm.h, arch/x86/include/uapi/asm/kvm.h, include/uapi/linux/psp-sev.h
 * (6.16); AMD 55766 (SEV API) 0.24 and AMD 56860 (SEV-SNP firmware ABI) 1.55 for the error codes. */

#include <assert.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_PAGE_SIZE 4096U

/* arch/x86/include/uapi/asm/kvm.h: VM types */
typedef enum VmType {
        VM_TYPE_DEFAULT = 0,
        VM_TYPE_SEV = 2,
        VM_TYPE_SEV_ES = 3,
        VM_TYPE_SNP = 4,
        VM_TYPE_TDX = 5,
} VmType;

#define VM_TYPES_MASK                                                                                       \
        ((1U << VM_TYPE_DEFAULT) | (1U << VM_TYPE_SEV) | (1U << VM_TYPE_SEV_ES) | (1U << VM_TYPE_SNP) |     \
                        (1U << VM_TYPE_TDX))

/* Capabilities and requests newer than the build machine's headers may be. */
enum {
        SIM_CAP_EXIT_HYPERCALL = 201,
        SIM_CAP_USER_MEMORY2 = 231,
        SIM_CAP_MEMORY_FAULT_INFO = 232,
        SIM_CAP_MEMORY_ATTRIBUTES = 233,
        SIM_CAP_GUEST_MEMFD = 234,
        SIM_CAP_VM_TYPES = 235,
};

#define SIM_HC_MAP_GPA_RANGE_MASK    (1ULL << 12)
#define SIM_MEM_GUEST_MEMFD          (1UL << 2)
#define SIM_MEMORY_ATTRIBUTE_PRIVATE (1ULL << 3)

typedef struct SimMemoryRegion2 {
        uint32_t slot;
        uint32_t flags;
        uint64_t guest_phys_addr;
        uint64_t memory_size;
        uint64_t userspace_addr;
        uint64_t guest_memfd_offset;
        uint32_t guest_memfd;
        uint32_t pad1;
        uint64_t pad2[14];
} SimMemoryRegion2;
static_assert(sizeof(SimMemoryRegion2) == 160, "struct kvm_userspace_memory_region2");

typedef struct SimMemoryAttributes {
        uint64_t address;
        uint64_t size;
        uint64_t attributes;
        uint64_t flags;
} SimMemoryAttributes;

typedef struct SimCreateGuestMemfd {
        uint64_t size;
        uint64_t flags;
        uint64_t reserved[6];
} SimCreateGuestMemfd;

#define SIM_SET_USER_MEMORY_REGION2 _IOW(KVMIO, 0x49, SimMemoryRegion2)
#define SIM_SET_MEMORY_ATTRIBUTES   _IOW(KVMIO, 0xd2, SimMemoryAttributes)
#define SIM_CREATE_GUEST_MEMFD      _IOWR(KVMIO, 0xd4, SimCreateGuestMemfd)

/* Attributes of /dev/kvm itself: KVM_GET_DEVICE_ATTR with these groups, attribute 0 of each. */
enum {
        SIM_GROUP_X86 = 0, /* KVM_X86_XCOMP_GUEST_SUPP: extended state that a guest may have */
        SIM_GROUP_SEV = 1, /* KVM_X86_SEV_VMSA_FEATURES */
};

/* DebugSwap, for those who ask for it with INIT2: what kvm_amd offers since Linux 6.11. */
#define SIM_VMSA_FEATURES (1ULL << 5)

/* KVM_MEMORY_ENCRYPT_OP */
typedef struct SimSevCmd {
        uint32_t id;
        uint32_t pad;
        uint64_t data;
        uint32_t error;
        uint32_t sev_fd;
} SimSevCmd;

typedef enum SevCommand {
        SEV_CMD_INIT = 0,
        SEV_CMD_ES_INIT = 1,
        SEV_CMD_LAUNCH_START = 2,
        SEV_CMD_LAUNCH_UPDATE_DATA = 3,
        SEV_CMD_LAUNCH_UPDATE_VMSA = 4,
        SEV_CMD_LAUNCH_SECRET = 5,
        SEV_CMD_LAUNCH_MEASURE = 6,
        SEV_CMD_LAUNCH_FINISH = 7,
        SEV_CMD_GUEST_STATUS = 16,
        SEV_CMD_GET_ATTESTATION_REPORT = 20,
        SEV_CMD_INIT2 = 22,
        SEV_CMD_SNP_LAUNCH_START = 100,
        SEV_CMD_SNP_LAUNCH_UPDATE = 101,
        SEV_CMD_SNP_LAUNCH_FINISH = 102,
} SevCommand;

typedef struct SimSevInit2 {
        uint64_t vmsa_features;
        uint32_t flags;
        uint16_t ghcb_version;
        uint16_t pad1;
        uint32_t pad2[8];
} SimSevInit2;

typedef struct SimSevLaunchStart {
        uint32_t handle;
        uint32_t policy;
        uint64_t dh_uaddr;
        uint32_t dh_len;
        uint32_t pad0;
        uint64_t session_uaddr;
        uint32_t session_len;
        uint32_t pad1;
} SimSevLaunchStart;

typedef struct SimSevRegion {
        uint64_t uaddr;
        uint32_t len;
        uint32_t pad;
} SimSevRegion; /* LAUNCH_UPDATE_DATA and LAUNCH_MEASURE */

typedef struct SimSevLaunchSecret {
        SimSevRegion header;
        SimSevRegion guest;
        SimSevRegion transport;
} SimSevLaunchSecret;

typedef struct SimSevGuestStatus {
        uint32_t handle;
        uint32_t policy;
        uint32_t state;
} SimSevGuestStatus;

typedef struct SimSevAttestation {
        uint8_t mnonce[16];
        uint64_t uaddr;
        uint32_t len;
        uint32_t pad;
} SimSevAttestation;

typedef struct SimSnpLaunchStart {
        uint64_t policy;
        uint8_t gosvw[16];
        uint16_t flags;
        uint8_t pad0[6];
        uint64_t pad1[4];
} SimSnpLaunchStart;

typedef struct SimSnpLaunchUpdate {
        uint64_t gfn_start;
        uint64_t uaddr;
        uint64_t len;
        uint8_t type;
        uint8_t pad0;
        uint16_t flags;
        uint32_t pad1;
        uint64_t pad2[4];
} SimSnpLaunchUpdate;

typedef struct SimSnpLaunchFinish {
        uint64_t id_block_uaddr;
        uint64_t id_auth_uaddr;
        uint8_t id_block_en;
        uint8_t auth_key_en;
        uint8_t vcek_disabled;
        uint8_t host_data[32];
        uint8_t pad0[3];
        uint16_t flags;
        uint64_t pad1[4];
} SimSnpLaunchFinish;
static_assert(sizeof(SimSnpLaunchUpdate) == 64, "struct kvm_sev_snp_launch_update");
static_assert(offsetof(SimSnpLaunchFinish, flags) == 54, "struct kvm_sev_snp_launch_finish");

/* /dev/sev */
typedef struct __attribute__((packed)) SimSevIssueCmd {
        uint32_t cmd;
        uint64_t data;
        uint32_t error;
} SimSevIssueCmd;
static_assert(sizeof(SimSevIssueCmd) == 16, "struct sev_issue_cmd");

#define SIM_SEV_ISSUE_CMD _IOWR('S', 0x0, SimSevIssueCmd)

typedef enum PlatformCommand {
        PLATFORM_STATUS = 1,
        PLATFORM_PDH_GEN = 4,
        PLATFORM_PDH_CERT_EXPORT = 5,
        PLATFORM_GET_ID2 = 8,
        PLATFORM_SNP_STATUS = 9,
} PlatformCommand;

typedef struct __attribute__((packed)) SimPlatformStatus {
        uint8_t api_major;
        uint8_t api_minor;
        uint8_t state;
        uint32_t flags;
        uint8_t build;
        uint32_t guest_count;
} SimPlatformStatus;
static_assert(sizeof(SimPlatformStatus) == 12, "struct sev_user_data_status");

typedef struct __attribute__((packed)) SimPdhExport {
        uint64_t pdh_address;
        uint32_t pdh_len;
        uint64_t chain_address;
        uint32_t chain_len;
} SimPdhExport;

typedef struct __attribute__((packed)) SimGetId2 {
        uint64_t address;
        uint32_t length;
} SimGetId2;

typedef struct __attribute__((packed)) SimSnpStatus {
        uint8_t api_major;
        uint8_t api_minor;
        uint8_t state;
        uint8_t rmp_initialized;
        uint32_t build;
        uint32_t mask;
        uint32_t guest_count;
        uint64_t current_tcb;
        uint64_t reported_tcb;
} SimSnpStatus;
static_assert(sizeof(SimSnpStatus) == 32, "struct sev_user_data_snp_status");
