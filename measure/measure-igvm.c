/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-igvm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "firmware-igvm.h"

typedef struct IgvmRun {
        IgvmMeasurement *result;
        SnpChain chain; /* SEV-SNP */
        Hash *hash;     /* SEV, SEV-ES */
        LaunchTrace trace;
        void *userdata;
        uint64_t index;
        unsigned n_contexts;
        uint8_t zeros[SHA384_SIZE]; /* the digest of a page of zeros */
} IgvmRun;

static int snp_pages(IgvmRun *run, const IgvmDirective *d) {
        SnpPageType type = d->data_type == IGVM_DATA_SECRETS ? SNP_PAGE_SECRETS
                        : d->data_type != IGVM_DATA_NORMAL   ? SNP_PAGE_CPUID
                        : d->unmeasured                      ? SNP_PAGE_UNMEASURED
                                                             : SNP_PAGE_NORMAL;

        if (type != SNP_PAGE_NORMAL)
                return snp_chain_pages(&run->chain, type, d->gpa, d->n_pages, NULL, "page data");
        if (!d->data)
                return snp_chain_pages(&run->chain, type, d->gpa, d->n_pages, run->zeros, "page data");
        return snp_chain_image(&run->chain, d->data, d->n_pages * SEV_PAGE_SIZE, d->gpa, "page data");
}

static int snp_directive(IgvmRun *run, const IgvmDirective *d) {
        uint8_t contents[SHA384_SIZE];
        char source[32];
        int r;

        if (d->kind == IGVM_INSERT)
                return snp_chain_pages(&run->chain, SNP_PAGE_UNMEASURED, d->gpa, d->n_pages, NULL,
                                "parameter area");
        if (d->kind == IGVM_PAGES)
                return snp_pages(run, d);
        (void) snprintf(source, sizeof(source), "vCPU %u", d->vp_index);
        r = hash_digest(HASH_SHA384, d->data, SEV_PAGE_SIZE, contents);
        return r < 0 ? r : snp_chain_pages(&run->chain, SNP_PAGE_VMSA, d->gpa, 1, contents, source);
}

/* Pages without data contribute nothing. */
static int sev_directive(IgvmRun *run, const IgvmDirective *d) {
        uint8_t digest[SHA256_SIZE], contents[SHA256_SIZE];
        size_t n = d->n_pages * SEV_PAGE_SIZE;
        _cleanup_hash_ Hash *copy = NULL;
        int r;

        if (d->kind == IGVM_INSERT || d->unmeasured || !d->data)
                return 0;
        r = hash_update(run->hash, d->data, n);
        if (r < 0 || !run->trace)
                return r;
        r = hash_clone(run->hash, &copy);
        if (r >= 0)
                r = hash_final(copy, digest);
        if (r >= 0)
                r = hash_digest(HASH_SHA256, d->data, n, contents);
        if (r < 0)
                return r;
        return run->trace(run->userdata,
                        &(LaunchStep) {
                                        .index = run->index++,
                                        .gpa = d->gpa,
                                        .size = n,
                                        .type = d->kind == IGVM_VP_CONTEXT ? "vmsa" : "data",
                                        .source = d->kind == IGVM_VP_CONTEXT ? "vCPU" : "page data",
                                        .contents = contents,
                                        .digest = digest,
                                        .n_digest = SHA256_SIZE,
                        });
}

static int measure_directive(IgvmRun *run, const IgvmDirective *d) {
        IgvmMeasurement *m = run->result;

        if (d->kind == IGVM_OTHER)
                return 0;
        if (d->kind == IGVM_ID_BLOCK) {
                m->has_expected = true;
                memcpy(m->expected, d->expected, SHA384_SIZE);
                return 0;
        }
        if (d->shared)
                return 0;
        /* KVM adds its own VMSAs after everything else, at its own address. */
        m->kvm_vmsa = d->kind == IGVM_VP_CONTEXT && run->n_contexts == 0 && d->gpa == SNP_VMSA_GPA;
        run->n_contexts += d->kind == IGVM_VP_CONTEXT;
        return run->hash ? sev_directive(run, d) : snp_directive(run, d);
}

static int walk(IgvmRun *run, IgvmFile *file, uint32_t mask, char **reterr) {
        IgvmDirective d;
        int r;

        while ((r = igvm_next(file, &d, reterr)) > 0) {
                if (!(d.mask & mask))
                        continue;
                if (d.kind == IGVM_VP_CONTEXT && !d.data)
                        continue;
                r = measure_directive(run, &d);
                if (r < 0)
                        return r;
        }
        return r;
}

static int finish(IgvmRun *run) {
        LaunchDigest *d = &run->result->digest;

        if (run->hash) {
                *d = (LaunchDigest) { .algorithm = HASH_SHA256, .size = SHA256_SIZE };
                return hash_final(run->hash, d->bytes);
        }
        *d = (LaunchDigest) { .algorithm = HASH_SHA384, .size = SHA384_SIZE };
        memcpy(d->bytes, run->chain.digest, SHA384_SIZE);
        return 0;
}

int igvm_measure(const uint8_t *data, size_t size, CocoMode mode, LaunchTrace trace, void *userdata,
                IgvmMeasurement *ret, char **reterr) {
        static const IgvmPlatform platforms[_COCO_MODE_MAX] = {
                [COCO_SEV] = IGVM_PLATFORM_SEV,
                [COCO_SEV_ES] = IGVM_PLATFORM_SEV_ES,
                [COCO_SEV_SNP] = IGVM_PLATFORM_SEV_SNP,
        };
        static const uint8_t zero_page[SEV_PAGE_SIZE];
        IgvmMeasurement m = {};
        IgvmRun run = { .result = &m, .trace = trace, .userdata = userdata };
        LaunchTraceContext context = { trace, userdata };
        uint32_t mask;
        IgvmFile file;
        int r;

        assert(mode > COCO_NONE && mode < _COCO_MODE_MAX);
        if (!platforms[mode])
                return error_set(reterr, -EOPNOTSUPP, "IGVM files of %s guests are not supported",
                                coco_of(mode)->label);
        r = igvm_open(data, size, &file, reterr);
        if (r >= 0)
                r = igvm_platform_mask(&file, platforms[mode], &mask, reterr);
        if (r < 0)
                return r;
        r = hash_digest(HASH_SHA384, zero_page, sizeof(zero_page), run.zeros);
        if (r >= 0)
                r = launch_is_chain(mode) ? launch_chain_init(&run.chain, &context)
                                          : hash_new(HASH_SHA256, &run.hash);
        if (r >= 0)
                r = walk(&run, &file, mask, reterr);
        if (r >= 0)
                r = finish(&run);
        snp_chain_done(&run.chain);
        (void) hash_free(run.hash);
        if (r < 0)
                return r;
        *ret = m;
        return 0;
}
