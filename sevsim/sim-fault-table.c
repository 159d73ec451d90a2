/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The names. Status codes of the secure processor: AMD 55766 and 56860, "Status Codes"; what the kernel returns: Linux 6.16,
 * arch/x86/kvm/svm/sev.c, drivers/crypto/ccp/sev-dev.c, arch/x86/kvm/vmx/tdx.c, virt/kvm/guest_memfd.c. */

#include <errno.h>
#include <string.h>

#include "sim-abi.h"
#include "sim-fault.h"

#define FW(name, step, code, text)                                                                          \
        { "fw-" name, step, EIO, code, text }

const SimFault sim_faults[] = {
        { "kvm-missing", FAULT_OPEN_KVM, ENOENT, 0, "/dev/kvm does not exist" },
        { "kvm-denied", FAULT_OPEN_KVM, EACCES, 0, "/dev/kvm may not be opened" },
        { "sev-missing", FAULT_OPEN_SEV, ENOENT, 0, "/dev/sev does not exist" },
        { "sev-denied", FAULT_OPEN_SEV, EACCES, 0, "/dev/sev may not be opened" },
        { "no-sev", FAULT_VM_TYPES, VM_TYPE_SEV, 0, "KVM does not offer SEV guests" },
        { "no-sev-es", FAULT_VM_TYPES, VM_TYPE_SEV_ES, 0, "KVM does not offer SEV-ES guests" },
        { "no-sev-snp", FAULT_VM_TYPES, VM_TYPE_SNP, 0, "KVM does not offer SEV-SNP guests" },
        { "no-tdx", FAULT_VM_TYPES, VM_TYPE_TDX, 0, "KVM does not offer TDX guests" },
        { "vm-busy", FAULT_CREATE_VM, EBUSY, 0, "another hypervisor uses the processor" },
        { "vm-memory", FAULT_CREATE_VM, ENOMEM, 0, "no memory for a virtual machine" },
        { "vcpu-memory", FAULT_CREATE_VCPU, ENOMEM, 0, "no memory for a vCPU" },
        { "guest-memfd", FAULT_GUEST_MEMFD, ENOMEM, 0, "no private memory for the guest" },
        { "private-memory", FAULT_PRIVATE, ENOMEM, 0, "memory cannot be made private" },
        { "memlock", FAULT_PIN, ENOMEM, 0, "locked pages exceed RLIMIT_MEMLOCK" },
        { "psp-missing", FAULT_STATUS, ENODEV, 0, "the kernel has no secure processor" },
        { "psp-timeout", FAULT_STATUS, ETIMEDOUT, 0, "the secure processor does not answer" },
        { "asids-used", FAULT_INIT, EBUSY, 0, "all address space identifiers are in use" },
        { "asids-none", FAULT_INIT, ENOTTY, 0, "no address space identifier for this kind of guest" },
        { "start-timeout", FAULT_START, ETIMEDOUT, 0,
                        "the secure processor does not answer when the launch starts" },
        { "update-again", FAULT_UPDATE, EAGAIN, 0, "pages are to be handed over once more" },
        { "update-memory", FAULT_UPDATE, ENOMEM, 0, "no memory while pages are handed over" },
        { "finish-timeout", FAULT_FINISH, ETIMEDOUT, 0,
                        "the secure processor does not answer when the launch ends" },
        FW("invalid-platform-state", FAULT_START, 0x01, "INVALID_PLATFORM_STATE"),
        FW("invalid-guest-state", FAULT_UPDATE, 0x02, "INVALID_GUEST_STATE"),
        FW("invalid-config", FAULT_START, 0x03, "INVALID_CONFIG"),
        FW("invalid-length", FAULT_UPDATE, 0x04, "INVALID_LEN"),
        FW("already-owned", FAULT_START, 0x05, "ALREADY_OWNED"),
        FW("invalid-certificate", FAULT_START, 0x06, "INVALID_CERTIFICATE"),
        FW("policy-failure", FAULT_START, 0x07, "POLICY_FAILURE"),
        FW("inactive", FAULT_UPDATE, 0x08, "INACTIVE"),
        FW("invalid-address", FAULT_UPDATE, 0x09, "INVALID_ADDRESS"),
        FW("bad-signature", FAULT_FINISH, 0x0a, "BAD_SIGNATURE"),
        FW("bad-measurement", FAULT_FINISH, 0x0b, "BAD_MEASUREMENT"),
        FW("asid-owned", FAULT_START, 0x0c, "ASID_OWNED"),
        FW("invalid-asid", FAULT_START, 0x0d, "INVALID_ASID"),
        FW("wbinvd-required", FAULT_START, 0x0e, "WBINVD_REQUIRED"),
        FW("dfflush-required", FAULT_START, 0x0f, "DFFLUSH_REQUIRED"),
        FW("invalid-guest", FAULT_UPDATE, 0x10, "INVALID_GUEST"),
        FW("invalid-command", FAULT_START, 0x11, "INVALID_COMMAND"),
        FW("active", FAULT_START, 0x12, "ACTIVE"),
        FW("hardware-platform", FAULT_START, 0x13, "HWSEV_RET_PLATFORM"),
        FW("hardware-unsafe", FAULT_START, 0x14, "HWSEV_RET_UNSAFE"),
        FW("unsupported", FAULT_START, 0x15, "UNSUPPORTED"),
        FW("invalid-param", FAULT_UPDATE, 0x16, "INVALID_PARAM"),
        FW("resource-limit", FAULT_START, 0x17, "RESOURCE_LIMIT"),
        FW("secure-data-invalid", FAULT_START, 0x18, "SECURE_DATA_INVALID"),
        FW("invalid-page-size", FAULT_UPDATE, 0x19, "INVALID_PAGE_SIZE"),
        FW("invalid-page-state", FAULT_UPDATE, 0x1a, "INVALID_PAGE_STATE"),
        FW("invalid-mdata-entry", FAULT_UPDATE, 0x1b, "INVALID_MDATA_ENTRY"),
        FW("invalid-page-owner", FAULT_UPDATE, 0x1c, "INVALID_PAGE_OWNER"),
        FW("aead-overflow", FAULT_UPDATE, 0x1d, "AEAD_OFLOW"),
        FW("rmp-init-required", FAULT_START, 0x20, "RMP_INIT_REQUIRED"),
        FW("bad-svn", FAULT_FINISH, 0x21, "BAD_SVN"),
        FW("bad-version", FAULT_START, 0x22, "BAD_VERSION"),
        FW("shutdown-required", FAULT_START, 0x23, "SHUTDOWN_REQUIRED"),
        FW("update-failed", FAULT_START, 0x24, "UPDATE_FAILED"),
        FW("restore-required", FAULT_START, 0x25, "RESTORE_REQUIRED"),
        FW("rmp-init-failed", FAULT_START, 0x26, "RMP_INITIALIZATION_FAILED"),
        FW("invalid-key", FAULT_FINISH, 0x27, "INVALID_KEY"),
        { "tdx-unusable", FAULT_TDX_CAPABILITIES, EIO, 0, "the TDX module does not answer" },
        { "tdx-keys-used", FAULT_TDX_INIT, ENOSPC, 0, "all private key identifiers are in use" },
        { "tdx-busy", FAULT_TDX_INIT, EBUSY, 0, "the limit of TDX guests of this control group is reached" },
        { "tdx-vcpu", FAULT_TDX_VCPU, EIO, 0, "the TDX module refuses a vCPU" },
        { "tdx-memory-again", FAULT_TDX_MEMORY, EAGAIN, 0, "pages are to be added once more" },
        { "tdx-memory", FAULT_TDX_MEMORY, EIO, 0, "the TDX module refuses a page" },
        { "tdx-finalize", FAULT_TDX_FINISH, EIO, 0, "the TDX module does not finalize the guest" },
};
const size_t sim_faults_n = sizeof(sim_faults) / sizeof(sim_faults[0]);

static const char *const step_names[_FAULT_STEP_MAX] = {
        [FAULT_OPEN_KVM] = "open-kvm",
        [FAULT_OPEN_SEV] = "open-sev",
        [FAULT_VM_TYPES] = "vm-types",
        [FAULT_CREATE_VM] = "create-vm",
        [FAULT_CREATE_VCPU] = "create-vcpu",
        [FAULT_GUEST_MEMFD] = "guest-memfd",
        [FAULT_PRIVATE] = "memory-attributes",
        [FAULT_PIN] = "register-region",
        [FAULT_STATUS] = "platform-status",
        [FAULT_INIT] = "init",
        [FAULT_START] = "start",
        [FAULT_UPDATE] = "update",
        [FAULT_VMSA] = "vmsa",
        [FAULT_MEASURE] = "measure",
        [FAULT_SECRET] = "secret",
        [FAULT_FINISH] = "finish",
        [FAULT_TDX_CAPABILITIES] = "tdx-capabilities",
        [FAULT_TDX_INIT] = "tdx-init",
        [FAULT_TDX_VCPU] = "tdx-vcpu",
        [FAULT_TDX_MEMORY] = "tdx-memory",
        [FAULT_TDX_FINISH] = "tdx-finish",
};

const char *fault_step_to_string(FaultStep step) {
        return step_names[step];
}

static FaultStep step_from(const char *text, size_t size) {
        for (int i = FAULT_INIT; i < _FAULT_STEP_MAX; i++)
                if (strlen(step_names[i]) == size && strncmp(step_names[i], text, size) == 0)
                        return (FaultStep) i;
        return _FAULT_STEP_INVALID;
}

const SimFault *fault_parse(const char *text, FaultStep *ret_step) {
        size_t whole = strcspn(text, ","), n = strcspn(text, ",@");

        for (size_t i = 0; i < sim_faults_n; i++) {
                const SimFault *f = sim_faults + i;

                if (strlen(f->name) != n || strncmp(f->name, text, n) != 0)
                        continue;
                *ret_step = f->step;
                if (n < whole)
                        *ret_step = f->step >= FAULT_INIT ? step_from(text + n + 1, whole - n - 1)
                                                          : _FAULT_STEP_INVALID;
                return *ret_step == _FAULT_STEP_INVALID ? NULL : f;
        }
        return NULL;
}
