/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "resolve.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "ovmf-need.h"
#include "resolve-loader.h"
#include "resolve-parts.h"
#include "resolve-uki.h"
#include "sev-cpu.h"
#include "strutil.h"

/* A root directory that the kernel mounts without an initrd hides what would be in one. */
static bool initrd_lost(const VmConfig *config, const Uki *uki) {
        return config->directory && !config->initrds &&
                        !(uki->found && uki->initrd.present && uki->initrd.size > 0);
}

static CredentialTransport choose_transport(
                const VmConfig *config, const ResolveOptions *options, const Uki *uki) {
        if (options->transport != TRANSPORT_AUTO)
                return options->transport;
        if (config->credential_transport != TRANSPORT_AUTO)
                return config->credential_transport;
        return config->linux_path && !initrd_lost(config, uki) ? TRANSPORT_INITRD : TRANSPORT_SMBIOS;
}

/* What of the CPU is in the digest, and not the same everywhere. */
static int check_cpu(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr) {
        const char *model = config->cpu_model;
        bool host = streq(model, "host") || streq(model, "max");
        const SevCpu *known;
        uint32_t signature = 0;
        int r = 0;

        if (!coco_of(config->coco)->vcpus_measured)
                return 0;
        known = host ? NULL : sev_cpu_find(model);
        if (!host && !known)
                return error_set(reterr, -EINVAL,
                                "--cpu: unknown CPU model '%s': its signature is part of the launch digest; use a model such as %s",
                                model, values_text(SEV_CPU_EXAMPLES).text);
        if (host && sev_cpu_host(&signature) < 0)
                signature = 0;
        /* This machine's CPU counts only where the guest will run on it: measure, elsewhere, asks for it. */
        if (known)
                in->plan.sev.cpu_signature = sev_cpu_signature(known->family, known->model, known->stepping);
        else if (options->for_launch)
                in->plan.sev.cpu_signature = signature;
        if (host)
                r = strv_pushf(&in->notices,
                                "--cpu=%s: the launch digest depends on the CPU of the machine that runs the guest (signature of this machine's: 0x%x); name a model to get the same digest on all machines",
                                model, signature);
        if (r >= 0 && coco_of(config->coco)->guest_features && config->guest_features != 1)
                r = strv_pushf(&in->notices,
                                "--guest-features=0x%llx changes the prediction only: QEMU requests 0x1, and KVM adds what its module parameters enable",
                                (unsigned long long) config->guest_features);
        return r;
}

static int fill_plan(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr) {
        LaunchPlan *plan = &in->plan;
        int r = check_cpu(config, options, in, reterr);

        if (r < 0)
                return r;
        if (vm_config_confidential(config) && !vm_config_predictable(config)) {
                r = strv_push(&in->notices,
                                "--qemu-arg=: the launch digest is unpredictable: such an argument can change what QEMU launches");
                if (r < 0)
                        return r;
        }

        plan->mode = config->coco;
        plan->sev.legacy_vm_type = config->legacy_vm_type;
        plan->vcpus = config->cpus;
        plan->sev.features = config->guest_features;
        plan->sev.kernel_hashes =
                        config->linux_path && (coco_of(config->coco)->kernel_needs & OVMF_NEED_HASH_TABLE);
        plan->tdx.memory = coco_of(config->coco)->event_log ? config->ram : 0;
        if ((config->edk2 && !(plan->tdx.edk2 = strdup(config->edk2))) ||
                        (config->fw_cfg && !(plan->tdx.fw_cfg = strdup(config->fw_cfg))) ||
                        (config->bios && !(plan->tdx.bios = strdup(config->bios))))
                return -ENOMEM;
        plan->cpu_model = strdup(config->cpu_model ?: "");
        if (!plan->cpu_model)
                return -ENOMEM;
        return vm_config_policy(config, &plan->policy, reterr);
}

static int add_smbios_strings(const VmConfig *config, LaunchInputs *in) {
        STRV_FOREACH(s, config->smbios11) {
                int r = launch_inputs_add_string(in, STRING_SMBIOS11, NULL, *s, strlen(*s));

                if (r < 0)
                        return r;
        }
        return 0;
}

static int resolve_inputs(const VmConfig *config, const ResolveOptions *options,
                const CredentialSet *credentials, LaunchInputs *in, char **reterr) {
        int r;

        r = resolve_firmware(config, options, in, reterr);
        if (r >= 0)
                r = resolve_kernel(config, options, in, reterr);
        if (r >= 0)
                r = resolve_cmdline(config, options, credentials, in, reterr);
        return r < 0 ? r : resolve_initrd(config, options, credentials, in, reterr);
}

/* A unified kernel image is opened first: kernel, initrd and words all come from it. */
static int take_apart(const VmConfig *config, bool whole, Uki *uki, LaunchInputs *in, char **reterr) {
        int r;

        if (!config->linux_path || whole)
                return 0;
        r = uki_open(config->linux_path, uki, reterr);
        if (r < 0 || !uki->dropped)
                return r;
        return strv_pushf(&in->notices, "'%s' is a unified kernel image; these sections are not used: %s",
                        config->linux_path, uki->dropped);
}

/* What a confidential guest gets that does not deserve the name. */
static int add_trust_notices(const VmConfig *config, LaunchInputs *in) {
        int r = 0;

        if (!vm_config_confidential(config))
                return 0;
        if (config->n_credentials > 0)
                r = strv_push(&in->notices,
                                "the credentials are measured, not secret: this host can read them; send secrets after attestation (--attestation-service=)");
        if (r >= 0 && config->tpm == TRISTATE_YES)
                r = strv_push(&in->notices,
                                "--tpm=yes: the guest must not trust this TPM: the host emulates it and can read and change its state");
        return r;
}

/* Where nothing else is measured, what boots must be in what is. */
static bool firmware_must_hold_loader(const VmConfig *config) {
        return vm_config_confidential(config) && !coco_of(config->coco)->event_log && !config->linux_path;
}

int resolve_launch(const VmConfig *config, const ResolveOptions *options, LaunchInputs *ret, char **reterr) {
        _cleanup_(credential_set_done) CredentialSet credentials = {}, apart = {};
        _cleanup_(launch_inputs_done) LaunchInputs in = {};
        _cleanup_(uki_done) Uki uki = UKI_NONE;
        ResolveOptions with_uki = *options;
        int r;

        r = take_apart(config, options->whole_kernel, &uki, &in, reterr);
        if (r < 0)
                return r;
        in.transport = choose_transport(config, options, &uki);
        with_uki.uki = &uki;
        r = fill_plan(config, options, &in, reterr);
        if (r < 0)
                return r;
        r = resolve_credentials(config, options->login, &credentials, &apart, reterr);
        if (r >= 0)
                r = add_trust_notices(config, &in);
        if (r < 0)
                return r;
        in.n_credentials = credentials.n_items;
        r = resolve_shield(config, &credentials, &with_uki, &in);
        if (r < 0)
                return r;

        r = resolve_inputs(config, &with_uki, &credentials, &in, reterr);
        /* Without a kernel there is little to copy, and the copy is looked into. */
        if (r >= 0 && vm_config_confidential(config) && !config->linux_path)
                r = resolve_fill(config, &in, /* stop= */ NULL, reterr);
        if (r >= 0 && firmware_must_hold_loader(config))
                r = resolve_loader(config, options, &in, reterr);
        if (r < 0)
                return r;
        r = resolve_blobs(config, &in, reterr);
        if (r >= 0 && config->session && config->linux_path && !in.secret_area)
                r = strv_pushf(&in.notices,
                                "'%s' has no secret area: --session= can prove this launch, but no secrets can be injected",
                                in.plan.firmware.parts[0].label);
        if (r < 0)
                return r;
        r = resolve_strings(&credentials, in.transport, &in, reterr);
        if (r >= 0)
                r = resolve_strings(&apart, TRANSPORT_SMBIOS, &in, reterr);
        if (r >= 0)
                r = add_smbios_strings(config, &in);
        if (r >= 0)
                r = resolve_check_smbios(&in, reterr);
        if (r < 0)
                return error_set(reterr, r, "cannot prepare the strings for SMBIOS and fw_cfg: %s",
                                strerror(-r));

        in.preconfig = options->for_launch && in.n_copies > 0 && !vm_config_measured_first(config);
        *ret = TAKE_STRUCT(in, (LaunchInputs) {});
        return 0;
}
