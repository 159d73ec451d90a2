/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "resolve.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "resolve-parts.h"

static CredentialTransport choose_transport(const VmConfig *config, const ResolveOptions *options) {
        if (options->transport != TRANSPORT_AUTO)
                return options->transport;
        if (config->credential_transport != TRANSPORT_AUTO)
                return config->credential_transport;
        return config->linux_path ? TRANSPORT_INITRD : TRANSPORT_SMBIOS;
}

static int fill_plan(const VmConfig *config, LaunchInputs *in, char **reterr) {
        LaunchPlan *plan = &in->plan;

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

int resolve_launch(const VmConfig *config, const ResolveOptions *options, LaunchInputs *ret, char **reterr) {
        _cleanup_(credential_set_done) CredentialSet credentials = {};
        _cleanup_(launch_inputs_done) LaunchInputs in = {};
        int r;

        in.transport = choose_transport(config, options);
        r = fill_plan(config, &in, reterr);
        if (r < 0)
                return r;
        r = resolve_credentials(config, &credentials, reterr);
        if (r < 0)
                return r;
        in.n_credentials = credentials.n_items;

        r = resolve_firmware(config, options, &in, reterr);
        if (r < 0)
                return r;
        r = resolve_kernel(config, options, &in, reterr);
        if (r < 0)
                return r;
        r = resolve_words(config, &credentials, &in, reterr);
        if (r < 0)
                return r;
        if (config->image && !config->linux_path) {
                r = resolve_image(config, &in, NULL, reterr);
                if (r < 0)
                        return r;
        }
        r = resolve_initrd(config, options, &credentials, &in, reterr);
        if (r < 0)
                return r;
        r = resolve_strings(&credentials, &in, reterr);
        if (r >= 0)
                r = add_smbios_strings(config, &in);
        if (r < 0)
                return error_set(reterr, r, "cannot prepare the strings for SMBIOS and fw_cfg: %s",
                                strerror(-r));

        *ret = TAKE_STRUCT(in, (LaunchInputs) {});
        return 0;
}
