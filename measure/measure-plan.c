/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-plan.h"

#include <errno.h>
#include <stdio.h>

#include "error.h"
#include "measure-firmware.h"
#include "measure-input.h"
#include "measure-json.h"
#include "measure-launch.h"
#include "measure-rtmr.h"

typedef struct FirmwareJob {
        const LaunchPlan *plan;
        FirmwareImage *image;
} FirmwareJob;

static int load_firmware(void *userdata, char **reterr) {
        FirmwareJob *job = userdata;

        return firmware_image_load(&job->plan->firmware,
                        FIRMWARE_SHA256 | launch_firmware_work(job->plan->mode), job->image, reterr);
}

static int add_kernel_hashes(
                Json *answer, const FirmwareImage *firmware, const KernelHashes *hashes, char **reterr) {
        const OvmfArea *area = &firmware->info.hash_table;
        uint8_t table[SEV_HASH_TABLE_SIZE];
        Json *j = NULL;
        int r;

        r = firmware_image_require(firmware, OVMF_NEED_HASH_TABLE, reterr);
        if (r < 0)
                return r;
        kernel_hashes_table(hashes, table);
        r = js_build(&j, "{s:o, s:I, s:I}", "table", js_base64(table, sizeof(table)), "gpa",
                        (long long) area->base, "area-size", (long long) area->size);
        return r < 0 ? r : js_set(answer, "kernel-hashes", j);
}

static int add_digest(Json *answer, const LaunchPlan *plan, const FirmwareImage *firmware,
                const KernelHashes *hashes, char **reterr) {
        LaunchDigest digest;
        LaunchSpec spec;
        int r;

        if (plan->mode == COCO_NONE) {
                r = js_set(answer, "digest", js_null());
                return r < 0 ? r : js_set(answer, "digest-algorithm", js_null());
        }
        r = launch_spec_from_plan(plan, &spec, reterr);
        if (r < 0)
                return r;
        spec.hashes = *hashes;
        r = launch_digest(firmware, &spec, NULL, NULL, &digest, reterr);
        if (r < 0)
                return r;
        r = js_set(answer, "digest", js_hex(digest.bytes, digest.size));
        if (r < 0)
                return r;
        return js_set(answer, "digest-algorithm", js_string(hash_algorithm_to_string(digest.algorithm)));
}

/* The registers that firmware and kernel extend, as far as the plan says what they depend on. */
static int add_registers(
                Json *answer, const LaunchPlan *plan, const FirmwareImage *firmware, char **reterr) {
        _cleanup_(rtmr_events_done) RtmrEvents events = {};
        uint8_t registers[TDX_RTMRS][SHA384_SIZE];
        RtmrBoot boot = { .firmware = firmware,
                .plan = plan,
                .ram = plan->tdx.memory,
                .fw_cfg = plan->tdx.fw_cfg,
                .bios = plan->tdx.bios,
                .registers = plan->tdx.fw_cfg ? 7u : 6u };
        Json *values = js_object();
        int r = values ? js_set(answer, "registers", values) : -ENOMEM;

        if (r >= 0)
                r = edk2_profile_from_string(plan->tdx.edk2, &boot.edk2, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--edk2");
        r = rtmr_predict(&boot, &events, reterr);
        if (r >= 0)
                r = rtmr_replay(&events, registers);
        if (r >= 0)
                r = js_set(values, "mrtd", js_ref((Json *) js_get(answer, "digest")));
        if (r >= 0)
                r = js_set(answer, "host-credentials", js_string(rtmr_host_credentials(&events)));
        for (unsigned i = 0; r >= 0 && i < TDX_RTMRS - 1; i++) {
                char name[16];

                (void) snprintf(name, sizeof(name), "rtmr%u", i);
                if (boot.registers & 1u << i)
                        r = js_set(values, name, js_hex(registers[i], SHA384_SIZE));
        }
        return r;
}

int measure_plan(const LaunchPlan *plan, Json **ret, char **reterr) {
        _cleanup_(firmware_image_done) FirmwareImage firmware = {};
        _cleanup_(plan_digests_done) PlanDigests digests = {};
        _cleanup_js_ Json *answer = js_object();
        FirmwareJob job = { plan, &firmware };
        KernelHashes hashes;
        Json *parts = NULL;
        int r;

        if (!answer)
                return -ENOMEM;
        if (!plan->firmware.present && (plan->mode != COCO_NONE || plan->sev.kernel_hashes))
                return error_set(reterr, -EINVAL, "the launch plan names no firmware");
        r = plan_digests(plan, plan->firmware.present ? load_firmware : NULL, &job, &digests, reterr);
        if (r < 0)
                return r;
        plan_digests_hashes(&digests, &hashes);

        r = measure_json_parts(&firmware.digest, &digests, &parts);
        if (r < 0)
                return r;
        r = js_set(answer, "parts", parts);
        if (r >= 0 && plan->sev.kernel_hashes)
                r = add_kernel_hashes(answer, &firmware, &hashes, reterr);
        if (r >= 0)
                r = add_digest(answer, plan, &firmware, &hashes, reterr);
        if (r >= 0 && plan->tdx.edk2)
                r = add_registers(answer, plan, &firmware, reterr);
        if (r >= 0)
                r = js_set(answer, "warnings", js_array());
        if (r < 0)
                return r;
        *ret = TAKE_PTR(answer);
        return 0;
}
