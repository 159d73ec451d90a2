/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-registration.h"

#include <errno.h>
#include <string.h>

#include "attestd-scheme.h"
#include "encode.h"
#include "error.h"
#include "strutil.h"

#define WINDOW_DEFAULT 3600u
#define WINDOW_MAX     (366u * 24 * 3600)
#define HOLD_DEFAULT   3600u
#define HOLD_MIN       60u
#define HOLD_MAX       (7u * 24 * 3600)
#define FIELDS_MAX     48u

void registration_done_sev(Registration *r) {
        RegistrationSev *s = &r->sev;

        free(s->digests.items);
        free(s->computed.items);
        free(s->clouds.items);
}

void registration_done_snp(Registration *r) {
        RegistrationSnp *s = &r->snp;

        if (s->policy)
                snp_policy_done(s->policy);
        free(s->policy);
        free(s->computed);
}

void registration_done(Registration *r) {
        const Scheme *s = r->scheme;

        free(r->firmware.items);
        js_unref(r->cpu_model);
        js_unref(r->secrets);
        js_unref(r->description);
        if (s)
                s->done(r);
        *r = (Registration) {};
}

bool registration_id_valid(const char *id) {
        size_t n = strlen(id);

        return n > 0 && n <= REGISTRATION_ID_MAX && id[0] != '.' &&
                        strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

int digest_list_add(DigestList *l, size_t max, const Digest32 digest, char **reterr) {
        Digest32 *items;

        if (l->n_items >= max)
                return error_set(reterr, -EINVAL, "more than %zu values", max);
        items = reallocarray(l->items, l->n_items + 1, sizeof(Digest32));
        if (!items)
                return -ENOMEM;
        l->items = items;
        memcpy(l->items[l->n_items++], digest, sizeof(Digest32));
        return 0;
}

int registration_parse_digests(const Json *j, void *target, char **reterr) {
        DigestList *l = target;

        if (!js_is_array(j) || js_length(j) == 0)
                return error_set(reterr, -EINVAL, "expected a list of SHA-256 digests");
        for (size_t i = 0; i < js_length(j); i++) {
                const char *text = js_string_value(js_at(j, i));
                Digest32 d;
                int r;

                if (!text || hex_decode_exact(text, d, sizeof(d)) < 0)
                        return error_set(reterr, -EINVAL, "entry %zu is not 64 hexadecimal digits", i);
                r = digest_list_add(l, REGISTRATION_DIGESTS_MAX, d, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

int registration_keep(const Json *j, void *target, char **reterr) {
        (void) reterr;
        *(Json **) target = js_ref((Json *) j);
        return 0;
}

static int parse_hash(const Json *j, void *target, char **reterr) {
        const char *text = js_string_value(j);
        RegistrationHash *h = target;

        if (!text || hex_decode_exact(text, h->value, sizeof(h->value)) < 0)
                return error_set(reterr, -EINVAL, "expected a SHA-256 (64 hexadecimal digits)");
        h->given = true;
        return 0;
}

static int parse_scheme(const Json *j, void *target, char **reterr) {
        CocoMode mode = coco_mode_from_scheme(js_string_value(j));

        if (mode < 0)
                return error_set(reterr, -EINVAL, "unknown scheme");
        *(CocoMode *) target = mode;
        return 0;
}

static int parse_kind(const Json *j, void *target, char **reterr) {
        const char *text = js_string_value(j);

        if (!streq_ptr(text, "vm") && !streq_ptr(text, "image"))
                return error_set(reterr, -EINVAL, "expected vm or image");
        *(RegistrationKind *) target = streq(text, "image") ? REGISTRATION_IMAGE : REGISTRATION_VM;
        return 0;
}

static int parse_over_limit(const Json *j, void *target, char **reterr) {
        const char *text = js_string_value(j);

        if (!streq_ptr(text, "refuse") && !streq_ptr(text, "hold"))
                return error_set(reterr, -EINVAL, "expected refuse or hold");
        *(OverLimit *) target = streq(text, "hold") ? OVER_LIMIT_HOLD : OVER_LIMIT_REFUSE;
        return 0;
}

#define FIELD(name, type, member, mandatory)                                                                \
        { name, type, offsetof(Registration, member), mandatory, NULL }
#define CUSTOM(name, member, mandatory, parse)                                                              \
        { name, JS_FIELD_CUSTOM, offsetof(Registration, member), mandatory, parse }

static const JsField common[] = {
        CUSTOM("scheme", mode, true, parse_scheme),
        CUSTOM("kind", kind, false, parse_kind),
        FIELD("policy", JS_FIELD_U64, policy, true),
        FIELD("allow-debug", JS_FIELD_BOOL, allow_debug, false),
        CUSTOM("firmware-hashes", firmware, false, registration_parse_digests),
        CUSTOM("kernel-hash", kernel, false, parse_hash),
        CUSTOM("initrd-hash", initrd, false, parse_hash),
        CUSTOM("cmdline-hash", cmdline, false, parse_hash),
        FIELD("cpu-count", JS_FIELD_U64, cpu_count, false),
        FIELD("cpu-count-max", JS_FIELD_U64, cpu_count_max, false),
        CUSTOM("cpu-model", cpu_model, false, registration_keep),
        FIELD("max-instances", JS_FIELD_U64, max_instances, false),
        FIELD("instance-window", JS_FIELD_U64, instance_window, false),
        CUSTOM("over-limit", over_limit, false, parse_over_limit),
        FIELD("hold-seconds", JS_FIELD_U64, hold_seconds, false),
        CUSTOM("secrets", secrets, false, registration_keep),
        CUSTOM("description", description, false, registration_keep),
};

static int check_limits(Registration *r, const Json *j, char **reterr) {
        if (r->kind == REGISTRATION_IMAGE && !js_get(j, "max-instances"))
                return error_set(reterr, -EINVAL, "max-instances: required for an image");
        if (!js_get(j, "max-instances"))
                r->max_instances = 1;
        if (!js_get(j, "instance-window"))
                r->instance_window = WINDOW_DEFAULT;
        if (!js_get(j, "hold-seconds"))
                r->hold_seconds = HOLD_DEFAULT;
        if (r->max_instances == 0 || r->max_instances > 1000000)
                return error_set(reterr, -EINVAL, "max-instances: expected 1 to 1000000");
        if (r->instance_window == 0 || r->instance_window > WINDOW_MAX)
                return error_set(reterr, -EINVAL, "instance-window: expected 1 to %u seconds", WINDOW_MAX);
        if (r->hold_seconds < HOLD_MIN || r->hold_seconds > HOLD_MAX)
                return error_set(reterr, -EINVAL, "hold-seconds: expected %u to %u", HOLD_MIN, HOLD_MAX);
        return 0;
}

int registration_read(const Json *j, const JsField *own, size_t n_own, Registration *r, char **reterr) {
        JsField fields[FIELDS_MAX];
        size_t n = ELEMENTSOF(common);
        int k;

        assert(n + n_own <= ELEMENTSOF(fields));
        memcpy(fields, common, sizeof(common));
        memcpy(fields + n, own, n_own * sizeof(JsField));
        k = js_dispatch(j, fields, n + n_own, /* foreign= */ false, r, reterr);
        return k < 0 ? k : check_limits(r, j, reterr);
}

bool registration_firmware_suffices(const Registration *r) {
        return !coco_of(r->mode)->vcpus_measured && !r->kernel.given;
}

int registration_check_measured(const Registration *r, bool has_digests, bool per_vcpu, char **reterr) {
        if (!has_digests && r->firmware.n_items == 0)
                return error_set(reterr, -EINVAL,
                                "launch-digests or firmware-hashes: required, otherwise no launch would be accepted");
        if (r->kernel.given && r->firmware.n_items == 0)
                return error_set(reterr, -EINVAL,
                                "kernel-hash: requires firmware-hashes, since the firmware enforces it");
        if ((r->initrd.given || r->cmdline.given) && !r->kernel.given)
                return error_set(reterr, -EINVAL, "kernel-hash: required with initrd-hash or cmdline-hash");
        if (r->cpu_count > 0 && r->cpu_count_max > 0)
                return error_set(reterr, -EINVAL, "cpu-count, cpu-count-max: only one of them is allowed");
        if (r->cpu_count > REGISTRATION_CPU_COUNT_MAX || r->cpu_count_max > REGISTRATION_CPU_COUNT_MAX)
                return error_set(reterr, -EINVAL, "cpu-count: more than %u", REGISTRATION_CPU_COUNT_MAX);
        if (per_vcpu && r->firmware.n_items > 0 && r->cpu_count + r->cpu_count_max == 0)
                return error_set(reterr, -EINVAL,
                                "cpu-count or cpu-count-max: required, since the launch digest covers each vCPU");
        return 0;
}

static int add_digest(Json *list, const void *digest, size_t size) {
        return js_append(list, js_hex(digest, size));
}

int registration_computed_sev(const Registration *r, Json *list) {
        int k = 0;

        for (size_t i = 0; i < r->sev.computed.n_items && k >= 0; i++)
                k = add_digest(list, r->sev.computed.items[i], sizeof(Digest32));
        return k;
}

int registration_computed_snp(const Registration *r, Json *list) {
        int k = 0;

        for (size_t i = 0; i < r->snp.n_computed && k >= 0; i++)
                k = add_digest(list, r->snp.computed[i], sizeof(Digest48));
        return k;
}

static int set_computed(Json *o, const Registration *r) {
        const Scheme *s = r->scheme;
        _cleanup_js_ Json *list = js_array();
        int k;

        if (!s->computed)
                return 0;
        if (!list)
                return -ENOMEM;
        k = s->computed(r, list);
        if (k < 0 || js_length(list) == 0)
                return k;
        return js_set(o, "computed-digests", TAKE_PTR(list));
}

int registration_document(const Json *j, const Registration *r, char **ret) {
        _cleanup_js_ Json *o = js_object();
        char *text;

        if (!o)
                return -ENOMEM;
        for (void *i = js_iter(j); i; i = js_iter_next(j, i))
                if (!streq(js_iter_key(i), "secrets") &&
                                js_set(o, js_iter_key(i), js_ref((Json *) js_iter_value(i))) < 0)
                        return -ENOMEM;
        if (set_computed(o, r) < 0)
                return -ENOMEM;
        text = js_text(o, JS_SHORT);
        if (!text)
                return -ENOMEM;
        *ret = text;
        return 0;
}
