/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The kernel's side of an SNP launch: what snp_launch_start(), snp_launch_update() with
 * sev_gmem_post_populate(), and snp_launch_finish() of Linux 6.16 check before, and do around, the commands to
 * the secure processor. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim-host.h"
#include "sim-machine.h"

/* Bits that kernels up to 6.18 let through: ABI version, SMT, must-be-one, DEBUG, SINGLE_SOCKET. */
#define KERNEL_POLICY_MASK        (0x1ffffULL | 1ULL << 17 | 1ULL << 19 | 1ULL << 20)
#define KERNEL_POLICY_MUST_BE_ONE (1ULL << 17)

/* KVM puts every initial VMSA at the same guest address: all ones, cut to 48 bits and to pages. */
#define INITIAL_VMSA_GPA 0xfffffffff000ULL

/* A firmware error reaches the caller as EIO with the code beside it. */
static int firmware(SimVm *vm, SimSevCmd *cmd, PspError e) {
        cmd->error = e;
        if (e == PSP_SUCCESS)
                return 0;
        return vm_refuse(vm, -EIO, "the simulated secure processor refuses the command");
}

static int launch_start(SimVm *vm, SimSevCmd *cmd) {
        SimSnpLaunchStart start;
        int r;

        r = user_read(&start, cmd->data, sizeof(start));
        if (r < 0)
                return r;

        record_address(vm->record, "policy", start.policy);
        record_hex(vm->record, "guest_visible_workarounds", start.gosvw, sizeof(start.gosvw));

        if (vm->guest.state != GUEST_UNINIT)
                return vm_refuse(vm, -EINVAL, "the launch has started already");
        if (start.flags != 0)
                return vm_refuse(vm, -EINVAL, "unknown flags");
        if (start.policy & ~KERNEL_POLICY_MASK)
                return vm_refuse(vm, -EINVAL, "the policy has bits that the kernel does not accept");
        if (!(start.policy & KERNEL_POLICY_MUST_BE_ONE))
                return vm_refuse(vm, -EINVAL, "bit 17 of the policy must be one");

        r = firmware(vm, cmd, psp_snp_launch_start(&vm->guest, start.policy));
        return r < 0 ? r : host_guest_start(vm);
}

static int check_update(SimVm *vm, const SimSnpLaunchUpdate *u) {
        uint64_t begin = u->gfn_start, n = u->len / SIM_PAGE_SIZE;

        if (vm->guest.state == GUEST_UNINIT)
                return vm_refuse(vm, -EINVAL, "no launch has started");
        if (u->len == 0 || u->len % SIM_PAGE_SIZE != 0 || u->flags != 0)
                return vm_refuse(vm, -EINVAL, "length is not a number of pages, or unknown flags");
        if (u->type == SNP_PAGE_VMSA || u->type < SNP_PAGE_NORMAL || u->type >= _SNP_PAGE_MAX)
                return vm_refuse(vm, -EINVAL, "not a page type that a monitor may add");
        if (u->type != SNP_PAGE_ZERO && (u->uaddr == 0 || u->uaddr % SIM_PAGE_SIZE != 0))
                return vm_refuse(vm, -EINVAL, "source is not aligned to a page");
        if (begin > UINT64_MAX / SIM_PAGE_SIZE - n ||
                        !vm_gpa_is_guest_memfd(vm, begin * SIM_PAGE_SIZE, u->len))
                return vm_refuse(vm, -EINVAL, "guest pages are not backed by guest_memfd");
        if (!ranges_contain(&vm->private_gfns, begin, begin + n))
                return vm_refuse(vm, -EINVAL, "guest pages were not made private first");
        if (ranges_touch(&vm->assigned_gfns, begin, begin + n))
                return vm_refuse(vm, -EEXIST, "a guest page is added twice");
        return 0;
}

static int update_pages(SimVm *vm, SimSevCmd *cmd, const SimSnpLaunchUpdate *u, const uint8_t *source) {
        for (uint64_t i = 0; i < u->len / SIM_PAGE_SIZE; i++) {
                PspError e = psp_snp_launch_update(&vm->guest, (SnpPageType) u->type,
                                (u->gfn_start + i) * SIM_PAGE_SIZE,
                                source ? source + i * SIM_PAGE_SIZE : NULL);
                if (e != PSP_SUCCESS)
                        return firmware(vm, cmd, e);
        }
        return ranges_add(&vm->assigned_gfns, u->gfn_start, u->gfn_start + u->len / SIM_PAGE_SIZE);
}

static int launch_update(SimVm *vm, SimSevCmd *cmd) {
        SimSnpLaunchUpdate u;
        uint8_t *source = NULL;
        int r;

        r = user_read(&u, cmd->data, sizeof(u));
        if (r < 0)
                return r;

        record_address(vm->record, "gpa", u.gfn_start * SIM_PAGE_SIZE);
        record_number(vm->record, "length", u.len);
        record_string(vm->record, "page_type", snp_page_type_to_string((SnpPageType) u.type));

        r = check_update(vm, &u);
        if (r < 0)
                return r;

        if (u.type != SNP_PAGE_ZERO) {
                source = malloc(u.len);
                if (!source)
                        return -ENOMEM;
                r = user_read(source, u.uaddr, u.len);
                if (r >= 0)
                        record_pages(vm->record, source, u.len);
        }
        if (r >= 0)
                r = update_pages(vm, cmd, &u, source);
        free(source);
        if (r < 0)
                return r;

        /* The kernel moves the command along as pages go over, for callers that must go on after EAGAIN. */
        u.gfn_start += u.len / SIM_PAGE_SIZE;
        if (u.type != SNP_PAGE_ZERO)
                u.uaddr += u.len;
        u.len = 0;
        return user_write(cmd->data, &u, sizeof(u));
}

/* snp_launch_update_vmsa(): all vCPUs in order of creation, as part of LAUNCH_FINISH. */
static int update_vmsas(SimVm *vm, SimSevCmd *cmd) {
        uint8_t page[SIM_PAGE_SIZE];

        for (unsigned i = 0; i < vm->n_vcpus; i++) {
                PspError e;

                vmsa_build(vm, vm->vcpus[i], page);
                e = psp_snp_launch_update(&vm->guest, SNP_PAGE_VMSA, INITIAL_VMSA_GPA, page);

                record_begin(vm->record, "SNP_LAUNCH_UPDATE");
                record_string(vm->record, "by", "kernel model");
                record_address(vm->record, "gpa", INITIAL_VMSA_GPA);
                record_number(vm->record, "length", SIM_PAGE_SIZE);
                record_string(vm->record, "page_type", snp_page_type_to_string(SNP_PAGE_VMSA));
                record_number(vm->record, "vcpu", i);
                record_pages(vm->record, page, sizeof(page));
                record_number(vm->record, "fw_error", e);
                record_end(vm->record);
                if (e != PSP_SUCCESS)
                        return firmware(vm, cmd, e);
        }
        vm->protected = true;
        return 0;
}

static void record_finish(SimVm *vm, const SimSnpLaunchFinish *f, const SnpFinish *finish) {
        record_begin(vm->record, "SNP_LAUNCH_FINISH");
        record_hex(vm->record, "digest", vm->guest.digest, 48);
        record_hex(vm->record, "host_data", f->host_data, sizeof(f->host_data));
        record_bool(vm->record, "id_block", f->id_block_en);
        record_bool(vm->record, "author_key", f->auth_key_en);
        record_bool(vm->record, "vcek_disabled", f->vcek_disabled);
        if (finish->id_block)
                record_file(vm->record, "id-block.bin", finish->id_block, PSP_ID_BLOCK_SIZE, 0644);
        if (finish->id_auth)
                record_file(vm->record, "id-auth.bin", finish->id_auth, PSP_ID_AUTH_SIZE, 0644);
        record_file_hex(vm->record, "digest", vm->guest.digest, 48);
}

/* No guest will ask for it, but a test of a verifier can: sevsim-attest signs it. */
static void record_report(SimVm *vm) {
        uint8_t report[PSP_SNP_REPORT_SIZE];

        if (psp_snp_report(&vm->guest, generation_of(getenv("CVMSPAWN_SEVSIM_PLATFORM")), report) ==
                        PSP_SUCCESS)
                record_file(vm->record, "report.bin", report, sizeof(report), 0644);
}

static int launch_finish(SimVm *vm, SimSevCmd *cmd) {
        SimSnpLaunchFinish f;
        SnpFinish finish = {};
        uint8_t *block = NULL, *auth = NULL;
        int r;

        r = user_read(&f, cmd->data, sizeof(f));
        if (r < 0)
                return r;
        if (vm->guest.state == GUEST_UNINIT || f.flags != 0) {
                record_begin(vm->record, "SNP_LAUNCH_FINISH");
                return vm_refuse(vm, -EINVAL, "no launch has started, or unknown flags");
        }
        if (vm->protected) {
                record_begin(vm->record, "SNP_LAUNCH_FINISH");
                return vm_refuse(vm, -EEXIST, "the VMSAs are encrypted already");
        }

        r = update_vmsas(vm, cmd);
        if (r < 0)
                return r;

        if (f.id_block_en) {
                r = user_blob(f.id_block_uaddr, PSP_ID_BLOCK_SIZE, &block);
                if (r >= 0)
                        r = user_blob(f.id_auth_uaddr, PSP_ID_AUTH_SIZE, &auth);
        }
        finish.id_block = block;
        finish.id_auth = auth;
        finish.author_key = f.auth_key_en;
        memcpy(finish.host_data, f.host_data, sizeof(finish.host_data));

        record_finish(vm, &f, &finish);
        if (r < 0)
                r = vm_refuse(vm, r, "ID block or ID authentication cannot be read");
        else
                r = firmware(vm, cmd, psp_snp_launch_finish(&vm->guest, &finish));
        if (r >= 0)
                record_report(vm);
        free(block);
        free(auth);
        return r;
}

int snp_encrypt_op(SimVm *vm, SimSevCmd *cmd) {
        if (vm->type != VM_TYPE_SNP || !vm->sev_active)
                return vm_refuse(vm, -ENOTTY, "not an SNP machine");

        switch (cmd->id) {

        case SEV_CMD_SNP_LAUNCH_START:
                record_begin(vm->record, "SNP_LAUNCH_START");
                return launch_start(vm, cmd);

        case SEV_CMD_SNP_LAUNCH_UPDATE:
                record_begin(vm->record, "SNP_LAUNCH_UPDATE");
                return launch_update(vm, cmd);

        case SEV_CMD_SNP_LAUNCH_FINISH:
                return launch_finish(vm, cmd);

        default:
                record_begin(vm->record, "unknown");
                record_number(vm->record, "id", cmd->id);
                return vm_refuse(vm, -EINVAL, "unknown command");
        }
}
