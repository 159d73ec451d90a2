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
        const Composer c = { .config = config, .caps = caps, .choices = choices };
        const Coco *coco = coco_of(config->coco);
        int r = vm_config_confidential(config) && !choices->simulated
                        ? compose_vendor(coco)->check(&c, coco, reterr)
                        : 0;

        if (r < 0)
                return r;
        if (!caps->qemu && !config->qemu)
                return error_set(reterr, -ENOENT,
                                "QEMU not found: install qemu-system-x86 (10.0 or later), or pass --qemu=PATH");
        return 0;
}

static int compose_all(Composer *c, QemuCommand *ret) {
        const VmConfig *config = c->config;

        compose_add(c, config->qemu ?: c->caps->qemu, "-S", NULL);
        if (c->inputs->preconfig && !c->tables)
                compose_add(c, "-preconfig", NULL);
        compose_add(c, "-nodefaults", "-no-user-config", NULL);
        if (!config->reset)
                compose_add(c, "-no-reboot", NULL);
        compose_add(c, "-display", "none", "-sandbox", LAUNCH_SANDBOX, NULL);
        if (c->tables)
                compose_add(c, "-qtest", "stdio", "-qtest-log", "none", NULL);
        compose_machine(c);
        compose_confidential(c);
        compose_boot(c);
        compose_strings(c);
        compose_channels(c);
        compose_devices(c);
        STRV_FOREACH(s, config->qemu_args)
                compose_add(c, *s, NULL);

        if (c->error < 0) {
                strv_free(c->argv);
                free(c->fds);
                return c->error;
        }
        *ret = (QemuCommand) { .argv = c->argv, .fds = c->fds, .n_fds = c->n_fds };
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

        return compose_all(&c, ret);
}

int compose_tables(const VmConfig *config, const LaunchInputs *in, const HostCaps *caps,
                const LaunchChoices *choices, QemuCommand *ret, char **reterr) {
        Composer c = {
                .config = config,
                .inputs = in,
                .caps = caps,
                .choices = choices,
                .tables = true,
        };

        if (config->image || config->n_extra_drives > 0 || choices->tpm || choices->vsock != VSOCK_NO ||
                        config->network == NETWORK_TAP || config->network == NETWORK_PASST ||
                        config->qemu_args)
                return error_set(reterr, -EOPNOTSUPP,
                                "--fw-cfg=auto: tables are not read for guests with disks, a TPM, vsock, a network other than user, or --qemu-arg=: save them in a guest, and pass the folder");
        if (!caps->qemu && !config->qemu)
                return error_set(reterr, -ENOENT, "--fw-cfg=auto: QEMU not found: pass --qemu=PATH");
        return compose_all(&c, ret);
}
