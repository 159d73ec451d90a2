/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "compose-parts.h"
#include "error.h"
#include "strutil.h"

void qemu_command_done(QemuCommand *c) {
        strv_free(c->argv);
        free(c->fds);
        *c = (QemuCommand) {};
}

/* QEMU would be refused by the kernel with EINVAL and not a word more. */
static int check_policy(const Composer *c, char **reterr) {
        uint64_t over = c->inputs->plan.policy & ~c->caps->sev.snp_policy_bits;

        if (!coco_of(c->config->coco)->policy.kvm_limits || c->caps->sev.snp_policy_bits == 0 || over == 0)
                return 0;
        return error_set(reterr, -EOPNOTSUPP,
                        "--coco-policy: this host's kernel does not support bit %d (0x%" PRIx64
                        "): clear it, or use a newer kernel (6.19 or later supports more bits)",
                        __builtin_ctzll(over), over & -over);
}

int compose_check_host(
                const VmConfig *config, const HostCaps *caps, const LaunchChoices *choices, char **reterr) {
        if (vm_config_confidential(config) && !choices->simulated && caps->sev.cbitpos == 0)
                return error_set(reterr, -EOPNOTSUPP,
                                "this CPU does not support memory encryption (CPUID 0x8000001f), so --coco=%s cannot run here: add --simulate to boot the same files without it, or pass --host-caps=FILE to print the command line for another host",
                                coco_mode_to_string(config->coco));
        if (vm_config_confidential(config) && !choices->simulated && !caps->has[config->coco])
                return error_set(reterr, -EOPNOTSUPP,
                                "this CPU supports memory encryption, but not %s (CPUID 0x8000001f), so --coco=%s cannot run here: use a machine that has it, or add --simulate",
                                coco_of(config->coco)->label, coco_mode_to_string(config->coco));
        if (!caps->qemu && !config->qemu)
                return error_set(reterr, -ENOENT,
                                "QEMU not found: install qemu-system-x86 (10.0 or later), or pass --qemu=PATH");
        return 0;
}

int compose_qemu(const VmConfig *config, const LaunchInputs *in, const HostCaps *caps,
                const LaunchChoices *choices, QemuCommand *ret, char **reterr) {
        Composer c = {
                .config = config,
                .inputs = in,
                .caps = caps,
                .choices = choices,
                .confidential = vm_config_confidential(config) && !choices->simulated,
        };
        int r;

        r = compose_check_host(config, caps, choices, reterr);
        if (r >= 0 && c.confidential)
                r = check_policy(&c, reterr);
        if (r < 0)
                return r;

        compose_add(&c, config->qemu ?: caps->qemu, "-S", NULL);
        if (in->preconfig)
                compose_add(&c, "-preconfig", NULL);
        compose_add(&c, "-nodefaults", "-no-user-config", NULL);
        if (!config->reset)
                compose_add(&c, "-no-reboot", NULL);
        compose_add(&c, "-display", "none", "-sandbox", LAUNCH_SANDBOX, NULL);
        compose_machine(&c);
        compose_confidential(&c);
        compose_boot(&c);
        compose_strings(&c);
        compose_channels(&c);
        compose_devices(&c);
        STRV_FOREACH(s, config->qemu_args)
                compose_add(&c, *s, NULL);

        if (c.error < 0) {
                strv_free(c.argv);
                free(c.fds);
                return c.error;
        }
        *ret = (QemuCommand) { .argv = c.argv, .fds = c.fds, .n_fds = c.n_fds };
        return 0;
}
