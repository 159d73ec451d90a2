/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "compose-parts.h"
#include "error.h"
#include "strutil.h"

void qemu_command_done(QemuCommand *c) {
        strv_free(c->argv);
        free(c->fds);
        *c = (QemuCommand) {};
}

static void note(Composer *c, int r) {
        if (r < 0 && c->error == 0)
                c->error = r;
}

void compose_add(Composer *c, const char *first, ...) {
        va_list ap;

        va_start(ap, first);
        for (const char *s = first; s; s = va_arg(ap, const char *))
                note(c, strv_push(&c->argv, s));
        va_end(ap);
}

void compose_addf(Composer *c, const char *option, const char *format, ...) {
        char *s = NULL;
        va_list ap;
        int k;

        va_start(ap, format);
        k = vasprintf(&s, format, ap);
        va_end(ap);
        if (option)
                note(c, strv_push(&c->argv, option));
        note(c, strv_consume(&c->argv, k < 0 ? NULL : s));
}

void compose_json(Composer *c, const char *option, Json *value) {
        _cleanup_js_ Json *owned = value;

        if (!owned) {
                note(c, -ENOMEM);
                return;
        }
        note(c, strv_push(&c->argv, option));
        note(c, strv_consume(&c->argv, js_text(owned, JS_SHORT)));
}

void compose_fd(Composer *c, int fd) {
        int *fds = reallocarray(c->fds, c->n_fds + 1, sizeof(int));

        if (!fds) {
                note(c, -ENOMEM);
                return;
        }
        c->fds = fds;
        c->fds[c->n_fds++] = fd;
}

/* QEMU would be refused by the kernel with EINVAL and not a word more. */
static int check_policy(const Composer *c, char **reterr) {
        uint64_t over = c->inputs->plan.policy & ~c->caps->snp_policy_bits;

        if (c->config->coco != SEV_MODE_SEV_SNP || c->caps->snp_policy_bits == 0 || over == 0)
                return 0;
        return error_set(reterr, -EOPNOTSUPP,
                        "--coco-policy: this host's kernel does not take bit %d (0x%" PRIx64
                        "): leave it out, or start on a newer kernel (6.19 or later knows more bits)",
                        __builtin_ctzll(over), over & -over);
}

/* What SEV needs to know of the host and of the memory layout. */
static int check_host(const Composer *c, char **reterr) {
        if (!c->caps->qemu && !c->config->qemu)
                return error_set(reterr, -ENOENT,
                                "no QEMU found: install qemu-system-x86 (10.0 or later), or name it by "
                                "--qemu=PATH");
        if (!c->confidential)
                return 0;
        if (c->caps->cbitpos == 0)
                return error_set(reterr, -EOPNOTSUPP,
                                "this CPU has no memory encryption (CPUID 0x8000001f), so --coco=%s cannot "
                                "run here: add --simulate to "
                                "boot the same artifacts without it, or give --host-caps=FILE to compose "
                                "for another host",
                                sev_mode_to_string(c->config->coco));
        return check_policy(c, reterr);
}

int compose_qemu(const VmConfig *config, const LaunchInputs *in, const HostCaps *caps,
                const LaunchChoices *choices, QemuCommand *ret, char **reterr) {
        Composer c = {
                .config = config,
                .inputs = in,
                .caps = caps,
                .choices = choices,
                .confidential = config->coco != SEV_MODE_NONE && !choices->simulated,
        };
        int r;

        r = check_host(&c, reterr);
        if (r < 0)
                return r;

        compose_add(&c, config->qemu ?: caps->qemu, "-S", "-nodefaults", "-no-user-config", "-no-reboot",
                        "-display", "none", "-sandbox", LAUNCH_SANDBOX, NULL);
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
