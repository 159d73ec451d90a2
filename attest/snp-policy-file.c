/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The policy file: one JSON object, members named as in go-sev-guest's check.proto. Bytes are hex; 64-bit masks are "0x..." strings or
 * numbers; a list stands for "any of these"; the word "any" waives a rule, except for measurement and report_data,
 * which are waived by "insecure_any_measurement": true and "insecure_any_report_data": true. */

#include <errno.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "snp-advisory.h"
#include "snp-policy.h"
#include "strutil.h"

#define SCHEMA "cvmspawn-snp-policy-1"

static bool is_any(const Json *j) {
        return streq_ptr(js_string_value(j), "any");
}

static int read_hex(SnpPolicy *p, SnpBytesField f, const Json *j, char **reterr) {
        const char *s = js_string_value(j);
        uint8_t value[64];

        assert(snp_field_size(f) <= sizeof(value));
        if (!s || strlen(s) != js_string_length(j) || hex_decode_exact(s, value, snp_field_size(f)) < 0)
                return error_set(reterr, -EINVAL,
                                "expected %zu bytes in hex (%zu digits), or a list of such",
                                snp_field_size(f), 2 * snp_field_size(f));
        return snp_policy_accept(p, f, value, reterr);
}

static int read_bytes(SnpPolicy *p, SnpBytesField f, const Json *j, char **reterr) {
        int r;

        if (is_any(j)) {
                if (f == SNP_FIELD_MEASUREMENT || f == SNP_FIELD_REPORT_DATA)
                        return error_set(reterr, -EINVAL,
                                        "'any' is not allowed; use \"insecure_any_%s\": true instead",
                                        snp_field_to_string(f));
                p->bytes[f].rule = SNP_RULE_ANY;
                return 0;
        }
        if (!js_is_array(j))
                return read_hex(p, f, j, reterr);
        if (js_length(j) == 0)
                return error_set(reterr, -EINVAL,
                                "an empty list would accept nothing; omit the member, or use \"any\"");
        for (size_t i = 0; i < js_length(j); i++) {
                r = read_hex(p, f, js_at(j, i), reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_u64(const Json *j, uint64_t max, uint64_t *ret, char **reterr) {
        const char *s = js_string_value(j);
        uint64_t v;

        if (s ? strlen(s) != js_string_length(j) || parse_u64(s, &v) < 0 : js_u64_value(j, &v) < 0)
                return error_set(reterr, -EINVAL, "expected a number, or one in a string (\"0x30000\")");
        if (v > max)
                return error_set(reterr, -EINVAL, "larger than the field can hold");
        *ret = v;
        return 0;
}

static int read_number(SnpNumberRule *rule, const Json *j, uint64_t max, char **reterr) {
        int r;

        if (is_any(j)) {
                rule->rule = SNP_RULE_ANY;
                return 0;
        }
        r = read_u64(j, max, &rule->value, reterr);
        if (r < 0)
                return r;
        rule->rule = SNP_RULE_SET;
        return 0;
}

static int read_bool(bool *ret, const Json *j, char **reterr) {
        return js_bool_value(j, ret) < 0 ? error_set(reterr, -EINVAL, "expected true or false") : 0;
}

/* {"bootloader": 4, "snp": 24, ...}: parts that are not named are 0, which every TCB reaches. */
static int read_tcb(SnpGeneration g, const Json *j, SnpTcb *ret, char **reterr) {
        SnpTcb t = {};
        bool any = false;

        if (!js_is_object(j))
                return error_set(reterr, -EINVAL, "expected an object of TCB parts");
        for (void *i = js_iter(j); i; i = js_iter_next(j, i)) {
                uint64_t v;
                int p, r;

                for (p = 0; p < _SNP_TCB_PART_MAX; p++)
                        if (streq(js_iter_key(i), snp_tcb_part_to_string((SnpTcbPart) p)))
                                break;
                if (p == _SNP_TCB_PART_MAX || !snp_generation_has_tcb_part(g, (SnpTcbPart) p))
                        return error_set(reterr, -EINVAL, "%s has no TCB part '%s'",
                                        snp_generation_product(g), js_iter_key(i));
                r = read_u64(js_iter_value(i), UINT8_MAX, &v, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "'%s'", js_iter_key(i));
                t.part[p] = (uint8_t) v;
                any = true;
        }
        if (!any)
                return error_set(reterr, -EINVAL, "'%s' names no TCB part, and so would accept every TCB",
                                snp_generation_to_string(g));
        *ret = t;
        return 0;
}

/* {GENERATION: {...}, ...} */
static int read_tcbs(SnpTcbRule *rule, const Json *j, char **reterr) {
        bool any = false;

        if (is_any(j)) {
                rule->rule = SNP_RULE_ANY;
                return 0;
        }
        if (!js_is_object(j))
                return error_set(reterr, -EINVAL, "expected an object with one member per generation (%s)",
                                values_text(SNP_GENERATION_NAMES).text);
        for (void *i = js_iter(j); i; i = js_iter_next(j, i)) {
                SnpGeneration g = snp_generation_from_string(js_iter_key(i));
                int r;

                if (g < 0)
                        return error_set(reterr, -EINVAL, "'%s' is not a processor generation",
                                        js_iter_key(i));
                r = read_tcb(g, js_iter_value(i), rule->minimum + g, reterr);
                if (r < 0)
                        return r;
                rule->given[g] = any = true;
        }
        if (!any)
                return error_set(reterr, -EINVAL,
                                "an empty object would accept nothing; omit the member, or use \"any\"");
        rule->rule = SNP_RULE_SET;
        return 0;
}

static int read_platform(SnpPolicy *p, const Json *j, char **reterr) {
        uint64_t mask, value;
        int r;

        if (is_any(j)) {
                p->platform_mask.rule = SNP_RULE_ANY;
                return 0;
        }
        if (!js_is_object(j) || !js_get(j, "mask") || !js_get(j, "value"))
                return error_set(reterr, -EINVAL, "expected {\"mask\": ..., \"value\": ...}");
        for (void *i = js_iter(j); i; i = js_iter_next(j, i))
                if (!streq(js_iter_key(i), "mask") && !streq(js_iter_key(i), "value"))
                        return error_set(reterr, -EINVAL, "unknown member '%s'", js_iter_key(i));
        r = read_u64(js_get(j, "mask"), UINT64_MAX, &mask, reterr);
        if (r < 0)
                return r;
        r = read_u64(js_get(j, "value"), UINT64_MAX, &value, reterr);
        if (r < 0)
                return r;
        if (value & ~mask)
                return error_set(reterr, -EINVAL, "the value has bits that the mask leaves out");
        p->platform_mask = (SnpNumberRule) { SNP_RULE_SET, mask };
        p->platform_value = value;
        return 0;
}

/* "1.55": two numbers from 0 to 255. */
static int read_version(SnpNumberRule *rule, const Json *j, char **reterr) {
        const char *s = js_string_value(j), *dot = s ? strchr(s, '.') : NULL;
        _cleanup_free_ char *major = NULL;
        uint64_t a, b;

        if (is_any(j)) {
                rule->rule = SNP_RULE_ANY;
                return 0;
        }
        if (!dot)
                return error_set(reterr, -EINVAL, "expected a version such as \"1.55\"");
        major = strndup(s, (size_t) (dot - s));
        if (!major)
                return -ENOMEM;
        if (parse_u64_max(major, UINT8_MAX, &a) < 0 || parse_u64_max(dot + 1, UINT8_MAX, &b) < 0)
                return error_set(reterr, -EINVAL, "expected a version such as \"1.55\"");
        *rule = (SnpNumberRule) { SNP_RULE_SET, a << 8 | b };
        return 0;
}

static int read_products(SnpPolicy *p, const Json *j, char **reterr) {
        uint64_t mask = 0;
        size_t n = js_is_array(j) ? js_length(j) : 1;

        if (is_any(j)) {
                p->products.rule = SNP_RULE_ANY;
                return 0;
        }
        for (size_t i = 0; i < n; i++) {
                const char *s = js_string_value(js_is_array(j) ? js_at(j, i) : j);
                SnpGeneration g = s ? snp_generation_from_string(s) : _SNP_GENERATION_INVALID;

                if (g < 0)
                        return error_set(reterr, -EINVAL, "expected %s, or a list of them",
                                        values_text(SNP_GENERATION_NAMES).text);
                mask |= UINT64_C(1) << g;
        }
        if (mask == 0)
                return error_set(reterr, -EINVAL, "an empty list would accept nothing");
        p->products = (SnpNumberRule) { SNP_RULE_SET, mask };
        return 0;
}

static int read_csp(SnpPolicy *p, const Json *j, char **reterr) {
        size_t n = js_is_array(j) ? js_length(j) : 1;

        if (is_any(j)) {
                p->csp_rule = SNP_RULE_ANY;
                return 0;
        }
        for (size_t i = 0; i < n; i++) {
                const char *s = js_string_value(js_is_array(j) ? js_at(j, i) : j);
                int r = s ? strv_push(&p->csp_ids, s)
                          : error_set(reterr, -EINVAL,
                                            "expected a provider's name as in the VLEK, or a list of them");

                if (r < 0)
                        return r;
        }
        if (!p->csp_ids)
                return error_set(reterr, -EINVAL, "an empty list would accept nothing");
        p->csp_rule = SNP_RULE_SET;
        return 0;
}

static int read_acknowledged(SnpPolicy *p, const Json *j, char **reterr) {
        size_t n = js_is_array(j) ? js_length(j) : 1;

        for (size_t i = 0; i < n; i++) {
                const char *s = js_string_value(js_is_array(j) ? js_at(j, i) : j);
                const SnpAdvisory *a = s ? snp_advisory_find(s) : NULL;
                int r = a ? strv_push(&p->acknowledged, a->name)
                          : error_set(reterr, -EINVAL,
                                            "expected names of advisories as 'report verify' prints them, not '%s'",
                                            s ?: "?");

                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_schema(const Json *j, char **reterr) {
        if (streq_ptr(js_string_value(j), SCHEMA))
                return 0;
        return error_set(reterr, -EINVAL, "expected \"%s\"", SCHEMA);
}

static int read_insecure(SnpPolicy *p, const char *name, const Json *j, char **reterr) {
        bool waive = false;
        int r;

        r = read_bool(&waive, j, reterr);
        if (r < 0 || !waive)
                return r;
        if (streq(name, "insecure_any_measurement"))
                snp_policy_accept_any_measurement_acknowledging_forgery(p);
        else
                snp_policy_accept_any_report_data_acknowledging_replay(p);
        return 0;
}

static int read_member(SnpPolicy *p, const char *name, const Json *j, char **reterr) {
        const struct {
                const char *name;
                SnpNumberRule *rule;
                uint64_t max;
        } numbers[] = {
                { "vmpl", &p->vmpl, 3 },
                { "policy", &p->guest_policy, UINT64_MAX },
                { "minimum_guest_svn", &p->minimum_guest_svn, UINT32_MAX },
                { "minimum_build", &p->minimum_build, UINT8_MAX },
                { "minimum_launch_mit_vector", &p->launch_mitigations, UINT64_MAX },
                { "minimum_current_mit_vector", &p->current_mitigations, UINT64_MAX },
                { "maximum_report_version", &p->maximum_report_version, UINT32_MAX },
        };
        const struct {
                const char *name;
                bool *flag;
        } flags[] = {
                { "allow_debug", &p->allow_debug },
                { "permit_provisional_firmware", &p->permit_provisional_firmware },
                { "require_id_block", &p->require_id_block },
                { "require_author_key", &p->require_author_key },
                { "require_chip_id", &p->require_chip_id },
                { "allow_migration_agent", &p->allow_migration_agent },
        };
        SnpBytesField f = snp_field_from_string(name);

        if (f >= 0)
                return read_bytes(p, f, j, reterr);
        FOREACH_ARRAY(n, numbers, ELEMENTSOF(numbers))
                if (streq(name, n->name))
                        return read_number(n->rule, j, n->max, reterr);
        FOREACH_ARRAY(b, flags, ELEMENTSOF(flags))
                if (streq(name, b->name))
                        return read_bool(b->flag, j, reterr);
        if (streq(name, "minimum_tcb"))
                return read_tcbs(&p->minimum_tcb, j, reterr);
        if (streq(name, "minimum_launch_tcb"))
                return read_tcbs(&p->minimum_launch_tcb, j, reterr);
        if (streq(name, "minimum_version"))
                return read_version(&p->minimum_version, j, reterr);
        if (streq(name, "platform_info"))
                return read_platform(p, j, reterr);
        if (streq(name, "product"))
                return read_products(p, j, reterr);
        if (streq(name, "csp_id"))
                return read_csp(p, j, reterr);
        if (streq(name, "acknowledged_advisories"))
                return read_acknowledged(p, j, reterr);
        if (streq(name, "schema"))
                return read_schema(j, reterr);
        if (streq(name, "insecure_any_measurement") || streq(name, "insecure_any_report_data"))
                return read_insecure(p, name, j, reterr);
        if (streq(name, "description"))
                return js_string_value(j) ? 0 : error_set(reterr, -EINVAL, "expected a text");
        return error_set(reterr, -EINVAL, "unknown member");
}

int snp_policy_read(const Json *j, SnpPolicy *p, char **reterr) {
        if (!js_is_object(j))
                return error_set(reterr, -EINVAL, "expected a JSON object");
        if (!js_get(j, "schema"))
                return error_set(reterr, -EINVAL, "member 'schema' is missing; expected \"%s\"", SCHEMA);
        for (void *i = js_iter(j); i; i = js_iter_next(j, i)) {
                int r = read_member(p, js_iter_key(i), js_iter_value(i), reterr);

                if (r < 0)
                        return error_prefix(reterr, r, "member '%s'", js_iter_key(i));
        }
        return 0;
}
