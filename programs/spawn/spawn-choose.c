/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --coco=auto: the strongest technology that this host has and that a firmware here was built for. It is named, and never none. */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "host-caps.h"
#include "log.h"
#include "resolve.h"
#include "spawn.h"
#include "strutil.h"

/* Is there a firmware for it? The reason why not is for people. */
static bool has_firmware(const VmConfig *config, CocoMode m, char **ret_reason) {
        const ResolveOptions options = {};
        _cleanup_(launch_inputs_done) LaunchInputs in = {};
        const VmConfig with = { .coco = m,
                .firmware = config->firmware,
                .firmware_path = config->firmware_path,
                .secure_boot = config->secure_boot,
                .linux_path = config->linux_path };

        return resolve_firmware(&with, &options, &in, ret_reason) >= 0;
}

static int take(VmConfig *config, CocoMode m) {
        config->coco = m;
        if (config->cpu_model_set)
                return 0;
        free(config->cpu_model);
        config->cpu_model = strdup(coco_of(m)->cpu_model);
        return config->cpu_model ? 0 : -ENOMEM;
}

int spawn_choose_coco(SpawnJob *job, char **reterr) {
        _cleanup_(host_caps_done) HostCaps caps = {};
        VmConfig *config = &job->config;
        _cleanup_free_ char *reason = NULL;
        const char *missing = NULL;
        int r;

        if (!config->coco_auto)
                return 0;
        r = config->host_caps ? host_caps_read(config->host_caps, &caps, reterr)
                              : host_caps_probe(config, &caps);
        if (r < 0)
                return r;
        for (size_t i = 0; i < COCO_STRENGTHS; i++) {
                const CocoMode m = coco_by_strength[i];

                if (!caps.has[m] || !caps.kvm)
                        continue;
                free(reason);
                reason = NULL;
                if (has_firmware(config, m, &reason)) {
                        log_notice("--coco=auto: this guest is launched with %s", coco_mode_to_string(m));
                        return take(config, m);
                }
                missing = coco_of(m)->label;
        }
        if (missing)
                return error_set(reterr, -EOPNOTSUPP,
                                "--coco=auto: this host has %s, but no firmware for it: %s", missing,
                                reason ?: "none was found");
        return error_set(reterr, -EOPNOTSUPP,
                        "--coco=auto: this host cannot launch confidential guests: 'cvmspawn check-host' says what is missing");
}
