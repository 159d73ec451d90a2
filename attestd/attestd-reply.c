/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-reply.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void reply_done(Reply *r) {
        js_unref(r->body);
        *r = (Reply) {};
}

int reply_json(Reply *r, unsigned status, Json *body) {
        if (!body)
                return -ENOMEM;
        js_unref(r->body);
        r->body = body;
        r->status = status;
        return 0;
}

int reply_problem(Reply *r, unsigned status, const char *code, const char *title, const char *format, ...) {
        _cleanup_free_ char *detail = NULL, *type = NULL;
        _cleanup_js_ Json *j = js_object();
        va_list ap;
        int k;

        va_start(ap, format);
        k = vasprintf(&detail, format, ap);
        va_end(ap);
        if (k < 0) {
                detail = NULL;
                return -ENOMEM;
        }
        if (asprintf(&type, "urn:cvmspawn:problem:%s", code) < 0) {
                type = NULL;
                return -ENOMEM;
        }
        if (!j || js_set(j, "type", js_string(type)) < 0 || js_set(j, "title", js_string(title)) < 0 ||
                        js_set(j, "status", js_u64(status)) < 0 || js_set(j, "code", js_string(code)) < 0 ||
                        js_set(j, "detail", js_string(detail)) < 0)
                return -ENOMEM;
        return reply_json(r, status, TAKE_PTR(j));
}
