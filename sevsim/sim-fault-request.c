/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which step of a launch a request to the simulated devices is, and the error that comes instead of it. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim-device.h"
#include "sim-fault.h"
#include "sim-machine.h"
#include "sim-tdx-abi.h"

typedef struct CommandRow {
        uint32_t id;
        FaultStep step;
        const char *name; /* in the record */
} CommandRow;

static const CommandRow sev_commands[] = {
        { SEV_CMD_INIT, FAULT_INIT, "INIT" },
        { SEV_CMD_ES_INIT, FAULT_INIT, "ES_INIT" },
        { SEV_CMD_INIT2, FAULT_INIT, "INIT2" },
        { SEV_CMD_LAUNCH_START, FAULT_START, "LAUNCH_START" },
        { SEV_CMD_LAUNCH_UPDATE_DATA, FAULT_UPDATE, "LAUNCH_UPDATE_DATA" },
        { SEV_CMD_LAUNCH_UPDATE_VMSA, FAULT_VMSA, "LAUNCH_UPDATE_VMSA" },
        { SEV_CMD_LAUNCH_MEASURE, FAULT_MEASURE, "LAUNCH_MEASURE" },
        { SEV_CMD_LAUNCH_SECRET, FAULT_SECRET, "LAUNCH_SECRET" },
        { SEV_CMD_LAUNCH_FINISH, FAULT_FINISH, "LAUNCH_FINISH" },
        { SEV_CMD_SNP_LAUNCH_START, FAULT_START, "SNP_LAUNCH_START" },
        { SEV_CMD_SNP_LAUNCH_UPDATE, FAULT_UPDATE, "SNP_LAUNCH_UPDATE" },
        { SEV_CMD_SNP_LAUNCH_FINISH, FAULT_FINISH, "SNP_LAUNCH_FINISH" },
};
static const CommandRow tdx_commands[] = {
        { TDX_CAPABILITIES, FAULT_TDX_CAPABILITIES, "TDX_CAPABILITIES" },
        { TDX_INIT_VM, FAULT_TDX_INIT, "TDX_INIT_VM" },
        { TDX_INIT_VCPU, FAULT_TDX_VCPU, "TDX_INIT_VCPU" },
        { TDX_INIT_MEM_REGION, FAULT_TDX_MEMORY, "TDX_INIT_MEM_REGION" },
        { TDX_FINALIZE_VM, FAULT_TDX_FINISH, "TDX_FINALIZE_VM" },
};

static const CommandRow *find_command(const SimVm *vm, uint32_t id) {
        bool tdx = vm->type == VM_TYPE_TDX;
        const CommandRow *rows = tdx ? tdx_commands : sev_commands;
        size_t n = tdx ? sizeof(tdx_commands) / sizeof(tdx_commands[0])
                       : sizeof(sev_commands) / sizeof(sev_commands[0]);

        for (size_t i = 0; i < n; i++)
                if (rows[i].id == id)
                        return rows + i;
        return NULL;
}

/* A SEV and a TDX command begin alike, and have the code of the other side at the same place. */
static int launch_command(SimVm *vm, SimSevCmd *cmd) {
        const CommandRow *row = find_command(vm, cmd->id);
        const SimFault *fault = row ? fault_strike(row->step) : NULL;
        int r;

        if (!fault)
                return 0;
        r = vm->record ? 0 : record_new(&vm->record);
        if (r < 0)
                return r;
        record_begin(vm->record, row->name);
        if (row->step == FAULT_INIT || row->step == FAULT_TDX_CAPABILITIES)
                record_string(vm->record, "vm_type", vm_type_name(vm->type));
        record_string(vm->record, "fault", fault->name);
        cmd->error = fault->firmware;
        return vm_refuse(vm, -fault->error, fault->text);
}

static FaultStep step_of(const Device *device, unsigned long request) {
        if (device->kind == DEVICE_KVM && request == KVM_CREATE_VM)
                return FAULT_CREATE_VM;
        if (device->kind != DEVICE_VM)
                return _FAULT_STEP_INVALID;
        switch (request) {
        case KVM_CREATE_VCPU:
                return FAULT_CREATE_VCPU;
        case SIM_CREATE_GUEST_MEMFD:
                return FAULT_GUEST_MEMFD;
        case SIM_SET_MEMORY_ATTRIBUTES:
                return FAULT_PRIVATE;
        case KVM_MEMORY_ENCRYPT_REG_REGION:
                return FAULT_PIN;
        default:
                return _FAULT_STEP_INVALID;
        }
}

int fault_request(const Device *device, SimVm *vm, unsigned long request, void *arg) {
        const SimFault *fault;
        FaultStep step;

        if (request == KVM_MEMORY_ENCRYPT_OP && arg && vm &&
                        (device->kind == DEVICE_VM || device->kind == DEVICE_VCPU))
                return launch_command(vm, arg);
        step = step_of(device, request);
        fault = step == _FAULT_STEP_INVALID ? NULL : fault_strike(step);
        if (!fault)
                return 0;
        if (vm && device->kind == DEVICE_VM)
                return vm_refuse(vm, -fault->error, fault->text);
        sim_log("refused: %s (%s)", fault->text, strerrorname_np(fault->error));
        return -fault->error;
}

int fault_platform(SimSevIssueCmd *cmd) {
        const SimFault *fault = cmd->cmd == PLATFORM_STATUS || cmd->cmd == PLATFORM_SNP_STATUS
                        ? fault_strike(FAULT_STATUS)
                        : NULL;

        if (!fault)
                return 0;
        cmd->error = fault->firmware;
        sim_log("refused: %s (%s)", fault->text, strerrorname_np(fault->error));
        return -fault->error;
}
