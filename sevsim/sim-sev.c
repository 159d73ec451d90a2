/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The kernel's side of SEV and SEV-ES launches, and of INIT for all kinds: __sev_guest_init(),
 * sev_launch_start(), sev_launch_update_data(), sev_launch_update_vmsa(), sev_launch_measure(),
 * sev_launch_secret(), sev_launch_finish(), sev_mem_enc_register_region() of Linux 6.16. */

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sim-host.h"
#include "sim-machine.h"
#include "sim-secret.h"

#define FEATURE_SNP_ACTIVE 1ULL

static const char *platform_dir(void) {
        return getenv("CVMSPAWN_SEVSIM_PLATFORM");
}

static int firmware(SimVm *vm, SimSevCmd *cmd, PspError e) {
        cmd->error = e;
        if (e == PSP_SUCCESS)
                return 0;
        return vm_refuse(vm, -EIO, "the simulated secure processor refuses the command");
}

const char *vm_type_name(VmType type) {
        static const char *const table[] = {
                [VM_TYPE_DEFAULT] = "default (legacy)",
                [VM_TYPE_SEV] = "SEV",
                [VM_TYPE_SEV_ES] = "SEV-ES",
                [VM_TYPE_SNP] = "SNP",
                [VM_TYPE_TDX] = "TDX",
        };
        return table[type];
}

static int guest_init(SimVm *vm, const SimSevCmd *cmd) {
        SimSevInit2 init = {};
        bool legacy = cmd->id != SEV_CMD_INIT2;
        int r;

        if (!legacy) {
                r = user_read(&init, cmd->data, sizeof(init));
                if (r < 0)
                        return r;
        }
        r = vm->record ? 0 : record_new(&vm->record);
        if (r < 0)
                return r;
        record_begin(vm->record, legacy ? (cmd->id == SEV_CMD_INIT ? "INIT" : "ES_INIT") : "INIT2");
        record_string(vm->record, "vm_type", vm_type_name(vm->type));
        record_address(vm->record, "vmsa_features", init.vmsa_features);

        if (vm->n_vcpus > 0 || vm->sev_active)
                return vm_refuse(vm, -EINVAL, "too late: vCPUs exist or memory encryption is on already");
        if (legacy != (vm->type == VM_TYPE_DEFAULT))
                return vm_refuse(vm, -EINVAL, "this VM type requires the other INIT command");
        if (init.flags != 0 || init.ghcb_version > 2)
                return vm_refuse(vm, -EINVAL, "unknown flags or GHCB version");
        if (vm->type == VM_TYPE_SEV && (init.ghcb_version != 0 || init.vmsa_features != 0))
                return vm_refuse(vm, -EINVAL, "a SEV machine has neither GHCB nor VMSA");
        if (init.vmsa_features & ~SIM_VMSA_FEATURES)
                return vm_refuse(vm, -EINVAL, "VMSA features that this host does not support");

        vm->es = cmd->id == SEV_CMD_ES_INIT || vm->type == VM_TYPE_SEV_ES || vm->type == VM_TYPE_SNP;
        r = host_seat_take(vm);
        if (r < 0)
                return r;
        vm->sev_active = true;
        vm->vmsa_features = init.vmsa_features | (vm->type == VM_TYPE_SNP ? FEATURE_SNP_ACTIVE : 0);
        return 0;
}

static int launch_start(SimVm *vm, SimSevCmd *cmd) {
        SimSevLaunchStart start;
        uint8_t *cert = NULL, *session = NULL;
        bool wants_es;
        int r;

        r = user_read(&start, cmd->data, sizeof(start));
        if (r < 0)
                return r;

        record_address(vm->record, "policy", start.policy);
        record_number(vm->record, "handle", start.handle);
        record_bool(vm->record, "session", start.session_uaddr != 0);

        if (start.dh_uaddr != 0)
                r = user_blob(start.dh_uaddr, start.dh_len, &cert);
        if (r >= 0 && start.session_uaddr != 0)
                r = user_blob(start.session_uaddr, start.session_len, &session);
        if (r < 0) {
                free(cert);
                return vm_refuse(vm, r, "owner certificate or session cannot be read");
        }

        wants_es = start.policy & 1U << 2;
        r = firmware(vm, cmd,
                        psp_launch_start(&vm->guest, platform_dir(), start.handle, start.policy, cert,
                                        start.dh_len, session, start.session_len));
        free(cert);
        free(session);
        if (r < 0)
                return r;

        /* ACTIVATE follows LAUNCH_START: the address space identifier must be of the policy's kind. */
        if (wants_es != vm->es) {
                psp_guest_done(&vm->guest);
                return firmware(vm, cmd, PSP_INVALID_ASID);
        }
        r = host_guest_start(vm);
        if (r < 0)
                return r;
        start.handle = host_handle(vm);
        return user_write(cmd->data, &start, sizeof(start));
}

static int launch_update_data(SimVm *vm, SimSevCmd *cmd) {
        SimSevRegion region;
        uint8_t *data;
        int r;

        r = user_read(&region, cmd->data, sizeof(region));
        if (r < 0)
                return r;
        record_number(vm->record, "length", region.len);

        if (region.len == 0)
                return vm_refuse(vm, -EINVAL, "empty region");
        /* The firmware's own alignment rule; the kernel passes what it gets. */
        if (region.uaddr % 16 != 0)
                return firmware(vm, cmd, PSP_INVALID_ADDRESS);
        if (region.len % 16 != 0)
                return firmware(vm, cmd, PSP_INVALID_LENGTH);

        data = malloc(region.len);
        if (!data)
                return -ENOMEM;
        r = user_read(data, region.uaddr, region.len);
        if (r >= 0) {
                record_pages(vm->record, data, region.len);
                r = firmware(vm, cmd, psp_launch_update(&vm->guest, data, region.len));
        }
        free(data);
        return r;
}

static int launch_update_vmsa(SimVm *vm, SimSevCmd *cmd) {
        uint8_t page[SIM_PAGE_SIZE];

        if (!vm->es) {
                record_begin(vm->record, "LAUNCH_UPDATE_VMSA");
                return vm_refuse(vm, -ENOTTY, "not an SEV-ES machine");
        }
        for (unsigned i = 0; i < vm->n_vcpus; i++) {
                int r;

                vmsa_build(vm, vm->vcpus[i], page);
                record_begin(vm->record, "LAUNCH_UPDATE_VMSA");
                record_number(vm->record, "vcpu", i);
                record_number(vm->record, "length", SIM_PAGE_SIZE);
                record_pages(vm->record, page, sizeof(page));
                r = vm->protected ? vm_refuse(vm, -EINVAL, "the VMSAs are encrypted already")
                                  : firmware(vm, cmd, psp_launch_update(&vm->guest, page, sizeof(page)));
                if (r < 0)
                        return r;
                if (i + 1 < vm->n_vcpus)
                        record_end(vm->record);
        }
        vm->protected = true;
        return 0;
}

static int launch_measure(SimVm *vm, SimSevCmd *cmd) {
        uint8_t blob[PSP_MEASURE_SIZE];
        SimSevRegion region;
        size_t size;
        PspError e;
        int r;

        r = user_read(&region, cmd->data, sizeof(region));
        if (r < 0)
                return r;
        if (region.len > 0 && region.uaddr == 0)
                return vm_refuse(vm, -EINVAL, "no address");

        size = region.len;
        record_number(vm->record, "length", size);
        e = psp_launch_measure(&vm->guest, blob, &size);
        if (e == PSP_SUCCESS) {
                record_hex(vm->record, "digest", vm->guest.digest, 32);
                record_hex(vm->record, "measurement", blob, sizeof(blob));
                record_file_hex(vm->record, "digest", vm->guest.digest, 32);
                record_file_hex(vm->record, "measurement", blob, sizeof(blob));
                r = user_write(region.uaddr, blob, sizeof(blob));
                if (r < 0)
                        return r;
        }

        /* A query answers with the size and, like any other firmware error, EIO. It is not a refusal. */
        region.len = (uint32_t) size;
        r = user_write(cmd->data, &region, sizeof(region));
        if (r < 0)
                return r;
        cmd->error = e;
        return e == PSP_SUCCESS ? 0 : -EIO;
}

static int launch_secret(SimVm *vm, SimSevCmd *cmd) {
        SimSevLaunchSecret s;
        uint8_t *header = NULL, *packet = NULL, *plain = NULL;
        int r;

        r = user_read(&s, cmd->data, sizeof(s));
        if (r < 0)
                return r;
        record_number(vm->record, "length", s.guest.len);

        r = user_blob(s.header.uaddr, s.header.len, &header);
        if (r >= 0)
                r = user_blob(s.transport.uaddr, s.transport.len, &packet);
        if (r < 0) {
                free(header);
                return vm_refuse(vm, r, "secret packet cannot be read");
        }
        plain = calloc(1, s.transport.len);
        if (!plain)
                r = -ENOMEM;
        else
                r = firmware(vm, cmd,
                                psp_launch_secret(&vm->guest, header, s.header.len, packet, s.transport.len,
                                                s.guest.len, plain));
        if (r >= 0) {
                /* The guest would see the plain bytes there, the host only their encryption. */
                r = user_write(s.guest.uaddr, plain, s.transport.len);
                secret_record(vm->record, plain, s.transport.len);
        }
        free(header);
        free(packet);
        free(plain);
        return r;
}

static int guest_status(SimVm *vm, const SimSevCmd *cmd) {
        SimSevGuestStatus status = {
                .handle = host_handle(vm),
                .policy = (uint32_t) vm->guest.policy,
                .state = vm->guest.state,
        };
        return user_write(cmd->data, &status, sizeof(status));
}

static int attestation(SimVm *vm, SimSevCmd *cmd) {
        uint8_t report[PSP_REPORT_SIZE];
        SimSevAttestation a;
        size_t size;
        PspError e;
        int r;

        r = user_read(&a, cmd->data, sizeof(a));
        if (r < 0)
                return r;
        size = a.len;
        e = psp_attestation(&vm->guest, platform_dir(), a.mnonce, report, &size);
        if (e == PSP_SUCCESS)
                r = user_write(a.uaddr, report, sizeof(report));
        a.len = (uint32_t) size;
        if (r >= 0)
                r = user_write(cmd->data, &a, sizeof(a));
        cmd->error = e;
        return r < 0 ? r : e == PSP_SUCCESS ? 0 : -EIO;
}

/* The whole of guest memory is pinned, which needs RLIMIT_MEMLOCK or CAP_IPC_LOCK as on a real host. */
int sev_pin_region(SimVm *vm, uint64_t size, bool pin) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2] = {};
        struct rlimit limit;

        record_begin(vm->record, pin ? "MEMORY_ENCRYPT_REG_REGION" : "MEMORY_ENCRYPT_UNREG_REGION");
        record_number(vm->record, "length", size);
        if (!vm->sev_active)
                return vm_refuse(vm, -ENOTTY, "not a machine with memory encryption");
        if (!pin) {
                vm->pinned -= size < vm->pinned ? size : vm->pinned;
                return 0;
        }
        if (getrlimit(RLIMIT_MEMLOCK, &limit) >= 0 &&
                        size > limit.rlim_cur -
                                                        (vm->pinned < limit.rlim_cur ? vm->pinned
                                                                                     : limit.rlim_cur) &&
                        (syscall(SYS_capget, &header, data) < 0 ||
                                        !(data[0].effective & 1U << CAP_IPC_LOCK)))
                return vm_refuse(vm, -ENOMEM, "locked pages exceed RLIMIT_MEMLOCK");
        vm->pinned += size;
        return 0;
}

typedef struct SevRow {
        const char *name;
        int (*run)(SimVm *vm, SimSevCmd *cmd);
} SevRow;

static int launch_finish(SimVm *vm, SimSevCmd *cmd) {
        return firmware(vm, cmd, psp_launch_finish(&vm->guest));
}

static int status_row(SimVm *vm, SimSevCmd *cmd) {
        return guest_status(vm, cmd);
}

int sev_encrypt_op(SimVm *vm, SimSevCmd *cmd) {
        static const SevRow rows[] = {
                [SEV_CMD_LAUNCH_START] = { "LAUNCH_START", launch_start },
                [SEV_CMD_LAUNCH_UPDATE_DATA] = { "LAUNCH_UPDATE_DATA", launch_update_data },
                [SEV_CMD_LAUNCH_SECRET] = { "LAUNCH_SECRET", launch_secret },
                [SEV_CMD_LAUNCH_MEASURE] = { "LAUNCH_MEASURE", launch_measure },
                [SEV_CMD_LAUNCH_FINISH] = { "LAUNCH_FINISH", launch_finish },
                [SEV_CMD_GUEST_STATUS] = { "GUEST_STATUS", status_row },
                [SEV_CMD_GET_ATTESTATION_REPORT] = { "GET_ATTESTATION_REPORT", attestation },
        };

        if (cmd->id == SEV_CMD_INIT || cmd->id == SEV_CMD_ES_INIT || cmd->id == SEV_CMD_INIT2)
                return guest_init(vm, cmd);

        if (!vm->sev_active || vm->type == VM_TYPE_SNP) {
                record_begin(vm->record, "SEV command");
                record_number(vm->record, "id", cmd->id);
                return vm_refuse(vm, -ENOTTY, "not a SEV or SEV-ES machine");
        }
        if (cmd->id == SEV_CMD_LAUNCH_UPDATE_VMSA)
                return launch_update_vmsa(vm, cmd);
        if (cmd->id >= sizeof(rows) / sizeof(rows[0]) || !rows[cmd->id].run) {
                record_begin(vm->record, "unknown");
                record_number(vm->record, "id", cmd->id);
                return vm_refuse(vm, -EINVAL, "unknown or not simulated command");
        }
        record_begin(vm->record, rows[cmd->id].name);
        return rows[cmd->id].run(vm, cmd);
}
