/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "varlink-message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "strutil.h"

typedef struct Member {
        const char *name;
        bool *flag;         /* a boolean */
        const char **text;  /* or a text */
        const Json **value; /* or an object, or null */
} Member;

static int read_member(const Member *m, const Json *value, char **reterr) {
        if (m->flag && js_bool_value(value, m->flag) < 0)
                return error_set(reterr, -EBADMSG, "'%s' is not a boolean", m->name);
        if (m->text) {
                *m->text = js_string_value(value);
                if (!*m->text || strlen(*m->text) != js_string_length(value))
                        return error_set(reterr, -EBADMSG, "'%s' is not a text without NUL bytes", m->name);
        }
        if (m->value && !js_is_null(value)) {
                if (!js_is_object(value))
                        return error_set(reterr, -EBADMSG, "'%s' is not an object", m->name);
                *m->value = value;
        }
        return 0;
}

static int read_members(const Json *json, const Member *members, size_t n, char **reterr) {
        if (!js_is_object(json))
                return error_set(reterr, -EBADMSG, "a varlink message is a JSON object");
        for (void *i = js_iter(json); i; i = js_iter_next((Json *) json, i)) {
                const Member *found = NULL;
                int r;

                for (size_t k = 0; k < n && !found; k++)
                        if (streq(members[k].name, js_iter_key(i)))
                                found = members + k;
                if (!found)
                        return error_set(reterr, -EBADMSG, "unknown member in a varlink message");
                r = read_member(found, js_iter_value(i), reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

void varlink_message_done(VarlinkMessage *m) {
        js_unref(m->json);
        *m = (VarlinkMessage) {};
}

int varlink_message_parse(const char *text, size_t size, VarlinkMessage *ret, char **reterr) {
        _cleanup_(varlink_message_done) VarlinkMessage m = {};
        const Member members[] = {
                { .name = "method", .text = &m.method },
                { .name = "parameters", .value = &m.parameters },
                { .name = "more", .flag = &m.more },
                { .name = "oneway", .flag = &m.oneway },
                { .name = "upgrade", .flag = &m.upgrade },
        };
        int r = js_parse(text, size, &m.json, reterr);

        if (r >= 0)
                r = read_members(m.json, members, ELEMENTSOF(members), reterr);
        if (r < 0)
                return r;
        if (!m.method)
                return error_set(reterr, -EBADMSG, "a varlink call needs a method");
        if (m.oneway && (m.more || m.upgrade))
                return error_set(reterr, -EBADMSG, "a varlink call is 'oneway', or it has answers");
        *ret = TAKE_STRUCT(m, (VarlinkMessage) {});
        return 0;
}

void varlink_reply_done(VarlinkReply *r) {
        js_unref(r->json);
        *r = (VarlinkReply) {};
}

int varlink_reply_parse(const char *text, size_t size, VarlinkReply *ret, char **reterr) {
        _cleanup_(varlink_reply_done) VarlinkReply reply = {};
        const Member members[] = {
                { .name = "error", .text = &reply.error },
                { .name = "parameters", .value = &reply.parameters },
                { .name = "continues", .flag = &reply.continues },
        };
        int r = js_parse(text, size, &reply.json, reterr);

        if (r >= 0)
                r = read_members(reply.json, members, ELEMENTSOF(members), reterr);
        if (r < 0)
                return r;
        if (reply.error && reply.continues)
                return error_set(reterr, -EBADMSG, "an error is the last answer of a varlink call");
        *ret = TAKE_STRUCT(reply, (VarlinkReply) {});
        return 0;
}

/* Takes the object. */
static int to_text(Json *object, char **ret, size_t *ret_size) {
        _cleanup_js_ Json *j = object;
        char *text = js_text(j, JS_SHORT);

        if (!text)
                return -ENOMEM;
        *ret = text;
        *ret_size = strlen(text) + 1;
        return 0;
}

static int set_parameters(Json *object, const Json *parameters) {
        return js_set(object, "parameters", parameters ? js_ref((Json *) parameters) : js_object());
}

int varlink_format_call(
                const char *method, const Json *parameters, bool more, char **ret, size_t *ret_size) {
        _cleanup_js_ Json *j = js_object();
        int r = j ? js_set(j, "method", js_string(method)) : -ENOMEM;

        if (r >= 0)
                r = set_parameters(j, parameters);
        if (r >= 0 && more)
                r = js_set(j, "more", js_bool(true));
        return r < 0 ? r : to_text(TAKE_PTR(j), ret, ret_size);
}

int varlink_format_reply(
                const char *error, const Json *parameters, bool continues, char **ret, size_t *ret_size) {
        _cleanup_js_ Json *j = js_object();
        int r = j ? 0 : -ENOMEM;

        if (r >= 0 && error)
                r = js_set(j, "error", js_string(error));
        if (r >= 0)
                r = set_parameters(j, parameters);
        if (r >= 0 && continues)
                r = js_set(j, "continues", js_bool(true));
        return r < 0 ? r : to_text(TAKE_PTR(j), ret, ret_size);
}
