/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-report.h"

#include <errno.h>

#include "measure-family.h"
#include "measure-json.h"
#include "measure-metadata.h"
#include "measure-tdx.h"

static bool has_vmsas(const MeasureContext *c) {
        return measure_mode_has_vcpus(c->request->mode);
}

static int add_cpu(Json *j, const MeasureContext *c, unsigned vcpus, const MeasureCpu *cpu) {
        int r;

        if (!has_vmsas(c))
                return 0;
        r = js_set(j, "vcpus", js_u64(vcpus));
        if (r < 0 || !vmm_row(c->request->profile)->registers.rdx_is_signature)
                return r;
        if (cpu->name)
                r = js_set(j, "cpu-model", js_string(cpu->name));
        return r < 0 ? r : js_set(j, "vcpu-sig", js_u64(cpu->signature));
}

int measure_report_row(const MeasureContext *c, unsigned vcpus, const MeasureCpu *cpu,
                const LaunchDigest *digest, Json **ret) {
        _cleanup_js_ Json *j = js_object();
        int r;

        if (!j)
                return -ENOMEM;
        r = add_cpu(j, c, vcpus, cpu);
        if (r >= 0)
                r = js_set(j, "digest", js_hex(digest->bytes, digest->size));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(j);
        return 0;
}

static int add_parameters(
                Json *report, const MeasureContext *c, const LaunchSpec *spec, const MeasureCpu *cpu) {
        const MeasureRequest *q = c->request;
        _cleanup_js_ Json *j = js_object();
        int r = 0;

        if (!j)
                return -ENOMEM;
        if (launch_is_whole(q->plan.mode))
                r = js_set(j, "page-order", js_string(tdx_page_order_to_string(q->plan.tdx.two_pass)));
        else if (q->mode != MEASURE_OVMF_HASH)
                r = js_set(j, "kernel-hashes", js_bool(q->plan.sev.kernel_hashes));
        if (r >= 0 && has_vmsas(c))
                r = js_set(j, "vmsa", js_string(vmm_profile_to_string(q->profile)));
        if (r >= 0 && has_vmsas(c) && q->mode == MEASURE_SNP)
                r = js_set(j, "guest-features", js_u64(q->features));
        if (r >= 0 && q->mode == MEASURE_SVSM)
                r = js_set(j, "vars-size", js_u64(q->vars_size));
        if (r >= 0 && spec)
                r = add_cpu(j, c, spec->vcpus, cpu);
        return r < 0 ? r : js_set(report, "parameters", TAKE_PTR(j));
}

static int add_vmsa_digests(Json *j, const MeasureContext *c, const LaunchSpec *spec) {
        VmsaSpec vmsa = { .profile = spec->profile,
                .entry = c->firmware.info.reset_address,
                .signature = spec->signature,
                .features = spec->features };
        VmsaDigests d;
        int r;

        if (c->request->mode == MEASURE_SVSM)
                vmsa.entry = (uint32_t) c->svsm_gpa + c->svsm.info.svsm_entry;
        r = vmsa_digests(&vmsa, &d);
        if (r >= 0)
                r = js_set(j, "vmsa-boot-sha384", js_hex(d.boot, sizeof(d.boot)));
        if (r >= 0)
                r = js_set(j, "vmsa-application-sha384", js_hex(d.application, sizeof(d.application)));
        return r;
}

static int add_intermediate(Json *report, const MeasureContext *c, const LaunchSpec *spec) {
        const MeasureRequest *q = c->request;
        _cleanup_js_ Json *j = js_object();
        int r = 0;

        if (!j)
                return -ENOMEM;
        if (c->firmware.has_chain)
                r = js_set(j, "ovmf-hash", js_hex(c->firmware.chain, sizeof(c->firmware.chain)));
        if (r >= 0 && q->plan.sev.kernel_hashes) {
                uint8_t table[SEV_HASH_TABLE_SIZE];
                Json *hashes = NULL;

                kernel_hashes_table(&c->hashes, table);
                r = js_build(&hashes, "{s:o, s:o, s:o, s:o}", "kernel",
                                js_hex(c->hashes.kernel, SHA256_SIZE), "initrd",
                                js_hex(c->hashes.initrd, SHA256_SIZE), "cmdline",
                                js_hex(c->hashes.cmdline, SHA256_SIZE), "table",
                                js_base64(table, sizeof(table)));
                if (r >= 0)
                        r = js_set(j, "kernel-hashes", hashes);
        }
        if (r >= 0 && spec && has_vmsas(c))
                r = add_vmsa_digests(j, c, spec);
        return r < 0 ? r : js_set(report, "intermediate", TAKE_PTR(j));
}

static int add_inputs(Json *report, const MeasureContext *c) {
        Json *parts = NULL;
        int r = measure_json_parts(&c->firmware.digest, &c->digests, &parts);

        return r < 0 ? r : js_set(report, "parts", parts);
}

static int add_family(Json *report, const MeasureContext *c, char **reterr) {
        LaunchFamily f;
        Json *j = NULL;
        int r = measure_family(c, &f, reterr);

        if (r >= 0)
                r = launch_family_to_json(&f, &j);
        return r < 0 ? r : js_set(report, "family", j);
}

int measure_report(const MeasureContext *c, const LaunchSpec *spec, const MeasureCpu *cpu,
                const LaunchDigest *digest, Json *rows, Json **ret, char **reterr) {
        _cleanup_js_ Json *j = js_object(), *taken = rows;
        Json *generator = NULL, *metadata = NULL;
        int r;

        if (!j)
                return -ENOMEM;
        r = js_set(j, "mode", js_string(measure_mode_to_string(c->request->mode)));
        if (r >= 0)
                r = js_set(j, "digest-algorithm",
                                js_string(coco_of(c->request->plan.mode)->digest_algorithm));
        if (r >= 0)
                r = taken ? js_set(j, "rows", TAKE_PTR(taken))
                          : js_set(j, "digest", js_hex(digest->bytes, digest->size));
        if (r >= 0)
                r = add_inputs(j, c);
        if (r >= 0)
                r = add_parameters(j, c, spec, cpu);
        if (r >= 0)
                r = add_intermediate(j, c, spec);
        if (r >= 0 && c->request->mode == MEASURE_OVMF_HASH && c->firmware.data && !c->firmware.info_error) {
                r = firmware_metadata_to_json(&c->firmware, &metadata, reterr);
                if (r >= 0)
                        r = js_set(j, "ovmf-metadata", metadata);
        }
        if (r >= 0 && c->request->family && measure_has_family(c->request))
                r = add_family(j, c, reterr);
        if (r >= 0)
                r = js_build(&generator, "{s:s, s:s}", "name", "cvmspawn", "version", CVMSPAWN_VERSION);
        if (r >= 0)
                r = js_set(j, "generator", generator);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(j);
        return 0;
}
