/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which options go together, in the order in which the original asks. */

#include "strutil.h"
#include "validate.h"

static int fail(Validate *v, const char *sentence) {
        return validate_fail(v, VALIDATE_UNSUPPORTED, "%s", sentence);
}

static int check_offline(Validate *v) {
        const ValidateArgs *a = &v->args;
        const struct {
                bool given;
                const char *name;
        } needs[] = {
                { a->measurement, "measurement" },
                { a->api_major.given, "api-major" },
                { a->api_minor.given, "api-minor" },
                { a->build_id.given, "build-id" },
                { a->policy.given, "policy" },
                { a->firmware, "firmware" },
                { a->secret_header || !a->inject_secrets, "secret-header" },
                { a->secret_payload || !a->inject_secrets, "secret-payload" },
        };

        FOREACH_ARRAY(n, needs, ELEMENTSOF(needs))
                if (!n->given)
                        return validate_fail(v, VALIDATE_UNSUPPORTED, "Either --%s or --domain is required",
                                        n->name);
        return 0;
}

static int check_vmsas(Validate *v) {
        const ValidateArgs *a = &v->args;
        unsigned sku = (unsigned) a->cpu_family.given + a->cpu_model.given + a->cpu_stepping.given;

        if (sku == 0 && a->vmsa_cpu1 && !a->vmsa_cpu0)
                return fail(v, "VMSA for additional CPU also requires VMSA for boot CPU");
        if (sku > 0 && (a->vmsa_cpu0 || a->vmsa_cpu1))
                return fail(v, "VMSA files are mutually exclusive with CPU SKU");
        if (sku > 0 && sku < 3)
                return fail(v, "CPU SKU needs family, model and stepping for SEV-ES domain");
        return 0;
}

int validate_check_usage(Validate *v) {
        const ValidateArgs *a = &v->args;
        int r;

        if (a->tk && (a->tik || a->tek))
                return fail(v, "--tk is mutually exclusive with --tek/--tik");
        if (!a->tk && (!a->tik || !a->tek))
                return fail(v, "Either --tk or both of --tek/--tik are required");
        if (!a->domain) {
                r = check_offline(v);
                if (r < 0)
                        return r;
        }
        if (!a->kernel && (a->initrd || a->cmdline))
                return fail(v, "--initrd/--cmdline require --kernel");
        r = check_vmsas(v);
        if (r < 0)
                return r;
        if (!a->secret_payload != !a->secret_header)
                return fail(v, "Both --secret-payload and --secret-header are required");
        return 0;
}
