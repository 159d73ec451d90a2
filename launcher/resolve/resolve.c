/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "resolve.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "error.h"
#include "resolve-loader.h"
#include "resolve-parts.h"
#include "resolve-uki.h"
#include "sev-cpu.h"
#include "strutil.h"

static CredentialTransport choose_transport(const VmConfig *config, const ResolveOptions *options) {
        if (options->transport != TRANSPORT_AUTO)
                return options->transport;
        if (config->credential_transport != TRANSPORT_AUTO)
                return config->credential_transport;
        return config->linux_path ? TRANSPORT_INITRD : TRANSPORT_SMBIOS;
}

/* What of the CPU is in the digest, and not the same everywhere. */
static int check_cpu(const VmConfig *config, LaunchInputs *in, char **reterr) {
        const char *model = config->cpu_model;
        bool host = streq(model, "host") || streq(model, "max");
        int r = 0;

        if (config->coco != SEV_MODE_SEV_ES && config->coco != SEV_MODE_SEV_SNP)
                return 0;
        if (!host && !sev_cpu_find(model))
                return error_set(reterr, -EINVAL,
                                "--cpu: '%s' is no model whose signature is known here, and that is part of "
                                "the "
                                "launch digest: give one such as EPYC-v4, EPYC-Rome, EPYC-Milan, EPYC-Genoa "
                                "or "
                                "EPYC-Turin",
                                model);
        if (host)
                r = strv_pushf(&in->notices,
                                "--cpu=%s: the launch digest is that of this machine's CPU; name a model to "
                                "have "
                                "the same digest elsewhere",
                                model);
        if (r >= 0 && config->coco == SEV_MODE_SEV_SNP && config->guest_features != 1)
                r = strv_pushf(&in->notices,
                                "--guest-features=0x%llx changes the prediction only: QEMU asks for 0x1, "
                                "and KVM "
                                "adds what its parameters say",
                                (unsigned long long) config->guest_features);
        return r;
}

static int fill_plan(const VmConfig *config, LaunchInputs *in, char **reterr) {
        LaunchPlan *plan = &in->plan;
        int r = check_cpu(config, in, reterr);

        if (r < 0)
                return r;
        if (vm_config_confidential(config) && !vm_config_predictable(config)) {
                r = strv_push(&in->notices,
                                "--qemu-arg=: the launch digest is unpredictable, such an argument can "
                                "change "
                                "what QEMU launches");
                if (r < 0)
                        return r;
        }

        plan->mode = config->coco;
        plan->legacy_vm_type = config->legacy_vm_type;
        plan->vcpus = config->cpus;
        plan->guest_features = config->guest_features;
        plan->kernel_hashes = vm_config_confidential(config) && config->linux_path;
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

/* Firmware and kernel, beside the initrd: both are copies of many MiB. */
typedef struct BesideJob {
        const VmConfig *config;
        const ResolveOptions *options;
        LaunchInputs in; /* of its own, so that the threads share nothing */
        char *error;     /* owned */
        int result;
} BesideJob;

static void *beside_main(void *userdata) {
        BesideJob *job = userdata;

        job->result = resolve_firmware(job->config, job->options, &job->in, &job->error);
        if (job->result >= 0)
                job->result = resolve_kernel(job->config, job->options, &job->in, &job->error);
        return NULL;
}

static void take_beside(LaunchInputs *in, LaunchInputs *part) {
        in->plan.firmware = TAKE_STRUCT(part->plan.firmware, (PlanInput) {});
        in->plan.kernel = TAKE_STRUCT(part->plan.kernel, (PlanInput) {});
        in->firmware_kind = part->firmware_kind;
        in->firmware = TAKE_PTR(part->firmware);
        in->nvram = TAKE_PTR(part->nvram);
        in->firmware_descriptor = TAKE_PTR(part->firmware_descriptor);
        in->kernel = TAKE_PTR(part->kernel);
        in->hashes_gpa = part->hashes_gpa;
        in->secret_area = part->secret_area;
        for (size_t i = 0; i < part->n_fds; i++)
                in->fds[in->n_fds++] = part->fds[i];
        part->n_fds = 0;
}

static int resolve_here(const VmConfig *config, const ResolveOptions *options,
                const CredentialSet *credentials, LaunchInputs *in, char **reterr) {
        int r;

        r = resolve_words(config, options, credentials, in, reterr);
        if (r < 0)
                return r;
        return resolve_initrd(config, options, credentials, in, reterr);
}

/* All inputs, in two threads. Of two failures the firmware's or kernel's is told: it comes first on the command line of most. */
static int resolve_inputs(const VmConfig *config, const ResolveOptions *options,
                const CredentialSet *credentials, LaunchInputs *in, char **reterr) {
        BesideJob job = { .config = config, .options = options };
        _cleanup_free_ char *error = NULL;
        pthread_t thread;
        int r;

        if (!options->for_launch || !vm_config_sealed(config) ||
                        pthread_create(&thread, NULL, beside_main, &job) != 0) {
                (void) beside_main(&job);
                r = job.result < 0 ? 0 : resolve_here(config, options, credentials, in, &error);
        } else {
                r = resolve_here(config, options, credentials, in, &error);
                (void) pthread_join(thread, NULL);
        }

        if (job.result < 0)
                r = error_set(reterr, job.result, "%s", job.error ?: strerror(-job.result));
        else {
                take_beside(in, &job.in);
                if (r < 0)
                        (void) error_set(reterr, r, "%s", error ?: strerror(-r));
        }
        launch_inputs_done(&job.in);
        free(job.error);
        return r;
}

/* A unified kernel image is opened first: kernel, initrd and words all come from it. */
static int take_apart(const VmConfig *config, Uki *uki, LaunchInputs *in, char **reterr) {
        int r;

        if (!config->linux_path)
                return 0;
        r = uki_open(config->linux_path, uki, reterr);
        if (r < 0 || !uki->dropped)
                return r;
        return strv_pushf(&in->notices, "'%s' is taken apart; not carried over: %s", config->linux_path,
                        uki->dropped);
}

int resolve_launch(const VmConfig *config, const ResolveOptions *options, LaunchInputs *ret, char **reterr) {
        _cleanup_(credential_set_done) CredentialSet credentials = {};
        _cleanup_(launch_inputs_done) LaunchInputs in = {};
        _cleanup_(uki_done) Uki uki = UKI_NONE;
        ResolveOptions with_uki = *options;
        int r;

        in.transport = choose_transport(config, options);
        r = take_apart(config, &uki, &in, reterr);
        if (r < 0)
                return r;
        with_uki.uki = &uki;
        r = fill_plan(config, &in, reterr);
        if (r < 0)
                return r;
        r = resolve_credentials(config, &credentials, reterr);
        if (r < 0)
                return r;
        in.n_credentials = credentials.n_items;

        r = resolve_inputs(config, &with_uki, &credentials, &in, reterr);
        if (r >= 0 && vm_config_confidential(config) && !config->linux_path)
                r = resolve_loader(config, options, &in, reterr);
        if (r < 0)
                return r;
        r = resolve_blobs(config, &in, reterr);
        if (r >= 0 && config->session && config->linux_path && !in.secret_area)
                r = strv_pushf(&in.notices,
                                "'%s' has no area for secrets: --session= can prove this launch, but "
                                "nothing "
                                "can be injected into it",
                                in.plan.firmware.parts[0].label);
        if (r < 0)
                return r;
        r = resolve_strings(&credentials, &in, reterr);
        if (r >= 0)
                r = add_smbios_strings(config, &in);
        if (r >= 0)
                r = resolve_check_smbios(&in, reterr);
        if (r < 0)
                return error_set(reterr, r, "cannot prepare the strings for SMBIOS and fw_cfg: %s",
                                strerror(-r));

        *ret = TAKE_STRUCT(in, (LaunchInputs) {});
        return 0;
}
