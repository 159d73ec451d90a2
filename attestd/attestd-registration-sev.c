/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A registration for SEV or SEV-ES: launch digests, the platforms' owners and firmware, and secrets in the table that the secure processor
 * puts into the guest. */

#include <errno.h>
#include <string.h>

#include "attest-secret.h"
#include "attestd-scheme.h"
#include "crypto-hash.h"
#include "encode.h"
#include "error.h"
#include "guest-policy.h"
#include "sev-cert.h"
#include "strutil.h"

#define AREA_SIZE_DEFAULT  3072u /* OVMF: edk2 OvmfPkg/Include/Fdf/MemFd.fdf.inc */
#define FINGERPRINT_DIGITS 64u

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
                                "not an OCA certificate in base64, and not the SHA-256 of one");
        return hash_digest(HASH_SHA256, c->raw, SEV_CERT_SIZE, ret);
}

static int parse_clouds(const Json *j, void *target, char **reterr) {
        RegistrationSev *sev = (RegistrationSev *) ((char *) target - offsetof(RegistrationSev, clouds));
        size_t n = js_is_array(j) ? js_length(j) : 1;

        if (streq_ptr(js_string_value(j), "any")) {
                sev->any_cloud = true;
                return 0;
        }
        if (n == 0)
                return error_set(reterr, -EINVAL, "an empty list accepts no platform");
        for (size_t i = 0; i < n; i++) {
                Digest32 d;
                int r = parse_cloud(js_string_value(js_is_array(j) ? js_at(j, i) : j), d, reterr);

                if (r >= 0)
                        r = digest_list_add(&sev->clouds, REGISTRATION_CLOUDS_MAX, d, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_vm_types(const Json *j, void *target, char **reterr) {
        static const char *const names[] = {
                [VM_TYPES_ANY] = "any",
                [VM_TYPES_NEW] = "new",
                [VM_TYPES_LEGACY] = "legacy",
        };
        static_assert(ELEMENTSOF(names) == _VM_TYPES_MAX, "every type has a name");

        for (VmTypes t = 0; t < _VM_TYPES_MAX; t++)
                if (streq_ptr(js_string_value(j), names[t])) {
                        *(VmTypes *) target = t;
                        return 0;
                }
        return error_set(reterr, -EINVAL, "expected new, legacy or any");
}

#define FIELD(name, type, member, mandatory)                                                                \
        { name, type, offsetof(Registration, member), mandatory, NULL }
#define CUSTOM(name, member, mandatory, parse)                                                              \
        { name, JS_FIELD_CUSTOM, offsetof(Registration, member), mandatory, parse }

static const JsField fields[] = {
        CUSTOM("launch-digests", sev.digests, false, registration_parse_digests),
        CUSTOM("cloud-cert", sev.clouds, true, parse_clouds),
        FIELD("min-api-major", JS_FIELD_U64, sev.min_api_major, false),
        FIELD("min-api-minor", JS_FIELD_U64, sev.min_api_minor, false),
        FIELD("min-build", JS_FIELD_U64, sev.min_build, false),
        FIELD("secret-area-size", JS_FIELD_U64, secret_area_size, false),
        CUSTOM("vm-type", sev.vm_types, false, parse_vm_types),
        CUSTOM("computed-digests", sev.computed, false, registration_parse_digests),
};

static int check_policy(const Registration *r, char **reterr) {
        bool es = coco_of(r->mode)->policy.set & SEV_POLICY_ES;

        if (r->policy > SEV_POLICY_MAX || r->policy & SEV_POLICY_RESERVED_ZERO)
                return error_set(reterr, -EINVAL, "policy: bits 6 to 15 and above 31 must be zero");
        if (es != !!(r->policy & SEV_POLICY_ES))
                return error_set(reterr, -EINVAL, "policy: bit 2 (SEV-ES) must be %s with scheme %s",
                                es ? "set" : "clear", registration_scheme(r));
        if (coco_policy_allows_debug(coco_of(r->mode), r->policy) && !r->allow_debug)
                return error_set(reterr, -EINVAL,
                                "policy: allows the host to read the guest's memory with the debug interface (bit 0 is clear); add \"allow-debug\": "
                                "true to accept that");
        return 0;
}

int registration_parse_sev(
                const Json *j, const Scheme *scheme, bool with_secrets, Registration *ret, char **reterr) {
        _cleanup_(registration_done) Registration reg = { .mode = scheme->mode, .scheme = scheme };
        int r = registration_read(j, fields, ELEMENTSOF(fields), &reg, reterr);

        if (r >= 0)
                r = check_policy(&reg, reterr);
        if (r >= 0)
                r = registration_check_measured(&reg, reg.sev.digests.n_items > 0,
                                coco_of(reg.mode)->vcpus_measured, reterr);
        if (r < 0)
                return r;
        if (!js_get(j, "secret-area-size"))
                reg.secret_area_size = AREA_SIZE_DEFAULT;
        if (reg.sev.min_api_major > 255 || reg.sev.min_api_minor > 255 || reg.sev.min_build > 255)
                return error_set(reterr, -EINVAL,
                                "min-api-major, min-api-minor, min-build: expected 0 to 255");
        if (with_secrets != !!reg.secrets)
                return error_set(reterr, -EINVAL, "secrets: missing");
        *ret = TAKE_STRUCT(reg, (Registration) {});
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

int registration_table_sev(const Registration *reg, SecretBuf *ret, char **reterr) {
        _cleanup_(secret_table_done) SecretTable t = {};
        _cleanup_(secret_buf_done) SecretBuf built = {};
        int r;

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
                        return error_set(reterr, -EINVAL, "secrets: entry %zu: duplicate GUID", i);
                if (r == -E2BIG)
                        return error_set(reterr, -EINVAL, "secrets: too large for a guest");
                if (r < 0)
                        return r;
        }
        r = secret_table_build(&t, /* pad_always= */ false, &built);
        if (r < 0 && r != -E2BIG)
                return r;
        if (r == -E2BIG || built.size > reg->secret_area_size || built.size > SECRET_PACKET_SIZE_MAX)
                return error_set(reterr, -E2BIG,
                                "secrets: the table is %zu bytes, the guest's area for it %llu (secret-area-size)",
                                built.size, (unsigned long long) reg->secret_area_size);
        *ret = TAKE_STRUCT(built, (SecretBuf) {});
        return 0;
}
