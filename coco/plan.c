/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "plan.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "overflow.h"
#include "strutil.h"

void plan_input_done(PlanInput *in) {
        FOREACH_ARRAY(p, in->parts, in->n_parts)
                free(p->label);
        free(in->parts);
        *in = (PlanInput) {};
}

uint64_t plan_input_size(const PlanInput *in) {
        uint64_t n = 0;

        FOREACH_ARRAY(p, in->parts, in->n_parts)
                n += p->length;
        return n;
}

int plan_input_add(PlanInput *in, const char *label, int fd, uint64_t offset, uint64_t length) {
        uint64_t sum;
        PlanPart *parts;
        char *copy;

        if (!add_u64(plan_input_size(in), length, &sum) || !add_u64(offset, length, &sum))
                return -EOVERFLOW;
        copy = strdup(label);
        if (!copy)
                return -ENOMEM;
        parts = reallocarray(in->parts, in->n_parts + 1, sizeof(PlanPart));
        if (!parts) {
                free(copy);
                return -ENOMEM;
        }
        in->parts = parts;
        in->parts[in->n_parts++] =
                        (PlanPart) { .label = copy, .fd = fd, .offset = offset, .length = length };
        in->present = true;
        return 0;
}

void launch_plan_done(LaunchPlan *p) {
        free(p->cpu_model);
        free(p->tdx.edk2);
        free(p->tdx.fw_cfg);
        free(p->tdx.bios);
        plan_input_done(&p->firmware);
        plan_input_done(&p->kernel);
        plan_input_done(&p->initrd);
        plan_input_done(&p->cmdline);
        *p = (LaunchPlan) {};
}

static int input_to_json(Json *object, const char *key, const PlanInput *in) {
        _cleanup_js_ Json *array = NULL;

        if (!in->present)
                return 0;
        array = js_array();
        if (!array)
                return -ENOMEM;
        FOREACH_ARRAY(p, in->parts, in->n_parts) {
                Json *part = NULL;
                int r = js_build(&part, "{s:s, s:o, s:I, s:I}", "label", p->label, "fd",
                                p->fd < 0 ? js_null() : js_u64((uint64_t) p->fd), "offset",
                                (long long) p->offset, "length", (long long) p->length);

                if (r < 0)
                        return r;
                r = js_append(array, part);
                if (r < 0)
                        return r;
        }
        return js_set(object, key, TAKE_PTR(array));
}

int launch_plan_to_json(const LaunchPlan *p, Json **ret) {
        const struct {
                const char *key;
                const PlanInput *input;
        } inputs[] = {
                { "firmware", &p->firmware },
                { "kernel", &p->kernel },
                { "initrd", &p->initrd },
                { "cmdline", &p->cmdline },
        };
        _cleanup_js_ Json *j = NULL;
        int r;

        r = js_build(&j, "{s:s, s:I, s:s, s:I, s:I, s:I, s:b, s:b}", "mode", coco_mode_to_string(p->mode),
                        "vcpus", (long long) p->vcpus, "cpu-model", p->cpu_model ?: "", "vcpu-sig",
                        (long long) p->sev.cpu_signature, "guest-features", (long long) p->sev.features,
                        "policy", (long long) p->policy, "kernel-hashes", p->sev.kernel_hashes,
                        "legacy-vm-type", p->sev.legacy_vm_type);
        if (r >= 0 && p->tdx.memory > 0)
                r = js_set(j, "memory", js_u64(p->tdx.memory));
        if (r >= 0 && p->tdx.edk2)
                r = js_set(j, "edk2", js_string(p->tdx.edk2));
        if (r >= 0 && p->tdx.fw_cfg)
                r = js_set(j, "fw-cfg", js_string(p->tdx.fw_cfg));
        if (r >= 0 && p->tdx.bios)
                r = js_set(j, "bios", js_string(p->tdx.bios));
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(inputs); i++) {
                r = input_to_json(j, inputs[i].key, inputs[i].input);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(j);
        return 0;
}

static int read_mode(const Json *value, void *target, char **reterr) {
        const char *s = js_string_value(value);
        CocoMode m = s ? coco_mode_from_string(s) : _COCO_MODE_INVALID;

        if (m < 0)
                return error_set(reterr, -EINVAL, "expected no, sev, sev-es, sev-snp or tdx");
        *(CocoMode *) target = m;
        return 0;
}

static int read_fd(const Json *value, void *target, char **reterr) {
        uint64_t v;

        if (js_is_null(value)) {
                *(int *) target = -EBADF;
                return 0;
        }
        if (js_u64_value(value, &v) < 0 || v > INT32_MAX)
                return error_set(reterr, -EINVAL, "expected a descriptor number or null");
        *(int *) target = (int) v;
        return 0;
}

static int read_input(const Json *value, void *target, char **reterr) {
        static const JsField fields[] = {
                { "label", JS_FIELD_STRING, offsetof(PlanPart, label), true, NULL },
                { "fd", JS_FIELD_CUSTOM, offsetof(PlanPart, fd), true, read_fd },
                { "offset", JS_FIELD_U64, offsetof(PlanPart, offset), true, NULL },
                { "length", JS_FIELD_U64, offsetof(PlanPart, length), true, NULL },
        };
        PlanInput *in = target;

        if (!js_is_array(value))
                return error_set(reterr, -EINVAL, "expected an array of parts");

        in->present = true;
        for (size_t i = 0; i < js_length(value); i++) {
                PlanPart part = { .fd = -EBADF };
                int r = js_dispatch(js_at(value, i), fields, ELEMENTSOF(fields), /* foreign= */ false, &part,
                                reterr);

                if (r >= 0)
                        r = plan_input_add(in, part.label, part.fd, part.offset, part.length);
                free(part.label);
                if (r < 0)
                        return error_set(reterr, r, "part %zu is not valid", i);
        }
        return 0;
}

int launch_plan_from_json(const Json *j, LaunchPlan *ret, char **reterr) {
        static const JsField fields[] = {
                { "mode", JS_FIELD_CUSTOM, offsetof(LaunchPlan, mode), true, read_mode },
                { "vcpus", JS_FIELD_UNSIGNED, offsetof(LaunchPlan, vcpus), true, NULL },
                { "cpu-model", JS_FIELD_STRING, offsetof(LaunchPlan, cpu_model), true, NULL },
                { "vcpu-sig", JS_FIELD_UNSIGNED, offsetof(LaunchPlan, sev.cpu_signature), true, NULL },
                { "guest-features", JS_FIELD_U64, offsetof(LaunchPlan, sev.features), true, NULL },
                { "policy", JS_FIELD_U64, offsetof(LaunchPlan, policy), true, NULL },
                { "kernel-hashes", JS_FIELD_BOOL, offsetof(LaunchPlan, sev.kernel_hashes), true, NULL },
                { "legacy-vm-type", JS_FIELD_BOOL, offsetof(LaunchPlan, sev.legacy_vm_type), true, NULL },
                { "memory", JS_FIELD_U64, offsetof(LaunchPlan, tdx.memory), false, NULL },
                { "edk2", JS_FIELD_STRING, offsetof(LaunchPlan, tdx.edk2), false, NULL },
                { "fw-cfg", JS_FIELD_STRING, offsetof(LaunchPlan, tdx.fw_cfg), false, NULL },
                { "bios", JS_FIELD_STRING, offsetof(LaunchPlan, tdx.bios), false, NULL },
                { "firmware", JS_FIELD_CUSTOM, offsetof(LaunchPlan, firmware), false, read_input },
                { "kernel", JS_FIELD_CUSTOM, offsetof(LaunchPlan, kernel), false, read_input },
                { "initrd", JS_FIELD_CUSTOM, offsetof(LaunchPlan, initrd), false, read_input },
                { "cmdline", JS_FIELD_CUSTOM, offsetof(LaunchPlan, cmdline), false, read_input },
        };
        _cleanup_(launch_plan_done) LaunchPlan p = {};
        int r;

        r = js_dispatch(j, fields, ELEMENTSOF(fields), /* foreign= */ false, &p, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "launch plan");
        *ret = TAKE_STRUCT(p, (LaunchPlan) {});
        return 0;
}
