/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which options go together: one table, one sentence a row, each with a golden message in tests/golden/rules. A row's `broken`
 * says whether this configuration breaks it. */

#include <string.h>

#include "config.h"
#include "error.h"
#include "strutil.h"

typedef struct ConfigRule {
        bool (*broken)(const VmConfig *c);
        const char *sentence;
} ConfigRule;

/* Where root= and mount.usr= point when they say what the root hash says already. */
static bool names_verity_device(const char *value, size_t n) {
        static const char *const devices[] = { "/dev/mapper/root", "/dev/mapper/usr", "tmpfs" };

        for (size_t i = 0; i < ELEMENTSOF(devices); i++)
                if (strlen(devices[i]) == n && memcmp(devices[i], value, n) == 0)
                        return true;
        return false;
}

RootWords kernel_words_root(char *const *words) {
        bool hash = false, device = false, other = false;

        STRV_FOREACH(w, words)
                for (const char *p = *w + strspn(*w, " \t\""), *value; *p; p += strspn(p, " \t\"")) {
                        size_t n = strcspn(p, " \t\"");

                        if ((value = startswith(p, "roothash=")) || (value = startswith(p, "usrhash=")))
                                hash = true;
                        else if ((value = startswith(p, "root=")) || (value = startswith(p, "mount.usr="))) {
                                if (names_verity_device(value, n - (size_t) (value - p)))
                                        device = true;
                                else
                                        other = true;
                        }
                        p += n;
                }
        return hash && !other                     ? ROOT_WORDS_VERITY
                        : hash || device || other ? ROOT_WORDS_UNTRUSTED
                                                  : ROOT_WORDS_NONE;
}

static bool nothing_to_boot(const VmConfig *c) {
        return !c->linux_path && !c->image && c->firmware != FIRMWARE_LIST &&
                        c->firmware != FIRMWARE_DESCRIBE;
}

static bool initrd_alone(const VmConfig *c) {
        return c->initrds && !c->linux_path;
}

static bool words_without_kernel(const VmConfig *c) {
        return c->words && !c->linux_path;
}

static bool format_without_image(const VmConfig *c) {
        return c->image_format != IMAGE_FORMAT_AUTO && !c->image;
}

static bool ephemeral_without_image(const VmConfig *c) {
        return c->ephemeral && !c->image;
}

static bool run_without_kernel(const VmConfig *c) {
        return c->run && !c->linux_path;
}

static bool run_empty(const VmConfig *c) {
        return c->run && !*c->run;
}

static bool simulate_without_coco(const VmConfig *c) {
        return c->simulate && !vm_config_confidential(c);
}

/* For the other modes the firmware decides: launcher/resolve looks for a boot loader in it. */
static bool coco_without_kernel(const VmConfig *c) {
        return c->coco == SEV_MODE_SEV_SNP && !c->linux_path;
}

static bool coco_credentials_without_kernel(const VmConfig *c) {
        return vm_config_confidential(c) && !c->linux_path && c->n_credentials > 0;
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

static bool coco_words_alone(const VmConfig *c) {
        return !vm_config_confidential(c) &&
                        (c->coco_policy || c->guest_features_set || c->expect || c->lock);
}

static bool cpu_alone(const VmConfig *c) {
        return !vm_config_confidential(c) && c->cpu_model_set;
}

/* SHA-256 for SEV and SEV-ES, SHA-384 for SEV-SNP. */
static bool expect_no_digest(const VmConfig *c) {
        size_t wanted = c->coco == SEV_MODE_SEV_SNP ? 96 : 64;

        return vm_config_confidential(c) && c->expect &&
                        (strlen(c->expect) != wanted ||
                                        strspn(c->expect, "0123456789abcdefABCDEF") != wanted);
}

static bool is_snp(const VmConfig *c) {
        return c->coco == SEV_MODE_SEV_SNP;
}

static bool snp_options_alone(const VmConfig *c) {
        return !is_snp(c) &&
                        (c->host_data || c->id_block || c->id_auth || c->id_key || c->author_key ||
                                        !c->vcek);
}

static bool guest_features_alone(const VmConfig *c) {
        return vm_config_confidential(c) && !is_snp(c) && c->guest_features_set;
}

static bool guest_features_without_snp(const VmConfig *c) {
        return is_snp(c) && !(c->guest_features & 1);
}

static bool sev_options_alone(const VmConfig *c) {
        return c->coco != SEV_MODE_SEV && c->coco != SEV_MODE_SEV_ES &&
                        (c->dh_cert || c->session || c->legacy_vm_type);
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

static bool attestor_told(const VmConfig *c, const char *option) {
        STRV_FOREACH(s, c->attestor) {
                const char *rest = startswith(*s, option);

                if (rest && (*rest == '=' || !*rest))
                        return true;
        }
        return false;
}

static bool attested_twice(const VmConfig *c) {
        return c->owner_dir && c->attestation_service;
}

static bool attested_other_mode(const VmConfig *c) {
        return vm_config_attested(c) && c->coco != SEV_MODE_SEV && c->coco != SEV_MODE_SEV_ES;
}

static bool attested_simulated(const VmConfig *c) {
        return vm_config_attested(c) && c->simulate;
}

static bool attested_with_session(const VmConfig *c) {
        return (vm_config_attested(c) || vm_config_relayed(c)) && c->session;
}

static bool owner_options_alone(const VmConfig *c) {
        static const char *const options[] = { "--inject-secret", "--oca", "--insecure-root",
                "--insecure-unverified-platform" };

        for (size_t i = 0; i < ELEMENTSOF(options) && !c->owner_dir; i++)
                if (attestor_told(c, options[i]))
                        return true;
        return false;
}

static bool attested_options_alone(const VmConfig *c) {
        return !vm_config_attested(c) && (attestor_told(c, "--certs") || attestor_told(c, "--online"));
}

static bool service_options_alone(const VmConfig *c) {
        return !c->attestation_service &&
                        (attestor_told(c, "--attestation-ca") || attestor_told(c, "--attestation-wait"));
}

static bool relayed_options(const VmConfig *c) {
        return vm_config_relayed(c) &&
                        (attestor_told(c, "--certs") || attestor_told(c, "--online") ||
                                        attestor_told(c, "--attestation-wait"));
}

static bool service_url(const VmConfig *c) {
        return c->attestation_service &&
                        (!startswith(c->attestation_service, "https://") ||
                                        !strstr(c->attestation_service, "/vm/"));
}

static bool initrd_transport_alone(const VmConfig *c) {
        return (c->credential_transport == TRANSPORT_INITRD ||
                               c->credential_transport == TRANSPORT_CMDLINE) &&
                        !c->linux_path;
}

static bool ready_alone(const VmConfig *c) {
        return c->notify_ready == TRISTATE_YES && !c->run;
}

static bool events_in_output(const VmConfig *c) {
        return c->json == JSON_SHORT_MODE && !c->status_fd && c->print == 0 &&
                        (c->run || (c->console != CONSOLE_AUTO && c->console != CONSOLE_HEADLESS));
}

static bool firmware_for_kernel(const VmConfig *c) {
        return c->firmware == FIRMWARE_NONE && !c->linux_path;
}

static const ConfigRule rules[] = {
        { nothing_to_boot,
                        "nothing to boot: give a kernel by --linux= (with --initrd=) or a disk by "
                        "--image=" },
        { initrd_alone, "--initrd= goes with --linux=: an initrd is for a kernel that is booted directly" },
        { words_without_kernel,
                        "kernel words go with --linux=: nothing takes them without a kernel that is booted "
                        "directly" },
        { format_without_image, "--image-format= goes with --image=" },
        { ephemeral_without_image, "--ephemeral goes with --image=" },
        { run_without_kernel, "--run= goes with --linux= and an --initrd= whose PID 1 is systemd >= 262" },
        { run_empty, "--run= needs a command" },
        { initrd_transport_alone,
                        "--credential-transport=initrd and cmdline go with --linux=: without it there is no "
                        "initrd and no command line to extend" },
        { firmware_for_kernel,
                        "--firmware=none goes with --linux=: a disk needs firmware to boot from, use uefi "
                        "or bios" },
        { simulate_without_coco,
                        "--simulate goes with --coco=sev, sev-es or sev-snp: say what is to be simulated" },
        { coco_words_alone,
                        "--coco-policy=, --guest-features=, --expect= and --lock= go with --coco=sev, "
                        "sev-es or sev-snp" },
        { cpu_alone,
                        "--cpu= goes with --coco=, where the model is part of the digest: other guests have "
                        "all that this CPU can do" },
        { expect_no_digest,
                        "--expect= takes a launch digest: 64 hex digits for --coco=sev and sev-es, 96 for "
                        "sev-snp" },
        { guest_features_alone,
                        "--guest-features= goes with --coco=sev-snp: a plain SEV guest has none, and of "
                        "SEV-ES "
                        "'cvmspawn measure --es-features=' tells the digest that other hosts have" },
        { guest_features_without_snp,
                        "--guest-features= without bit 0 is no SEV-SNP guest: 0x1 is what QEMU launches" },
        { snp_options_alone,
                        "--host-data=, --id-block=, --id-auth=, --id-key=, --author-key= and --vcek=no go "
                        "with --coco=sev-snp" },
        { sev_options_alone,
                        "--dh-cert=, --session= and --sev-vm-type=legacy go with --coco=sev or sev-es" },
        { half_id_pair, "--id-block= and --id-auth= go together: the processor checks one by the other" },
        { id_pair_and_key,
                        "--id-key= builds the ID block for this launch: leave out --id-block= and "
                        "--id-auth=" },
        { author_key_alone, "--author-key= goes with --id-key=: it signs that key" },
        { half_session, "--dh-cert= and --session= go together: both come from one 'cvmspawn session'" },
        { attested_twice,
                        "--owner-dir= and --attestation-service= are two ways to one end: give one of "
                        "them" },
        { attested_other_mode,
                        "--owner-dir= goes with --coco=sev or sev-es, --attestation-service= with any "
                        "--coco=" },
        { relayed_options,
                        "--certs=, --online and --attestation-wait= go with --coco=sev or sev-es: an SNP "
                        "guest asks its "
                        "attestation service itself" },
        { attested_simulated,
                        "--owner-dir= and --attestation-service= need a secure processor: remove "
                        "--simulate; "
                        "'cvmspawn sevsim' plays one" },
        { attested_with_session,
                        "--dh-cert= and --session= come with --owner-dir= or --attestation-service=: leave "
                        "them "
                        "out" },
        { owner_options_alone,
                        "--inject-secret=, --oca=, --insecure-root= and "
                        "--insecure-unverified-platform go with --owner-dir=: an attestation service has "
                        "its "
                        "owner's secrets and policy" },
        { attested_options_alone, "--certs= and --online go with --owner-dir= or --attestation-service=" },
        { service_options_alone,
                        "--attestation-ca= and --attestation-wait= go with --attestation-service=" },
        { service_url, "--attestation-service= needs https://HOST[:PORT]/vm/ID" },
        { coco_without_kvm,
                        "--coco= needs KVM: remove --kvm=no, or add --simulate to try the same launch "
                        "without SEV" },
        { coco_firmware,
                        "--coco= needs an OVMF firmware built for it: remove --firmware=bios or none, "
                        "install ovmf-amdsev or give --firmware=PATH" },
        { coco_without_kernel,
                        "--coco=sev-snp needs --linux=: without direct kernel boot the launch digest would "
                        "cover the firmware only" },
        { coco_credentials_without_kernel,
                        "credentials under --coco= go with --linux=: without it there is no initrd that "
                        "could carry them, and a confidential guest discards what comes by SMBIOS" },
        { coco_smbios11,
                        "--smbios11= does nothing under --coco=: a confidential guest discards SMBIOS "
                        "strings from the host; use --set-credential=" },
        { coco_transport,
                        "--credential-transport=smbios and fw_cfg do nothing under --coco=: a confidential "
                        "guest discards them; use initrd" },
        { coco_qemu_arg,
                        "--qemu-arg= under --coco= can change anything behind the digest's back: if that is "
                        "meant, add --allow-untrusted=qemu-arg" },
        { ready_alone,
                        "--notify-ready=yes needs a unit of ours in the guest that says when it is ready: "
                        "use --run=, or remove it" },
        { events_in_output,
                        "--json=short would mix its events with what the guest writes to standard output: "
                        "use --status-fd=2 or another descriptor for them" },
};

int vm_config_check(const VmConfig *c, char **reterr) {
        uint64_t policy;

        FOREACH_ARRAY(rule, rules, ELEMENTSOF(rules))
                if (rule->broken(c))
                        return error_set(reterr, -EINVAL, "%s", rule->sentence);

        return vm_config_policy(c, &policy, reterr);
}
