/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-context.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "measure-metadata.h"
#include "measure-svsm.h"

void measure_context_done(MeasureContext *c) {
        if (!c->borrowed)
                firmware_image_done(&c->firmware);
        firmware_image_done(&c->svsm);
        plan_digests_done(&c->digests);
        *c = (MeasureContext) {};
}

typedef struct FirmwareJob {
        MeasureContext *context;
        unsigned work;
} FirmwareJob;

static int load_firmware(void *userdata, char **reterr) {
        FirmwareJob *job = userdata;
        const MeasureRequest *q = job->context->request;
        FirmwareImage *f = &job->context->firmware;
        int r;

        if (q->ovmf_metadata)
                r = firmware_metadata_load(q->ovmf_metadata, f, reterr);
        else
                r = firmware_image_load(&q->plan.firmware, job->work, f, reterr);
        if (r < 0)
                return r;
        if (q->has_ovmf_hash) {
                memcpy(f->chain, q->ovmf_hash, sizeof(f->chain));
                f->has_chain = true;
                f->n_prefix = 0; /* belongs to the image's own chain */
        }
        return 0;
}

static void apply_given_hashes(MeasureContext *c) {
        const MeasureRequest *q = c->request;

        plan_digests_hashes(&c->digests, &c->hashes);
        if (q->has_kernel_hash)
                memcpy(c->hashes.kernel, q->given.kernel, SHA256_SIZE);
        if (q->has_initrd_hash)
                memcpy(c->hashes.initrd, q->given.initrd, SHA256_SIZE);
        if (q->has_cmdline_hash)
                memcpy(c->hashes.cmdline, q->given.cmdline, SHA256_SIZE);
}

int measure_context_load(const MeasureRequest *request, unsigned work, MeasureContext *ret, char **reterr) {
        _cleanup_(measure_context_done) MeasureContext c = { .request = request };
        FirmwareJob job = { &c, 0 };
        int r;

        /* The chain over the image is not needed where a stored one replaces it. */
        if (!request->has_ovmf_hash)
                job.work |= launch_firmware_work(request->plan.mode);
        if (work & MEASURE_FIRMWARE_SHA256)
                job.work |= FIRMWARE_SHA256;
        if (request->plan.kernel.present || request->plan.cmdline.present)
                r = plan_digests(&request->plan, load_firmware, &job, &c.digests, reterr);
        else {
                r = load_firmware(&job, reterr);
                if (r >= 0)
                        r = plan_digests_empty(&c.digests);
        }
        if (r < 0)
                return r;
        apply_given_hashes(&c);
        if (request->mode == MEASURE_SVSM) {
                r = firmware_image_load(&request->svsm, 0, &c.svsm, reterr);
                if (r >= 0)
                        r = svsm_place(&c.firmware, request->vars_size, &c.svsm, &c.svsm_gpa, reterr);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_STRUCT(c, (MeasureContext) {});
        return 0;
}

void measure_context_spec(const MeasureContext *c, unsigned vcpus, const MeasureCpu *cpu, LaunchSpec *ret) {
        const MeasureRequest *q = c->request;

        *ret = (LaunchSpec) {
                .mode = q->plan.mode,
                .profile = q->profile,
                .vcpus = vcpus,
                .signature = cpu->signature,
                .features = coco_of(q->plan.mode)->guest_features ? q->features : q->es_features,
                .kernel_hashes = q->plan.sev.kernel_hashes,
                .hashes = c->hashes,
                .two_pass = q->plan.tdx.two_pass,
        };
}

int measure_context_digest(const MeasureContext *c, const LaunchSpec *spec, LaunchTrace trace,
                void *userdata, LaunchDigest *ret, char **reterr) {
        switch (c->request->mode) {
        case MEASURE_OVMF_HASH:
                return launch_ovmf_hash(&c->firmware, trace, userdata, ret, reterr);
        case MEASURE_SVSM:
                return svsm_digest(&c->firmware, &c->svsm, c->svsm_gpa, spec, trace, userdata, ret, reterr);
        default:
                return launch_digest(&c->firmware, spec, trace, userdata, ret, reterr);
        }
}

/* SEV-SNP: one chain goes on from count to count. */
static int snp_rows(const MeasureContext *c, const MeasureCpu *cpu, MeasureRowFunction row, void *userdata,
                char **reterr) {
        const MeasureRequest *q = c->request;
        _cleanup_(snp_chain_done) SnpChain chain = {};
        LaunchDigest d = { .algorithm = HASH_SHA384, .size = SHA384_SIZE };
        VmsaDigests vmsas;
        LaunchSpec spec;
        unsigned done = 0;
        int r;

        measure_context_spec(c, q->vcpus[q->n_vcpus - 1], cpu, &spec);
        r = launch_snp_start(&c->firmware, &spec, &chain, &vmsas, reterr);
        for (size_t i = 0; r >= 0 && i < q->n_vcpus; i++) {
                r = snp_chain_vmsas(&chain, &vmsas, done, q->vcpus[i]);
                if (r < 0)
                        return r;
                done = q->vcpus[i];
                memcpy(d.bytes, chain.digest, SHA384_SIZE);
                r = row(userdata, done, cpu, &d);
        }
        return r;
}

int measure_context_rows(const MeasureContext *c, MeasureRowFunction row, void *userdata, char **reterr) {
        const MeasureRequest *q = c->request;
        int r = 0;

        for (size_t k = 0; r >= 0 && k < q->n_cpus; k++) {
                if (q->mode == MEASURE_SNP) {
                        r = snp_rows(c, q->cpus + k, row, userdata, reterr);
                        continue;
                }
                for (size_t i = 0; r >= 0 && i < q->n_vcpus; i++) {
                        LaunchDigest d;
                        LaunchSpec spec;

                        measure_context_spec(c, q->vcpus[i], q->cpus + k, &spec);
                        r = measure_context_digest(c, &spec, NULL, NULL, &d, reterr);
                        if (r >= 0)
                                r = row(userdata, q->vcpus[i], q->cpus + k, &d);
                }
        }
        return r;
}
