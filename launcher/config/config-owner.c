/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the guest owner's side needs: the conditions of its options. */

#include <string.h>

#include "config-rules.h"
#include "strutil.h"

static bool owner_told(const VmConfig *c, const char *option) {
        STRV_FOREACH(s, c->owner) {
                const char *rest = startswith(*s, option);

                if (rest && (*rest == '=' || !*rest))
                        return true;
        }
        return false;
}

bool attested_twice(const VmConfig *c) {
        return c->owner_dir && c->attestation_service;
}

bool attested_other_mode(const VmConfig *c) {
        return (vm_config_attested(c) && !coco_of(c->coco)->launch_session) ||
                        (c->attestation_service && !coco_of(c->coco)->scheme);
}

bool attested_simulated(const VmConfig *c) {
        return vm_config_attested(c) && c->simulate;
}

bool attested_with_session(const VmConfig *c) {
        return (vm_config_attested(c) || vm_config_relayed(c)) && c->session;
}

bool owner_options_alone(const VmConfig *c) {
        static const char *const options[] = { "--inject-secret", "--oca", "--insecure-root",
                "--insecure-unverified-platform" };

        for (size_t i = 0; i < ELEMENTSOF(options) && !c->owner_dir; i++)
                if (owner_told(c, options[i]))
                        return true;
        return false;
}

bool attested_options_alone(const VmConfig *c) {
        return !vm_config_attested(c) && (owner_told(c, "--certs") || owner_told(c, "--online"));
}

bool service_options_alone(const VmConfig *c) {
        return !c->attestation_service &&
                        (owner_told(c, "--attestation-ca") || owner_told(c, "--attestation-wait"));
}

bool relayed_options(const VmConfig *c) {
        return vm_config_relayed(c) &&
                        (owner_told(c, "--certs") || owner_told(c, "--online") ||
                                        owner_told(c, "--attestation-wait"));
}

bool service_url(const VmConfig *c) {
        return c->attestation_service &&
                        (!startswith(c->attestation_service, "https://") ||
                                        !strstr(c->attestation_service, "/vm/"));
}
