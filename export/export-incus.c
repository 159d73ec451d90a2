/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Incus: configuration keys as YAML, which 'incus launch IMAGE NAME --vm' reads from standard input (doc/reference/instance_options). Incus knows
 * SEV and SEV-ES, with its own firmware and the host's CPU, and has no direct kernel boot. */

#include <errno.h>
#include <inttypes.h>

#include "error.h"
#include "export-text.h"

#define MIB UINT64_C(1048576)

static int check(const ExportGuest *g, char **reterr) {
        const Coco *coco = coco_of(g->mode);

        if (coco->id_block || coco->event_log)
                return error_set(reterr, -EINVAL, "%s cannot be exported to incus: it knows SEV and SEV-ES",
                                coco->label);
        if (g->kernel)
                return error_set(reterr, -EINVAL,
                                "Incus has no direct kernel boot: leave --linux= out; the launch digest covers the firmware then");
        if (coco->vcpus_measured && !streq(g->cpu_model, "host"))
                return error_set(reterr, -EINVAL,
                                "--cpu=%s: Incus gives a guest the host's CPU, which is measured with %s: use --cpu=host",
                                g->cpu_model, coco->label);
        if (coco->vcpus_measured && !g->legacy_vm_type)
                return error_set(reterr, -EINVAL,
                                "Incus does not request the newer type of %s machine, whose vCPUs have another digest: add --sev-vm-type=legacy",
                                coco->label);
        if (!g->dh_cert != !g->session)
                return error_set(reterr, -EINVAL, "--dh-cert and --session belong together");
        return 0;
}

static void put_key(Text *t, const char *key, const char *value) {
        if (value)
                text_putf(t, "  %s: \"%s\"\n", key, value); /* base64 and words: nothing to escape */
}

int export_incus(const ExportGuest *g, _unused_ const ExportOptions *o, Text *t, char ***notices,
                char **reterr) {
        uint64_t policy = coco_of(g->mode)->vcpus_measured ? 0x5 : 0x1;
        int r = check(g, reterr);

        if (r >= 0)
                r = strv_pushf(notices,
                                "Incus has its own firmware: it must have the bytes of '%s', or the launch digest differs",
                                g->firmware);
        if (r >= 0 && g->n_disks > 0)
                r = strv_pushf(notices,
                                "import '%s' as an image of Incus (incus-migrate, or incus image import)",
                                g->disks->path);
        if (r >= 0 && g->policy != policy)
                r = strv_pushf(notices, "Incus requests the policy 0x%" PRIx64 ", not 0x%" PRIx64, policy,
                                g->policy);
        if (r < 0)
                return r;
        text_putf(t,
                        "# Written by cvmspawn-export(1): incus launch IMAGE NAME --vm <THIS-FILE\nconfig:\n  limits.cpu: \"%u\"\n  limits.memory: %" PRIu64
                        "MiB\n",
                        g->vcpus, g->ram / MIB);
        put_key(t, "security.sev", "true");
        put_key(t, "security.sev.policy.es", coco_of(g->mode)->vcpus_measured ? "true" : NULL);
        put_key(t, "security.sev.session.dh", g->dh_cert);
        put_key(t, "security.sev.session.data", g->session);
        return 0;
}
