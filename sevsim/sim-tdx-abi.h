/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* KVM's interface for TDX: Linux arch/x86/include/uapi/asm/kvm.h (6.16), Documentation/virt/kvm/x86/intel-tdx.rst. */

#include <assert.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

enum {
        TDX_CAP_APIC_BUS_CYCLES_NS = 237,
        TDX_CAP_VM_TSC_CONTROL = 214,
};

typedef enum TdxCommand {
        TDX_CAPABILITIES = 0,
        TDX_INIT_VM = 1,
        TDX_INIT_VCPU = 2,
        TDX_INIT_MEM_REGION = 3,
        TDX_FINALIZE_VM = 4,
        TDX_GET_CPUID = 5,
        _TDX_COMMAND_MAX,
} TdxCommand;

typedef struct SimTdxCmd {
        uint32_t id;
        uint32_t flags;
        uint64_t data;
        uint64_t hw_error;
} SimTdxCmd;
static_assert(sizeof(SimTdxCmd) == 24, "struct kvm_tdx_cmd");

typedef struct SimTdxCapabilities {
        uint64_t supported_attrs;
        uint64_t supported_xfam;
        uint64_t kernel_tdvmcallinfo_1_r11;
        uint64_t user_tdvmcallinfo_1_r11;
        uint64_t kernel_tdvmcallinfo_1_r12;
        uint64_t user_tdvmcallinfo_1_r12;
        uint64_t reserved[250];
} SimTdxCapabilities; /* struct kvm_cpuid2 follows */
static_assert(sizeof(SimTdxCapabilities) == 2048, "struct kvm_tdx_capabilities");

typedef struct SimTdxInitVm {
        uint64_t attributes;
        uint64_t xfam;
        uint8_t mrconfigid[48];
        uint8_t mrowner[48];
        uint8_t mrownerconfig[48];
        uint64_t reserved[12];
} SimTdxInitVm; /* struct kvm_cpuid2 follows */
static_assert(sizeof(SimTdxInitVm) == 256, "struct kvm_tdx_init_vm");

typedef struct SimTdxMemRegion {
        uint64_t source;
        uint64_t gpa;
        uint64_t n_pages;
} SimTdxMemRegion;

#define SIM_TDX_MEASURE 1U /* flag of INIT_MEM_REGION */
/* What KVM itself supports: SEPT_VE_DISABLE, so no debug TDs. */
#define SIM_TDX_ATTRIBUTES (1ULL << 28)
#define SIM_TDX_XFAM       0x602e7ULL
