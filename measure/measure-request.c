/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "measure-launch.h"
#include "sev-cpu.h"
#include "strutil.h"

static const struct {
        const char *name;
        CocoMode coco;
        bool firmware_alone; /* no vCPU and no kernel enters the digest */
} modes[] = {
        [MEASURE_SEV] = { "sev", COCO_SEV },
        [MEASURE_SEV_ES] = { "seves", COCO_SEV_ES },
        [MEASURE_SNP] = { "snp", COCO_SEV_SNP },
        [MEASURE_OVMF_HASH] = { "snp:ovmf-hash", COCO_SEV_SNP, .firmware_alone = true },
        [MEASURE_SVSM] = { "snp:svsm", COCO_SEV_SNP },
        [MEASURE_TDX] = { "tdx", COCO_TDX },
};
static_assert(ELEMENTSOF(modes) == _MEASURE_MODE_MAX, "every mode has a row");

const char *measure_mode_to_string(MeasureMode m) {
        return m >= 0 && m < _MEASURE_MODE_MAX ? modes[m].name : NULL;
}

MeasureMode measure_mode_from_string(const char *s) {
        for (int i = 0; i < _MEASURE_MODE_MAX; i++)
                if (streq(s, modes[i].name))
                        return (MeasureMode) i;
        return measure_mode_of_coco(coco_mode_from_string(s));
}

MeasureMode measure_mode_of_coco(CocoMode m) {
        for (int i = 0; i < _MEASURE_MODE_MAX; i++)
                if (modes[i].coco == m)
                        return (MeasureMode) i;
        return _MEASURE_MODE_INVALID;
}

CocoMode measure_mode_coco(MeasureMode m) {
        return modes[m].coco;
}

bool measure_mode_has_vcpus(MeasureMode m) {
        return coco_of(modes[m].coco)->vcpus_measured && !modes[m].firmware_alone;
}

void measure_cpus_free(MeasureCpu *cpus, size_t n) {
        FOREACH_ARRAY(c, cpus, n)
                free(c->name);
        free(cpus);
}

void measure_request_done(MeasureRequest *r) {
        FOREACH_ARRAY(fd, r->fds, r->n_fds)
                (void) fd_close(*fd);
        free(r->fds);
        free(r->vcpus);
        measure_cpus_free(r->cpus, r->n_cpus);
        launch_plan_done(&r->plan);
        plan_input_done(&r->svsm);
        free(r->ovmf_metadata);
        *r = (MeasureRequest) {};
}

/* "host" is the machine that runs the guest: this one is a verifier's, and its CPU differs. */
int measure_cpu_from_name(const char *name, MeasureCpu *ret, char **reterr) {
        int r;

        if (streq(name, "host") || streq(name, "max"))
                return error_set(reterr, -EINVAL,
                                "'%s' is the CPU of the machine that runs the guest, not of this one: "
                                "pass its signature with --vcpu-sig=NUMBER (CPUID leaf 1, EAX, of that machine) or --vcpu-sig=from:REPORT",
                                name);
        r = sev_cpu_resolve(name, &ret->signature, reterr);

        if (r < 0)
                return r;
        ret->name = strdup(name);
        return ret->name ? 0 : -ENOMEM;
}

int measure_request_from_plan(LaunchPlan *plan, VmmProfile profile, uint64_t es_features,
                MeasureRequest *ret, char **reterr) {
        _cleanup_(measure_request_done) MeasureRequest r = { .mode = measure_mode_of_coco(plan->mode),
                .profile = profile,
                .features = plan->sev.features,
                .es_features = es_features };
        int k;

        if (r.mode < 0)
                return error_set(reterr, -EINVAL,
                                "a launch without SEV has no digest: pass --coco=sev, sev-es, sev-snp or tdx");
        if (profile < 0)
                r.profile = launch_profile_of_plan(plan);
        r.vcpus = calloc(1, sizeof(unsigned));
        r.cpus = calloc(1, sizeof(MeasureCpu));
        if (!r.vcpus || !r.cpus)
                return -ENOMEM;
        r.n_vcpus = r.n_cpus = 1;
        r.vcpus[0] = plan->vcpus;
        if (measure_mode_has_vcpus(r.mode) && plan->sev.cpu_signature == 0) {
                k = measure_cpu_from_name(plan->cpu_model ?: "", r.cpus, reterr);
                if (k < 0)
                        return error_prefix(reterr, k, "--cpu");
        } else {
                r.cpus[0].signature = plan->sev.cpu_signature;
                r.cpus[0].name = plan->cpu_model ? strdup(plan->cpu_model) : NULL;
                if (plan->cpu_model && !r.cpus[0].name)
                        return -ENOMEM;
        }
        r.plan = TAKE_STRUCT(*plan, (LaunchPlan) {});
        *ret = TAKE_STRUCT(r, (MeasureRequest) {});
        return 0;
}
