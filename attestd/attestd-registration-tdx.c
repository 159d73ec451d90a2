/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A registration for Intel TDX: the registers of accepted launches, in a list or as a reference bundle of `cvmspawn refs`; the attributes of the TD; and what else a
 * quote must say (in the format of `cvmspawn report verify --policy=`). Secrets are those of SEV-SNP. */

#include <errno.h>
#include <string.h>

#include "attestd-scheme.h"
#include "encode.h"
#include "error.h"
#include "refs-registers.h"
#include "strutil.h"

#define SECRETS_SIZE_MAX 32768u /* as for SEV-SNP */
#define LAUNCHES_MAX     256u
#define POLICY_SCHEMA    "cvmspawn-tdx-policy-1"

typedef struct Raw {
        Registration reg;
        Json *launches, *bundle, *report_policy; /* owned */
} Raw;
static_assert(offsetof(Raw, reg) == 0, "common members are read into it");

static void raw_done(Raw *r) {
        registration_done(&r->reg);
        js_unref(r->launches);
        js_unref(r->bundle);
        js_unref(r->report_policy);
}

#define KEEP(name, member, mandatory)                                                                       \
        { name, JS_FIELD_CUSTOM, offsetof(Raw, member), mandatory, registration_keep }

static const JsField fields[] = {
        KEEP("launch-registers", launches, false),
        KEEP("reference-bundle", bundle, false),
        KEEP("report-policy", report_policy, false),
};

/* Common members about what is measured with AMD's technologies. */
static const char *const foreign[] = { "firmware-hashes", "kernel-hash", "initrd-hash", "cmdline-hash",
        "cpu-count", "cpu-count-max", "cpu-model" };

static int check_common(const Json *j, const Registration *r, char **reterr) {
        const Coco *tdx = coco_of(r->mode);

        FOREACH_ARRAY(name, foreign, ELEMENTSOF(foreign))
                if (js_get(j, *name))
                        return error_set(reterr, -EINVAL,
                                        "%s: not supported with %s; compute the registers with 'cvmspawn measure', and give them in launch-registers",
                                        *name, tdx->scheme);
        if (!coco_policy_fits(tdx, r->policy))
                return error_set(reterr, -EINVAL, "policy: %s", tdx->policy.wrong);
        if (coco_policy_allows_debug(tdx, r->policy) && !r->allow_debug)
                return error_set(reterr, -EINVAL,
                                "policy: allows the host to read the guest's memory (DEBUG is set); add \"allow-debug\": true to accept that");
        return 0;
}

/* --- launches ------------------------------------------------------------------------------------------------------------ */

static int add_registers(RegistrationTdx *t, const TdRegisters *r, char **reterr) {
        TdRegisters *list;

        if (t->n_registers >= LAUNCHES_MAX)
                return error_set(reterr, -EINVAL, "more than %u launches", LAUNCHES_MAX);
        list = reallocarray(t->registers, t->n_registers + 1, sizeof(TdRegisters));
        if (!list)
                return -ENOMEM;
        t->registers = list;
        list[t->n_registers++] = *r;
        return 0;
}

static int read_host_credentials(const char *text, TdRegisters *r, char **reterr) {
        r->host_credentials = text ? td_host_credentials_from_string(text) : _TD_HOST_CREDENTIALS_INVALID;
        return r->host_credentials > TD_HOST_CREDENTIALS_UNKNOWN
                        ? 0
                        : error_set(reterr, -EINVAL,
                                          "host-credentials: expected ignored, rtmr0 or imported");
}

/* {"measurement", "rtmr0", "rtmr1", "rtmr2"}, in hexadecimal; any that the report policy waives may be left out. And "host-credentials", as `cvmspawn
 * measure --json` prints it. */
static int read_launch(const Json *j, TdRegisters *ret, char **reterr) {
        TdRegisters r = {};

        if (!js_is_object(j))
                return error_set(reterr, -EINVAL, "expected an object");
        for (void *i = js_iter(j); i; i = js_iter_next(j, i)) {
                const char *hex = js_string_value(js_iter_value(i));
                size_t k = 0;

                if (streq(js_iter_key(i), "host-credentials")) {
                        int known = read_host_credentials(hex, &r, reterr);

                        if (known < 0)
                                return known;
                        continue;
                }

                while (k < TD_REGISTERS && !streq(js_iter_key(i), td_field_to_string(td_register_field(k))))
                        k++;
                if (k == TD_REGISTERS)
                        return error_set(reterr, -EINVAL,
                                        "unknown member '%s'; expected measurement, rtmr0, rtmr1, rtmr2 and host-credentials",
                                        js_iter_key(i));
                if (!hex || hex_decode_exact(hex, r.values[k], sizeof(r.values[k])) < 0)
                        return error_set(reterr, -EINVAL, "%s: expected 96 hexadecimal digits",
                                        js_iter_key(i));
                r.has[k] = true;
        }
        if (!r.has[0])
                return error_set(reterr, -EINVAL, "measurement: required (MRTD)");
        *ret = r;
        return 0;
}

static int read_launches(const Json *j, RegistrationTdx *t, char **reterr) {
        if (!js_is_array(j) || js_length(j) == 0)
                return error_set(reterr, -EINVAL, "launch-registers: expected a list of objects");
        for (size_t i = 0; i < js_length(j); i++) {
                TdRegisters one;
                int r = read_launch(js_at(j, i), &one, reterr);

                if (r >= 0)
                        r = add_registers(t, &one, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "launch-registers: entry %zu", i);
        }
        return 0;
}

/* The owner has identified to the service: the bundle needs no further signature here. */
static int read_bundle(const Json *j, RegistrationTdx *t, char **reterr) {
        _cleanup_(refs_bundle_done) RefsBundle b = {};
        int r = refs_bundle_from_json(j, &b, reterr);

        FOREACH_ARRAY(l, b.launches, b.n_launches) {
                TdRegisters one;

                if (r >= 0 && refs_launch_registers(l, &one))
                        r = add_registers(t, &one, reterr);
        }
        if (r >= 0 && t->n_registers == t->n_listed)
                r = error_set(reterr, -EINVAL, "it has no launch of a TD");
        t->expires = b.expires;
        return r == -EBADMSG || r == -EINVAL ? error_prefix(reterr, -EINVAL, "reference-bundle") : r;
}

/* --- policy -------------------------------------------------------------------------------------------------------------- */

/* The object is a policy file; its schema may be left out. What the registers and the conversation decide about is not the policy's. */
static int read_report_policy(const Json *j, TdPolicy *p, char **reterr) {
        static const char *const ours[] = { "measurement", "report_data", "insecure_any_measurement",
                "insecure_any_report_data", "allow_debug" };
        _cleanup_js_ Json *whole = js_object();
        int r;

        if (!js_is_object(j))
                return error_set(reterr, -EINVAL, "report-policy: expected an object");
        FOREACH_ARRAY(name, ours, ELEMENTSOF(ours))
                if (js_get(j, *name))
                        return error_set(reterr, -EINVAL,
                                        "report-policy: '%s' is not allowed here; it follows from launch-registers, policy, allow-debug and the conversation",
                                        *name);
        r = whole ? js_set(whole, "schema", js_string(POLICY_SCHEMA)) : -ENOMEM;
        for (void *i = js_iter(j); r >= 0 && i; i = js_iter_next(j, i))
                r = js_set(whole, js_iter_key(i), js_ref((Json *) js_iter_value(i)));
        if (r >= 0)
                r = td_policy_read(whole, p, reterr);
        return r < 0 ? error_prefix(reterr, r, "report-policy") : 0;
}

/* Every launch must say something of every register that the policy does not decide about. */
static int check_decided(const RegistrationTdx *t, char **reterr) {
        for (size_t i = 0; i < t->n_registers; i++) {
                TdPolicy together = *t->policy;
                int r;

                td_registers_expect(t->registers + i, &together);
                together.bytes[TD_FIELD_REPORT_DATA].rule = SNP_RULE_ANY;
                for (size_t k = 0; k < TD_REGISTERS; k++)
                        if (together.bytes[td_register_field(k)].rule == SNP_RULE_UNSET)
                                return error_set(reterr, -EINVAL,
                                                "launch %zu: %s is missing; MRTD covers the firmware only: add it, or waive it with \"report-policy\": {\"%s\": \"any\"}",
                                                i, td_field_to_string(td_register_field(k)),
                                                td_field_to_string(td_register_field(k)));
                r = td_policy_decided(&together, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "report-policy");
                if (!together.allow_host_credentials && !td_registers_shielded(t->registers + i, t->policy))
                        return error_set(reterr, -EINVAL,
                                        "launch %zu: host-credentials: expected \"ignored\", or \"rtmr0\" with that register and rtmr2, as 'cvmspawn measure --json' prints for a launch that its host cannot give credentials unseen; or accept others with \"report-policy\": {\"allow_host_credentials\": true}",
                                        i);
        }
        return 0;
}

static int make_rules(const Raw *raw, RegistrationTdx *t, char **reterr) {
        int r = 0;

        t->policy = calloc(1, sizeof(TdPolicy));
        if (!t->policy)
                return -ENOMEM;
        td_policy_init(t->policy);
        t->policy->allow_debug = raw->reg.allow_debug &&
                        coco_policy_allows_debug(coco_of(raw->reg.mode), raw->reg.policy);
        if (!raw->launches && !raw->bundle)
                return error_set(reterr, -EINVAL,
                                "launch-registers or reference-bundle: required, otherwise no launch would be accepted");
        if (raw->launches)
                r = read_launches(raw->launches, t, reterr);
        t->n_listed = t->n_registers;
        if (r >= 0 && raw->bundle)
                r = read_bundle(raw->bundle, t, reterr);
        if (r >= 0 && raw->report_policy)
                r = read_report_policy(raw->report_policy, t->policy, reterr);
        return r < 0 ? r : check_decided(t, reterr);
}

void registration_done_tdx(Registration *r) {
        if (r->tdx.policy)
                td_policy_done(r->tdx.policy);
        free(r->tdx.policy);
        free(r->tdx.registers);
}

int registration_parse_tdx(
                const Json *j, const Scheme *scheme, bool with_secrets, Registration *ret, char **reterr) {
        _cleanup_(raw_done) Raw raw = { .reg.mode = scheme->mode, .reg.scheme = scheme };
        int r = registration_read(j, fields, ELEMENTSOF(fields), &raw.reg, reterr);

        if (r >= 0)
                r = check_common(j, &raw.reg, reterr);
        if (r < 0)
                return r;
        if (with_secrets != !!raw.reg.secrets)
                return error_set(reterr, -EINVAL, "secrets: missing");
        raw.reg.secret_area_size = SECRETS_SIZE_MAX;
        r = make_rules(&raw, &raw.reg.tdx, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(raw.reg, (Registration) {});
        return 0;
}
