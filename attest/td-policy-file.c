/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The policy file for quotes: as the one for SNP reports (snp-policy-file.c), with the members that a TD has. */

#include <errno.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "strutil.h"
#include "td-policy.h"

#define SCHEMA "cvmspawn-tdx-policy-1"

static const char *text_of(const Json *j) {
        const char *s = js_string_value(j);

        return s && strlen(s) == js_string_length(j) ? s : NULL;
}

static int read_value(TdPolicy *p, TdField f, const Json *j, char **reterr) {
        const char *s = text_of(j);
        uint8_t value[64];

        assert(td_field_size(f) <= sizeof(value));
        if (!s || hex_decode_exact(s, value, td_field_size(f)) < 0)
                return error_set(reterr, -EINVAL,
                                "expected %zu bytes in hex (%zu digits), or a list of such",
                                td_field_size(f), 2 * td_field_size(f));
        return td_policy_accept(p, f, value, reterr);
}

static int read_status(TdPolicy *p, TdField f, const Json *j, char **reterr) {
        (void) f;
        return td_policy_accept_status(p, text_of(j) ?: "", reterr);
}

static int read_xfam(TdPolicy *p, TdField f, const Json *j, char **reterr) {
        (void) f;
        return td_policy_accept_xfam(p, text_of(j) ?: "", reterr);
}

/* A value, or a list of values. */
static int read_list(TdPolicy *p, TdField f, const Json *j,
                int (*read)(TdPolicy *, TdField, const Json *, char **), char **reterr) {
        if (!js_is_array(j))
                return read(p, f, j, reterr);
        if (js_length(j) == 0)
                return error_set(reterr, -EINVAL, "an empty list would accept nothing; omit the member");
        for (size_t i = 0; i < js_length(j); i++) {
                int r = read(p, f, js_at(j, i), reterr);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_bool(bool *ret, const Json *j, char **reterr) {
        return js_bool_value(j, ret) < 0 ? error_set(reterr, -EINVAL, "expected true or false") : 0;
}

static int read_insecure(TdPolicy *p, void (*waive)(TdPolicy *), const Json *j, char **reterr) {
        bool yes = false;
        int r = read_bool(&yes, j, reterr);

        if (r == 0 && yes)
                waive(p);
        return r;
}

static int read_member(TdPolicy *p, const char *name, const Json *j, char **reterr) {
        TdField f = td_field_from_string(name);

        if (f >= 0 && streq_ptr(js_string_value(j), "any"))
                return td_policy_waive(p, f, reterr);
        if (f >= 0)
                return read_list(p, f, j, read_value, reterr);
        if (streq(name, "tcb_status"))
                return read_list(p, TD_FIELD_MEASUREMENT, j, read_status, reterr);
        if (streq(name, "xfam"))
                return read_list(p, TD_FIELD_MEASUREMENT, j, read_xfam, reterr);
        if (streq(name, "allow_debug"))
                return read_bool(&p->allow_debug, j, reterr);
        if (streq(name, "allow_host_credentials"))
                return read_bool(&p->allow_host_credentials, j, reterr);
        if (streq(name, "allow_migration_agent"))
                return read_bool(&p->allow_migration, j, reterr);
        if (streq(name, "minimum_tcb_evaluation_number"))
                return js_u64_value(j, &p->evaluation) < 0 ? error_set(reterr, -EINVAL, "expected a number")
                                                           : 0;
        if (streq(name, "insecure_any_measurement"))
                return read_insecure(p, td_policy_accept_any_measurement_acknowledging_forgery, j, reterr);
        if (streq(name, "insecure_any_report_data"))
                return read_insecure(p, td_policy_accept_any_report_data_acknowledging_replay, j, reterr);
        if (streq(name, "schema"))
                return streq_ptr(text_of(j), SCHEMA) ? 0
                                                     : error_set(reterr, -EINVAL, "expected \"%s\"", SCHEMA);
        if (streq(name, "description"))
                return js_string_value(j) ? 0 : error_set(reterr, -EINVAL, "expected a text");
        return error_set(reterr, -EINVAL, "unknown member");
}

int td_policy_read(const Json *j, TdPolicy *p, char **reterr) {
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
