/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which options go together: one table, one sentence a row, each with a golden message in tests/golden/rules. A row's `broken`
 * says whether this configuration breaks it. */

#include <string.h>

#include "config-rules-storage.h"
#include "config-rules.h"
#include "error.h"
#include "strutil.h"

typedef struct ConfigRule {
        bool (*broken)(const VmConfig *c);
        const char *sentence;
} ConfigRule;

static bool nothing_to_boot(const VmConfig *c) {
        return !c->linux_path && !c->image && !c->directory && c->firmware != FIRMWARE_LIST &&
                        !c->list_firmware_features && c->firmware != FIRMWARE_DESCRIBE;
}

static bool initrd_alone(const VmConfig *c) {
        return c->initrds && !c->linux_path;
}

static bool cmdline_without_kernel(const VmConfig *c) {
        return c->cmdline && !c->linux_path;
}

/* The owner answered for one launch. */
static bool reset_with_owner(const VmConfig *c) {
        return c->reset && !c->simulate && coco_of(c->coco)->launch_session &&
                        (c->owner_dir || c->attestation_service);
}

/* The guest would have to accept it, and no digest covers it. */
static bool plugged_memory(const VmConfig *c) {
        return vm_config_confidential(c) && c->ram_max > 0;
}

static bool run_without_kernel(const VmConfig *c) {
        return c->run && !c->linux_path;
}

static bool copy_out_without_run(const VmConfig *c) {
        return c->n_copies > 0 && !c->run;
}

static bool shell_elsewhere(const VmConfig *c) {
        return c->shell && c->console != CONSOLE_AUTO && c->console != CONSOLE_HEADLESS;
}

static bool adapter_without_kernel(const VmConfig *c) {
        return c->adapter && !c->linux_path;
}

static bool run_empty(const VmConfig *c) {
        return c->run && !*c->run;
}

static bool simulate_without_coco(const VmConfig *c) {
        return c->simulate && !vm_config_confidential(c);
}

/* For the other modes the firmware decides: launcher/resolve looks for a boot loader in it. */
static bool coco_without_kernel(const VmConfig *c) {
        return coco_of(c->coco)->kernel_required && !c->linux_path;
}

static bool coco_credentials_without_kernel(const VmConfig *c) {
        return vm_config_confidential(c) && !c->linux_path && (c->n_credentials > 0 || c->ssh_key);
}

static bool coco_without_kvm(const VmConfig *c) {
        return vm_config_confidential(c) && !c->simulate && c->kvm == TRISTATE_NO;
}

static bool coco_firmware(const VmConfig *c) {
        return vm_config_confidential(c) && (c->firmware == FIRMWARE_BIOS || c->firmware == FIRMWARE_NONE);
}

static bool coco_smbios11(const VmConfig *c) {
        return vm_config_confidential(c) && c->smbios11;
}

static bool coco_transport(const VmConfig *c) {
        return vm_config_confidential(c) &&
                        (c->credential_transport == TRANSPORT_SMBIOS ||
                                        c->credential_transport == TRANSPORT_FW_CFG);
}

bool vm_config_predictable(const VmConfig *c) {
        static const char *const harmless[] = { "-trace", "-d", "-D", "-name" };

        for (size_t i = 0; c->qemu_args && c->qemu_args[i]; i += 2) {
                bool known = false;

                for (size_t k = 0; k < ELEMENTSOF(harmless); k++)
                        known = known || streq(c->qemu_args[i], harmless[k]);
                if (!known || !c->qemu_args[i + 1])
                        return false;
        }
        return true;
}

static bool coco_qemu_arg(const VmConfig *c) {
        return vm_config_confidential(c) && c->qemu_args && !(c->allow_untrusted & ALLOW_QEMU_ARG);
}

static bool coco_options_alone(const VmConfig *c) {
        return !vm_config_confidential(c) &&
                        (c->coco_policy || c->guest_features_set || c->expect || c->lock);
}

static bool cpu_alone(const VmConfig *c) {
        return !vm_config_confidential(c) && c->cpu_model_set;
}

static bool snp_options_alone(const VmConfig *c) {
        return !coco_of(c->coco)->id_block &&
                        (c->host_data || c->id_block || c->id_auth || c->id_key || c->author_key ||
                                        !c->vcek);
}

static bool simulated_vcpus(const VmConfig *c) {
        return c->simulate && coco_of(c->coco)->emulated && c->cpus > 1;
}

static bool guest_features_alone(const VmConfig *c) {
        return vm_config_confidential(c) && !coco_of(c->coco)->guest_features && c->guest_features_set;
}

static bool guest_features_without_snp(const VmConfig *c) {
        return coco_of(c->coco)->guest_features && !(c->guest_features & 1);
}

static bool sev_options_alone(const VmConfig *c) {
        return !coco_of(c->coco)->launch_session && (c->dh_cert || c->session || c->legacy_vm_type);
}

static bool half_id_pair(const VmConfig *c) {
        return !c->id_block != !c->id_auth;
}

static bool id_pair_and_key(const VmConfig *c) {
        return c->id_block && c->id_key;
}

static bool author_key_alone(const VmConfig *c) {
        return c->author_key && !c->id_key;
}

static bool half_session(const VmConfig *c) {
        return !c->dh_cert != !c->session;
}

static bool initrd_transport_alone(const VmConfig *c) {
        return (c->credential_transport == TRANSPORT_INITRD ||
                               c->credential_transport == TRANSPORT_CMDLINE) &&
                        !c->linux_path;
}

static bool events_in_output(const VmConfig *c) {
        return c->json == JSON_SHORT_MODE && !c->status_fd && c->print == 0 &&
                        (c->run || (c->console != CONSOLE_AUTO && c->console != CONSOLE_HEADLESS));
}

static bool console_log_native(const VmConfig *c) {
        return c->console_log && c->console == CONSOLE_NATIVE;
}

static bool background_native(const VmConfig *c) {
        return c->background && c->console == CONSOLE_NATIVE;
}

static bool firmware_for_kernel(const VmConfig *c) {
        return c->firmware == FIRMWARE_NONE && !c->linux_path;
}

static bool from_image_without_image(const VmConfig *c) {
        return c->linux_path && streq(c->linux_path, LINUX_FROM_IMAGE) && !c->image;
}

/* Left as it is: clang-format indents the whole table by another rule whenever a row is added. */
/* clang-format off */
static const ConfigRule rules[] = {
        { nothing_to_boot,
                        "nothing to boot: pass a kernel with --linux= (and --initrd=), a disk with --image= or a directory with --directory=" },
        { initrd_alone, "--initrd= requires --linux=: an initrd is for a kernel that is booted directly" },
        { cmdline_without_kernel,
                        "a kernel command line requires --linux=: it is for a kernel that is booted directly" },
        { from_image_without_image,
                        "--linux=from-image requires --image=: the kernel is taken from that disk image" },
        { format_without_image, "--image-format= requires --image=" },
        { directory_and_image,
                        "--directory= and --image= exclude each other: the guest has one root file system" },
        { users_without_directory,
                        "--private-users= requires --directory=: what --bind= attaches has the user ids of the host" },
        { same_bind_target,
                        "--bind=, --bind-ro= and --bind-user= name the same place in the guest twice: mount only one directory there" },
        { coco_shares, "--directory= and --bind= do not work under --coco=: virtiofsd does not offer VIRTIO_F_ACCESS_PLATFORM, without which QEMU attaches no device to a confidential guest; pass files in the initrd (--bind-ro=), as credentials, on a verity disk (--image=, --extra-drive=) or by network (--network-user-mode, --publish=)" },
        { bind_user_options_alone, "--bind-user-shell= and --bind-user-group= require --bind-user=" },
        { coco_bind_user, "--bind-user= does not work with --coco=: the host's password hash would be part of the launch digest, and virtiofsd cannot share the home directory with a confidential guest; pass userdb.* credentials with --load-credential= instead" },
        { ephemeral_without_image, "--ephemeral requires --image= or --directory=" },
        { image_file_without_image,
                        "--backing-file= and --data-file= require a qcow2 image: --image-format=qcow2 or --extra-drive=qcow2:PATH" },
        { disk_type_without_disk, "--image-disk-type= requires --image= or --extra-drive=" },
        { grow_without_image, "--grow-image= requires --image=" },
        { grow_read_only,
                        "--grow-image= does not work with --image-disk-type=scsi-cd: the guest cannot write to a CD" },
        { grow_qcow2, "--grow-image= cannot grow a qcow2 image in place: use 'qemu-img resize' before the start, or add --ephemeral" },
        { ephemeral_read_only,
                        "--ephemeral does not work with --image-disk-type=scsi-cd: the guest cannot write to a CD" },
        { ephemeral_extra,
                        "--ephemeral and --extra-drive= exclude each other: only writes to --image= can be discarded" },
        { reset_with_owner,
                        "--reboot=reset does not work with --owner-dir= or --attestation-service=: the guest owner validates one launch, and each reset makes a new one" },
        { plugged_memory,
                        "--ram=SIZE:MAX does not work with --coco=: memory that is plugged in later is not measured; pass one size" },
        { publish_alone,
                        "--publish= requires --network-user-mode or --network=passt: a tap interface forwards no ports" },
        { run_without_kernel, "--run= requires --linux= and an --initrd=, in which the command runs" },
        { copy_out_without_run,
                        "--copy-out= requires --run=: files are copied when its command has ended" },
        { adapter_without_kernel, "--adapter= requires --linux=: it goes behind an initrd" },
        { console_log_native,
                        "--console-log= does not work with --console=native, where QEMU uses the terminal itself; use another --console=" },
        { background_native,
                        "--background= does not work with --console=native, where QEMU uses the terminal itself; use another --console=" },
        { shell_elsewhere, "--shell takes this terminal for itself: remove --console=" },
        { run_empty, "--run= needs a command" },
        { initrd_transport_alone,
                        "--credential-transport=initrd and cmdline require --linux=: without it, initrd and kernel command line to extend are missing" },
        { firmware_for_kernel,
                        "--firmware=none requires --linux=: a disk needs firmware to boot; use uefi or bios" },
        { simulate_without_coco,
                        "--simulate requires --coco=: it simulates that technology" },
        { simulated_vcpus, "--simulate with --coco=tdx requires --cpus=1: the simulated TDX module starts one vCPU" },
        { coco_options_alone,
                        "--coco-policy=, --guest-features=, --expect= and --lock= require --coco=sev, sev-es, sev-snp or tdx" },
        { cpu_alone, "--cpu= requires --coco=, where the model is part of the launch digest: other guests get all features of this CPU" },
        { cpu_of_host, "--coco=tdx requires --cpu=host or max: QEMU launches a TD with no other CPU model" },
        { expect_no_digest,
                        "--expect= requires a launch digest: 64 hexadecimal digits for --coco=sev and sev-es, 96 for sev-snp and tdx, there also mrtd:DIGEST, rtmr0:DIGEST to rtmr2:DIGEST, separated by commas" },
        { guest_features_alone,
                        "--guest-features= requires --coco=sev-snp: SEV guests have none; for SEV-ES, 'cvmspawn measure --es-features=' predicts the digest of other hosts" },
        { guest_features_without_snp,
                        "--guest-features= must have bit 0 set for an SEV-SNP guest: QEMU launches with 0x1" },
        { snp_options_alone,
                        "--host-data=, --id-block=, --id-auth=, --id-key=, --author-key= and --vcek=no require --coco=sev-snp" },
        { owner_values_alone,
                        "--mrconfigid=, --mrowner=, --mrownerconfig= and --quote-socket= require --coco=tdx" },
        { registers_alone, "--edk2=, --fw-cfg= and --bios= require --coco=tdx: other guests have no registers beside the launch digest" },
        { registers_without_kernel,
                        "--edk2= requires --linux=, --fw-cfg= and --bios= require --edk2=: registers are predicted of a kernel that is booted directly" },
        { sev_options_alone,
                        "--dh-cert=, --session= and --sev-vm-type=legacy require --coco=sev or sev-es" },
        { half_id_pair, "--id-block= and --id-auth= must be used together: the processor checks one with the other" },
        { id_pair_and_key,
                        "--id-key= builds the ID block for this launch: remove --id-block= and --id-auth=" },
        { author_key_alone, "--author-key= requires --id-key=: it signs that key" },
        { half_session, "--dh-cert= and --session= must be used together: both come from one run of 'cvmspawn session'" },
        { attested_twice, "--owner-dir= and --attestation-service= exclude each other: use one of them" },
        { attested_other_mode,
                        "--owner-dir= requires --coco=sev or sev-es; --attestation-service= requires --coco=sev, sev-es, sev-snp or tdx" },
        { relayed_options,
                        "--certs=, --online and --attestation-wait= require --coco=sev or sev-es: an SEV-SNP guest contacts its attestation service itself" },
        { attested_simulated,
                        "--owner-dir= and --attestation-service= need a secure processor: remove --simulate; 'cvmspawn sevsim' simulates one" },
        { attested_with_session,
                        "--owner-dir= and --attestation-service= provide certificate and session: remove --dh-cert= and --session=" },
        { owner_options_alone,
                        "--inject-secret=, --oca=, --insecure-root= and --insecure-unverified-platform require --owner-dir=: an attestation service has its own secrets and policy" },
        { attested_options_alone, "--certs= and --online require --owner-dir= or --attestation-service=" },
        { service_options_alone,
                        "--attestation-ca= and --attestation-wait= require --attestation-service=" },
        { service_url, "--attestation-service= requires https://HOST[:PORT]/vm/ID" },
        { coco_without_kvm,
                        "--coco= needs KVM: remove --kvm=no, or add --simulate to try the same launch without the hardware" },
        { coco_bind_alone,
                        "--bind-ro= with --coco= requires --linux=: the files become part of the initrd" },
        { coco_firmware,
                        "--coco= needs an OVMF firmware built for it: remove --firmware=bios or none, or pass --firmware=PATH" },
        { coco_without_kernel,
                        "--coco=sev-snp needs --linux=: without direct kernel boot the launch digest would cover the firmware only" },
        { coco_credentials_without_kernel,
                        "credentials under --coco= require --linux=: without it, the initrd to carry them is missing, and no measurement covers credentials from SMBIOS" },
        { coco_smbios11,
                        "--smbios11= does not work with --coco=: no measurement covers SMBIOS strings from the host, and a confidential guest must not use them; use --set-credential=" },
        { coco_transport,
                        "--credential-transport=smbios and fw_cfg do not work with --coco=: no measurement covers them, and a confidential guest must not use them; use initrd" },
        { coco_qemu_arg,
                        "--qemu-arg= under --coco= can change what the launch digest does not cover; to allow that, add --allow-untrusted=qemu-arg" },
        { coco_secure_boot,
                        "--secure-boot=yes does not work with --coco=sev, sev-es and sev-snp: such a guest keeps no variables with keys; the launch digest covers kernel and initrd instead" },
        { coco_nvram, "--efi-nvram-template= and --efi-nvram-state= do not work with --coco=: a confidential guest keeps no variables" },
        { uefi_alone, "--secure-boot=yes, --firmware-features=, --efi-nvram-template= and --efi-nvram-state= require UEFI firmware: add --firmware=uefi" },
        { state_ephemeral,
                        "--ephemeral keeps nothing: remove --tpm-state= and --efi-nvram-state=, or --ephemeral" },
        { tpm_state_alone, "--tpm-state= requires a TPM: remove --tpm=no" },
        { ready_alone, "--notify-ready=yes needs a guest that reports when it is ready: use --run=, or --vsock=yes for systemd's own report" },
        { scope_of_kept_unit,
                        "--slice= and --property= are for QEMU's scope unit, which --keep-unit does not make: set them in the unit that cvmspawn runs in" },
        { journal_limits_alone,
                        "--forward-journal-max-use=, -keep-free=, -max-file-size= and -max-files= require --forward-journal=" },
        { journal_empty, "--forward-journal= needs the path of a file that ends in .journal, or of a directory" },
        { journal_without_vsock, "--forward-journal= needs a vsock device, through which the guest sends its journal: remove --vsock=no" },
        { vsock_cid_alone, "--vsock-cid= requires a vsock device: remove --vsock=no" },
        { coco_vsock_user,
                        "--vsock=user does not work with --coco=: another process would need the guest's memory; use --vsock=yes" },
        { coco_ssh_key, "--pass-ssh-key=yes generates a new key, which would change the launch digest each time: under --coco= pass an existing public key, --pass-ssh-key=FILE" },
        { ssh_key_type_alone,
                        "--ssh-key-type= is for a key that is generated: use --pass-ssh-key=yes, without --coco=" },
        { events_in_output, "--json=short would mix events with the guest's output on standard output: use --status-fd=2 or another descriptor for the events" },
};
/* clang-format on */

int vm_config_check(const VmConfig *c, char **reterr) {
        uint64_t policy;

        FOREACH_ARRAY(rule, rules, ELEMENTSOF(rules))
                if (rule->broken(c))
                        return error_set(reterr, -EINVAL, "%s", rule->sentence);

        return vm_config_policy(c, &policy, reterr);
}
