/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-registration.h"

#include <errno.h>
#include <string.h>

#include "attest-secret.h"
#include "crypto-hash.h"
#include "encode.h"
#include "error.h"
#include "sev-cert.h"
#include "strutil.h"

#define POLICY_NODBG       (1u << 0)
#define POLICY_ES          (1u << 2)
#define POLICY_RESERVED    0xffc0u
#define WINDOW_DEFAULT     3600u
#define WINDOW_MAX         (366u * 24 * 3600)
#define HOLD_DEFAULT       3600u
#define HOLD_MIN           60u
#define HOLD_MAX           (7u * 24 * 3600)
#define AREA_SIZE_DEFAULT  3072u /* OVMF: edk2 OvmfPkg/Include/Fdf/MemFd.fdf.inc */
#define FINGERPRINT_DIGITS 64u

void registration_done(Registration *r) {
        free(r->scheme);
        free(r->kind);
        free(r->over_limit);
        free(r->digests.items);
        free(r->firmware.items);
        free(r->computed.items);
        free(r->computed_snp);
        js_unref(r->cpu_model);
        free(r->vm_type);
        free(r->clouds.items);
        if (r->snp)
                snp_policy_done(r->snp);
        free(r->snp);
        js_unref(r->secrets);
        js_unref(r->description);
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

/* An owner's certificate in base64, or its SHA-256. */
static int parse_cloud(const char *text, Digest32 ret, char **reterr) {
        _cleanup_free_ uint8_t *data = NULL;
        _cleanup_free_ SevCert *c = NULL;
        size_t size;
        int r;

        if (!text)
                return error_set(reterr, -EINVAL,
                                "expected a certificate in base64, its SHA-256, or \"any\"");
        if (strlen(text) == FINGERPRINT_DIGITS && hex_decode_exact(text, ret, sizeof(Digest32)) >= 0)
                return 0;
        c = calloc(1, sizeof(SevCert));
        if (!c)
                return -ENOMEM;
        r = base64_decode(text, strlen(text), &data, &size);
        if (r >= 0)
                r = sev_cert_parse(data, size, c, reterr);
        if (r == -ENOMEM)
                return r;
        if (r < 0 || c->usage != SEV_USAGE_OCA)
                return error_set(reterr, -EINVAL,
                                "this is no OCA certificate in base64 and no SHA-256 of one");
        return hash_digest(HASH_SHA256, c->raw, SEV_CERT_SIZE, ret);
}

static int parse_clouds(const Json *j, void *target, char **reterr) {
        Registration *reg = (Registration *) ((char *) target - offsetof(Registration, clouds));
        size_t n = js_is_array(j) ? js_length(j) : 1;

        if (streq_ptr(js_string_value(j), "any")) {
                reg->any_cloud = true;
                return 0;
        }
        if (n == 0)
                return error_set(reterr, -EINVAL, "an empty list accepts no platform");
        for (size_t i = 0; i < n; i++) {
                Digest32 d;
                int r = parse_cloud(js_string_value(js_is_array(j) ? js_at(j, i) : j), d, reterr);

                if (r >= 0)
                        r = digest_list_add(&reg->clouds, REGISTRATION_CLOUDS_MAX, d, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_keep(const Json *j, void *target, char **reterr) {
        (void) reterr;
        *(Json **) target = js_ref((Json *) j);
        return 0;
}

int registration_parse_hash(const Json *j, void *target, char **reterr) {
        const char *text = js_string_value(j);
        RegistrationHash *h = target;

        if (!text || hex_decode_exact(text, h->value, sizeof(h->value)) < 0)
                return error_set(reterr, -EINVAL, "expected a SHA-256: 64 hexadecimal digits");
        h->given = true;
        return 0;
}

#define FIELD(name, type, member, mandatory)                                                                \
        { name, type, offsetof(Registration, member), mandatory, NULL }
#define CUSTOM(name, member, mandatory, parse)                                                              \
        { name, JS_FIELD_CUSTOM, offsetof(Registration, member), mandatory, parse }

static const JsField fields[] = {
        FIELD("scheme", JS_FIELD_STRING, scheme, true),
        FIELD("kind", JS_FIELD_STRING, kind, false),
        FIELD("policy", JS_FIELD_U64, policy, true),
        FIELD("allow-debug", JS_FIELD_BOOL, allow_debug, false),
        CUSTOM("launch-digests", digests, false, registration_parse_digests),
        CUSTOM("firmware-hashes", firmware, false, registration_parse_digests),
        CUSTOM("cloud-cert", clouds, true, parse_clouds),
        FIELD("max-instances", JS_FIELD_U64, max_instances, false),
        FIELD("instance-window", JS_FIELD_U64, instance_window, false),
        FIELD("over-limit", JS_FIELD_STRING, over_limit, false),
        FIELD("hold-seconds", JS_FIELD_U64, hold_seconds, false),
        FIELD("min-api-major", JS_FIELD_U64, min_api_major, false),
        FIELD("min-api-minor", JS_FIELD_U64, min_api_minor, false),
        FIELD("min-build", JS_FIELD_U64, min_build, false),
        FIELD("secret-area-size", JS_FIELD_U64, secret_area_size, false),
        CUSTOM("secrets", secrets, false, parse_keep),
        CUSTOM("description", description, false, parse_keep),
        FIELD("cpu-count", JS_FIELD_U64, cpu_count, false),
        FIELD("cpu-count-max", JS_FIELD_U64, cpu_count_max, false),
        CUSTOM("cpu-model", cpu_model, false, parse_keep),
        FIELD("vm-type", JS_FIELD_STRING, vm_type, false),
        CUSTOM("kernel-hash", kernel, false, registration_parse_hash),
        CUSTOM("initrd-hash", initrd, false, registration_parse_hash),
        CUSTOM("cmdline-hash", cmdline, false, registration_parse_hash),
        CUSTOM("computed-digests", computed, false, registration_parse_digests),
};

static int check_policy(const Registration *r, bool es, char **reterr) {
        if (r->policy > UINT32_MAX || r->policy & POLICY_RESERVED)
                return error_set(reterr, -EINVAL, "policy: bits 6 to 15 and above 31 must be zero");
        if (es != !!(r->policy & POLICY_ES))
                return error_set(reterr, -EINVAL, "policy: bit 2 (SEV-ES) must be %s with scheme %s",
                                es ? "set" : "clear", r->scheme);
        if (!(r->policy & POLICY_NODBG) && !r->allow_debug)
                return error_set(reterr, -EINVAL,
                                "policy: allows the host to read the guest's memory by debugging (bit 0 is "
                                "clear); "
                                "that needs \"allow-debug\": true");
        return 0;
}

int registration_check_limits(Registration *r, const Json *j, char **reterr) {
        bool image = streq_ptr(r->kind, "image");

        if (r->kind && !image && !streq(r->kind, "vm"))
                return error_set(reterr, -EINVAL, "kind: expected vm or image");
        if (image && !js_get(j, "max-instances"))
                return error_set(reterr, -EINVAL, "max-instances: an image needs an explicit number");
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
        if (r->over_limit && !streq(r->over_limit, "refuse") && !streq(r->over_limit, "hold"))
                return error_set(reterr, -EINVAL, "over-limit: expected refuse or hold");
        if (r->hold_seconds < HOLD_MIN || r->hold_seconds > HOLD_MAX)
                return error_set(reterr, -EINVAL, "hold-seconds: expected %u to %u", HOLD_MIN, HOLD_MAX);
        return 0;
}

bool registration_is_es(const Registration *r) {
        return streq(r->scheme, "amd-sev-es");
}

bool registration_firmware_suffices(const Registration *r) {
        return streq(r->scheme, "amd-sev") && !r->kernel.given;
}

int registration_check_measured(const Registration *r, bool has_digests, bool per_vcpu, char **reterr) {
        if (!has_digests && r->firmware.n_items == 0)
                return error_set(reterr, -EINVAL,
                                "launch-digests or firmware-hashes: missing; nothing would be accepted");
        if (r->kernel.given && r->firmware.n_items == 0)
                return error_set(reterr, -EINVAL,
                                "kernel-hash: says nothing without the firmware that enforces it: give "
                                "firmware-hashes");
        if ((r->initrd.given || r->cmdline.given) && !r->kernel.given)
                return error_set(reterr, -EINVAL,
                                "kernel-hash: missing, but there is a hash of initrd or command line");
        if (r->cpu_count > 0 && r->cpu_count_max > 0)
                return error_set(reterr, -EINVAL, "cpu-count, cpu-count-max: expected one of the two");
        if (r->cpu_count > REGISTRATION_CPU_COUNT_MAX || r->cpu_count_max > REGISTRATION_CPU_COUNT_MAX)
                return error_set(reterr, -EINVAL, "cpu-count: more than %u", REGISTRATION_CPU_COUNT_MAX);
        if (per_vcpu && r->firmware.n_items > 0 && r->cpu_count + r->cpu_count_max == 0)
                return error_set(reterr, -EINVAL,
                                "cpu-count or cpu-count-max: missing: the digest of a launch with this "
                                "firmware covers each vCPU");
        if (r->vm_type && !streq(r->vm_type, "new") && !streq(r->vm_type, "legacy") &&
                        !streq(r->vm_type, "any"))
                return error_set(reterr, -EINVAL, "vm-type: expected new, legacy or any");
        return 0;
}

static int check(Registration *r, const Json *j, bool with_secrets, char **reterr) {
        bool es = streq(r->scheme, "amd-sev-es");
        int k;

        if (!es && !streq(r->scheme, "amd-sev"))
                return error_set(reterr, -EINVAL,
                                "scheme: this service knows amd-sev, amd-sev-es and amd-sev-snp");
        k = check_policy(r, es, reterr);
        if (k < 0)
                return k;
        k = registration_check_measured(r, r->digests.n_items > 0, es, reterr);
        if (k < 0)
                return k;
        k = registration_check_limits(r, j, reterr);
        if (k < 0)
                return k;
        if (!js_get(j, "secret-area-size"))
                r->secret_area_size = AREA_SIZE_DEFAULT;
        if (r->min_api_major > 255 || r->min_api_minor > 255 || r->min_build > 255)
                return error_set(reterr, -EINVAL,
                                "min-api-major, min-api-minor, min-build: expected 0 to 255");
        if (with_secrets != !!r->secrets)
                return error_set(reterr, -EINVAL, "secrets: missing");
        return 0;
}

int registration_parse(const Json *j, bool with_secrets, Registration *ret, char **reterr) {
        _cleanup_(registration_done) Registration reg = {};
        int r;

        if (!js_is_object(j))
                return error_set(reterr, -EINVAL, "expected a JSON object");
        if (streq_ptr(js_string_value(js_get(j, "scheme")), "amd-sev-snp"))
                return registration_parse_snp(j, with_secrets, ret, reterr);
        r = js_dispatch(j, fields, ELEMENTSOF(fields), /* foreign= */ false, &reg, reterr);
        if (r >= 0)
                r = check(&reg, j, with_secrets, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(reg, (Registration) {});
        return 0;
}

static int set_digests(Json *o, const Registration *r) {
        _cleanup_js_ Json *list = js_array();

        if (r->computed.n_items + r->n_computed_snp == 0)
                return 0;
        if (!list)
                return -ENOMEM;
        FOREACH_ARRAY(d, r->computed.items, r->computed.n_items)
                if (js_append(list, js_hex(*d, sizeof(*d))) < 0)
                        return -ENOMEM;
        FOREACH_ARRAY(d, r->computed_snp, r->n_computed_snp)
                if (js_append(list, js_hex(*d, sizeof(*d))) < 0)
                        return -ENOMEM;
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
        if (set_digests(o, r) < 0)
                return -ENOMEM;
        text = js_text(o, JS_SHORT);
        if (!text)
                return -ENOMEM;
        *ret = text;
        return 0;
}

/* {"type": "luks-passphrase", "passphrase"} or {"guid", "data"}. */
static int read_secret(const Json *j, Guid *ret_guid, SecretBuf *ret, char **reterr) {
        const char *type = js_string_value(js_get(j, "type")), *guid = js_string_value(js_get(j, "guid"));
        const Json *phrase = js_get(j, "passphrase"), *data = js_get(j, "data");
        uint8_t *bytes = NULL;
        size_t size = 0;
        int r;

        if (!js_is_object(j))
                return error_set(reterr, -EINVAL, "expected an object");
        for (void *i = js_iter(j); i; i = js_iter_next(j, i)) {
                const char *key = js_iter_key(i);

                if (type ? !streq(key, "type") && !streq(key, "passphrase")
                         : !streq(key, "guid") && !streq(key, "data"))
                        return error_set(reterr, -EINVAL, "unknown member '%s'", key);
        }
        if (type) {
                if (!streq(type, "luks-passphrase") || !js_string_value(phrase))
                        return error_set(reterr, -EINVAL,
                                        "expected \"type\": \"luks-passphrase\" with a passphrase");
                r = secret_guid_from_alias("luks-key", ret_guid);
                return r < 0 ? r : secret_buf_copy(ret, js_string_value(phrase), js_string_length(phrase));
        }
        if (!guid || guid_parse(guid, ret_guid) < 0)
                return error_set(reterr, -EINVAL, "guid: expected a GUID");
        if (!js_string_value(data) ||
                        base64_decode(js_string_value(data), js_string_length(data), &bytes, &size) < 0)
                return error_set(reterr, -EINVAL, "data: expected base64");
        r = secret_buf_copy(ret, bytes, size);
        if (bytes)
                erase_memory(bytes, size);
        free(bytes);
        return r;
}

int registration_table(const Registration *reg, SecretBuf *ret, char **reterr) {
        _cleanup_(secret_table_done) SecretTable t = {};
        _cleanup_(secret_buf_done) SecretBuf built = {};
        int r;

        if (reg->snp)
                return registration_table_snp(reg, ret, reterr);
        if (!js_is_array(reg->secrets) || js_length(reg->secrets) == 0)
                return error_set(reterr, -EINVAL, "secrets: expected a list that is not empty");
        for (size_t i = 0; i < js_length(reg->secrets); i++) {
                _cleanup_(secret_buf_done) SecretBuf value = {};
                Guid guid;

                r = read_secret(js_at(reg->secrets, i), &guid, &value, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "secrets: entry %zu", i);
                r = secret_table_add(&t, &guid, &value);
                if (r == -EEXIST)
                        return error_set(
                                        reterr, -EINVAL, "secrets: entry %zu: its GUID was given before", i);
                if (r == -E2BIG)
                        return error_set(reterr, -EINVAL, "secrets: more than a guest can take");
                if (r < 0)
                        return r;
        }
        r = secret_table_build(&t, /* pad_always= */ false, &built);
        if (r < 0 && r != -E2BIG)
                return r;
        if (r == -E2BIG || built.size > reg->secret_area_size || built.size > SECRET_PACKET_SIZE_MAX)
                return error_set(reterr, -E2BIG,
                                "secrets: the table has %zu bytes, the guest's area for it %llu "
                                "(secret-area-size)",
                                built.size, (unsigned long long) reg->secret_area_size);
        *ret = TAKE_STRUCT(built, (SecretBuf) {});
        return 0;
}
