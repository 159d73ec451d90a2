/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A registration for SEV-SNP: launch digests, the guest policy, what else a report must say (in the format of
 * `cvmspawn report verify --policy=`), and secrets with the names under which the guest finds them. */

#include <errno.h>
#include <string.h>

#include "attestd-scheme.h"
#include "encode.h"
#include "error.h"
#include "guest-policy.h"
#include "snp-report.h"
#include "strutil.h"

#define SECRETS_SIZE_MAX                                                                                    \
        32768u /* of the JSON: the answer with it stays within what hosts and guests read at once */
#define SECRETS_MAX   256u /* PID 1 of systemd takes 1024 names, and 1 MiB */
#define NAME_SIZE_MAX 128u

#define GUEST_FEATURES_DEFAULT 0x1u /* SNPActive, as KVM sets it */
#define POLICY_SCHEMA          "cvmspawn-snp-policy-1"

/* What is read before it is understood. The registration is the first member, so that the common members find their place. */
typedef struct Raw {
        Registration reg;
        Json *digests, *computed, *report_policy; /* owned */
} Raw;
static_assert(offsetof(Raw, reg) == 0, "common members are read into it");

static void raw_done(Raw *r) {
        registration_done(&r->reg);
        js_unref(r->digests);
        js_unref(r->computed);
        js_unref(r->report_policy);
}

#define KEEP(name, member, mandatory)                                                                       \
        { name, JS_FIELD_CUSTOM, offsetof(Raw, member), mandatory, registration_keep }

static const JsField fields[] = {
        KEEP("launch-digests", digests, false),
        { "guest-features", JS_FIELD_U64, offsetof(Raw, reg.snp.guest_features), false, NULL },
        KEEP("computed-digests", computed, false),
        KEEP("report-policy", report_policy, true),
};

static int check_policy(const Registration *r, char **reterr) {
        if (!(r->policy & SNP_POLICY_RESERVED_ONE) || r->policy & SNP_POLICY_RESERVED_ZERO)
                return error_set(reterr, -EINVAL, "policy: bit 17 must be set, bits 26 to 63 clear");
        if (r->policy & SNP_POLICY_DEBUG && !r->allow_debug)
                return error_set(reterr, -EINVAL,
                                "policy: allows the host to read the guest's memory with the debug interface (bit 19 is set); add \"allow-debug\": "
                                "true to accept that");
        return 0;
}

static int add_digests(const Json *j, SnpPolicy *p, char **reterr) {
        if (!js_is_array(j) || js_length(j) == 0)
                return error_set(reterr, -EINVAL, "launch-digests: expected a list of SHA-384 digests");
        if (js_length(j) > REGISTRATION_DIGESTS_MAX)
                return error_set(reterr, -EINVAL, "launch-digests: more than %u values",
                                REGISTRATION_DIGESTS_MAX);
        for (size_t i = 0; i < js_length(j); i++) {
                const char *text = js_string_value(js_at(j, i));
                uint8_t d[48];
                int r;

                if (!text || hex_decode_exact(text, d, sizeof(d)) < 0)
                        return error_set(reterr, -EINVAL,
                                        "launch-digests: entry %zu is not 96 hexadecimal digits", i);
                r = snp_policy_accept(p, SNP_FIELD_MEASUREMENT, d, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The object is a policy file; its schema may be left out. The owner cannot set what binds the report to the launch. */
static int read_report_policy(const Json *j, SnpPolicy *p, char **reterr) {
        static const char *const ours[] = { "measurement", "report_data", "insecure_any_measurement",
                "insecure_any_report_data", "policy", "allow_debug" };
        _cleanup_js_ Json *whole = js_object();
        int r = 0;

        if (!js_is_object(j))
                return error_set(reterr, -EINVAL,
                                "report-policy: expected an object with at least \"minimum_tcb\"");
        FOREACH_ARRAY(name, ours, ELEMENTSOF(ours))
                if (js_get(j, *name))
                        return error_set(reterr, -EINVAL,
                                        "report-policy: '%s' is not allowed here; it follows from launch-digests, policy, allow-debug and the conversation",
                                        *name);
        if (!js_get(j, "minimum_tcb"))
                return error_set(reterr, -EINVAL,
                                "report-policy: minimum_tcb is required: the oldest accepted firmware of each generation, or \"any\"");
        r = whole ? js_set(whole, "schema", js_string(POLICY_SCHEMA)) : -ENOMEM;
        for (void *i = js_iter(j); r >= 0 && i; i = js_iter_next(j, i))
                r = js_set(whole, js_iter_key(i), js_ref((Json *) js_iter_value(i)));
        if (r >= 0)
                r = snp_policy_read(whole, p, reterr);
        return r < 0 ? error_prefix(reterr, r, "report-policy") : 0;
}

static int make_policy(const Raw *raw, SnpPolicy *p, char **reterr) {
        int r;

        snp_policy_init(p);
        p->guest_policy = (SnpNumberRule) { SNP_RULE_SET, raw->reg.policy };
        p->allow_debug = raw->reg.allow_debug && raw->reg.policy & SNP_POLICY_DEBUG;
        r = raw->digests ? add_digests(raw->digests, p, reterr) : 0;
        if (r >= 0 && raw->computed)
                r = add_digests(raw->computed, p, reterr);
        return r < 0 ? r : read_report_policy(raw->report_policy, p, reterr);
}

int registration_parse_snp(
                const Json *j, const Scheme *scheme, bool with_secrets, Registration *ret, char **reterr) {
        _cleanup_(raw_done) Raw raw = { .reg.mode = scheme->mode, .reg.scheme = scheme };
        int r = registration_read(j, fields, ELEMENTSOF(fields), &raw.reg, reterr);

        if (r >= 0)
                r = check_policy(&raw.reg, reterr);
        if (r >= 0)
                r = registration_check_measured(&raw.reg, raw.digests, /* per_vcpu= */ true, reterr);
        if (r < 0)
                return r;
        if (!js_get(j, "guest-features"))
                raw.reg.snp.guest_features = GUEST_FEATURES_DEFAULT;
        if (with_secrets != !!raw.reg.secrets)
                return error_set(reterr, -EINVAL, "secrets: missing");
        raw.reg.secret_area_size = SECRETS_SIZE_MAX;
        raw.reg.snp.policy = calloc(1, sizeof(SnpPolicy));
        if (!raw.reg.snp.policy)
                return -ENOMEM;
        r = make_policy(&raw, raw.reg.snp.policy, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(raw.reg, (Registration) {});
        return 0;
}

/* A file's name in the guest, and nothing else. */
static bool name_valid(const char *s) {
        size_t n = s ? strlen(s) : 0;

        return n > 0 && n <= NAME_SIZE_MAX && s[0] != '.' &&
                        strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@:-") ==
                        n;
}

static int check_base64(const Json *j, char **reterr) {
        uint8_t *bytes = NULL;
        size_t n = 0;
        int r = js_string_value(j) ? base64_decode(js_string_value(j), js_string_length(j), &bytes, &n)
                                   : -EINVAL;

        if (bytes)
                erase_memory(bytes, n);
        free(bytes);
        return r == -EINVAL ? error_set(reterr, r, "data: expected base64") : r;
}

static int check_members(const Json *j, const char *const names[static 3], char **reterr) {
        for (void *i = js_iter(j); i; i = js_iter_next(j, i)) {
                const char *key = js_iter_key(i);

                if (!streq(key, names[0]) && !streq(key, names[1]) && !streq(key, names[2]))
                        return error_set(reterr, -EINVAL, "unknown member '%s'", key);
        }
        return 0;
}

/* {"type": "credential", "name", "data"}, {"type": "luks-passphrase", "passphrase", "name"?}, {"guid", "data"} */
static int check_secret(const Json *j, char **reterr) {
        static const char *const credential[] = { "type", "name", "data" },
                                 *const luks[] = { "type", "name", "passphrase" },
                                 *const by_guid[] = { "guid", "data", "data" };
        const char *type = js_string_value(js_get(j, "type")), *name = js_string_value(js_get(j, "name"));
        Guid guid;
        int r;

        if (!js_is_object(j))
                return error_set(reterr, -EINVAL, "expected an object");
        if (streq_ptr(type, "credential")) {
                if (!name_valid(name))
                        return error_set(reterr, -EINVAL, "name: expected 1 to %u letters, digits or ._@:-",
                                        NAME_SIZE_MAX);
                r = check_base64(js_get(j, "data"), reterr);
                return r < 0 ? r : check_members(j, credential, reterr);
        }
        if (streq_ptr(type, "luks-passphrase")) {
                if (!js_string_value(js_get(j, "passphrase")))
                        return error_set(reterr, -EINVAL, "passphrase: missing");
                if (js_get(j, "name") && !name_valid(name))
                        return error_set(reterr, -EINVAL, "name: expected the name of a volume");
                return check_members(j, luks, reterr);
        }
        if (js_get(j, "type"))
                return error_set(reterr, -EINVAL, "type: expected credential or luks-passphrase");
        if (!js_string_value(js_get(j, "guid")) || guid_parse(js_string_value(js_get(j, "guid")), &guid) < 0)
                return error_set(reterr, -EINVAL, "guid: expected a GUID");
        r = check_base64(js_get(j, "data"), reterr);
        return r < 0 ? r : check_members(j, by_guid, reterr);
}

int registration_table_snp(const Registration *reg, SecretBuf *ret, char **reterr) {
        _cleanup_js_ Json *whole = js_object();
        size_t n = js_is_array(reg->secrets) ? js_length(reg->secrets) : 0, size;
        char *text;
        int r;

        if (n == 0 || n > SECRETS_MAX)
                return error_set(reterr, -EINVAL, "secrets: expected a list of 1 to %u", SECRETS_MAX);
        for (size_t i = 0; i < n; i++) {
                r = check_secret(js_at(reg->secrets, i), reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "secrets: entry %zu", i);
        }
        r = whole ? js_set(whole, "secrets", js_ref(reg->secrets)) : -ENOMEM;
        text = r >= 0 ? js_text(whole, JS_SHORT) : NULL;
        if (!text)
                return -ENOMEM;
        size = strlen(text);
        r = size > SECRETS_SIZE_MAX
                        ? error_set(reterr, -E2BIG, "secrets: %zu bytes as JSON; the maximum is %u", size,
                                          SECRETS_SIZE_MAX)
                        : secret_buf_copy(ret, text, size);
        erase_string_free(text);
        return r;
}
