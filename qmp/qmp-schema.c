/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "qmp-schema.h"

#include <errno.h>

#include "error.h"
#include "strutil.h"

#define VARIANT_DEPTH_MAX                                                                                   \
        8u /* variants within variants: 10.0 has 3; a schema that refers to itself must end */

static bool has_string(const Json *object, const char *key, const char *value) {
        return streq_ptr(js_string_value(js_get(object, key)), value);
}

static const Json *find_entity(const Json *schema, const char *meta_type, const char *name) {
        for (size_t i = 0; i < js_length(schema); i++) {
                const Json *e = js_at(schema, i);

                if (has_string(e, "name", name) && has_string(e, "meta-type", meta_type))
                        return e;
        }
        return NULL;
}

bool qmp_schema_has_command(const Json *schema, const char *command) {
        return find_entity(schema, "command", command);
}

bool qmp_schema_has_event(const Json *schema, const char *event) {
        return find_entity(schema, "event", event);
}

static bool type_has_member(const Json *schema, const char *type, const char *member, unsigned depth) {
        const Json *e = type && depth > 0 ? find_entity(schema, "object", type) : NULL;
        const Json *members = js_get(e, "members"), *variants = js_get(e, "variants");

        for (size_t i = 0; i < js_length(members); i++)
                if (has_string(js_at(members, i), "name", member))
                        return true;
        for (size_t i = 0; i < js_length(variants); i++) {
                const char *t = js_string_value(js_get(js_at(variants, i), "type"));

                if (type_has_member(schema, t, member, depth - 1))
                        return true;
        }
        return false;
}

bool qmp_schema_has_argument(const Json *schema, const char *command, const char *argument) {
        const Json *e = find_entity(schema, "command", command);

        return type_has_member(schema, js_string_value(js_get(e, "arg-type")), argument, VARIANT_DEPTH_MAX);
}

int qmp_query_schema_wait(QmpClient *c, uint64_t timeout_usec, Json **ret, char **reterr) {
        _cleanup_js_ Json *value = NULL;
        int r = qmp_call_wait(c, "query-qmp-schema", NULL, timeout_usec, &value, reterr);

        if (r < 0)
                return r;
        if (!js_is_array(value))
                return error_set(reterr, -EBADMSG, "query-qmp-schema: expected an array");
        *ret = TAKE_PTR(value);
        return 0;
}

int qmp_type_exists_wait(QmpClient *c, const char *type, uint64_t timeout_usec, char **reterr) {
        _cleanup_js_ Json *value = NULL;
        Json *args;
        int r;

        r = js_build(&args, "{s:s, s:b}", "implements", type, "abstract", 1);
        if (r < 0)
                return r;
        r = qmp_call_wait(c, "qom-list-types", args, timeout_usec, &value, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i < js_length(value); i++)
                if (has_string(js_at(value, i), "name", type))
                        return 1;
        return 0;
}
