/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The requests of hosts, up to where their schemes differ. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attestd-scheme.h"
#include "attestd-service.h"
#include "strutil.h"

#define TRIES 3u

/* For the owner. What comes too often says nothing about the guest. */
static void note_refusal(const ServiceCall *c, bool validate) {
        const Json *j = c->reply->body;
        const char *code = js_string_value(js_get(j, "code"));
        Refusal f = {
                .request = validate ? "validate" : "launch", .owner = c->vm.owner, .time = service_now(c->s)
        };

        if (!c->s->refusals || !c->vm.id || c->reply->status < 400 || !code ||
                        streq(code, "too-many-requests"))
                return;
        (void) snprintf(f.vm, sizeof(f.vm), "%s", c->vm.id);
        (void) snprintf(f.code, sizeof(f.code), "%s", code);
        (void) snprintf(f.detail, sizeof(f.detail), "%s", js_string_value(js_get(j, "detail")) ?: "");
        /* No half character at the end: it would not be JSON. */
        for (size_t n = strlen(f.detail) + 1 == sizeof(f.detail) ? sizeof(f.detail) - 1 : 0;
                        n > 0 && (f.detail[n - 1] & 0x80); n--)
                f.detail[n - 1] = 0;
        refusals_add(c->s->refusals, &f);
}

static int handle_once(const Service *s, const Request *q, Reply *reply, bool validate) {
        _cleanup_(service_call_done) ServiceCall c = { .s = s, .q = q, .reply = reply };
        int r = service_load(&c);

        if (r > 0)
                r = service_read_body(q, &c.body, reply);
        if (r > 0)
                r = service_check_request(&c);
        if (r > 0)
                r = validate ? scheme_of(c.reg.mode)->validate(&c) : scheme_of(c.reg.mode)->launch(&c);
        if (r >= 0)
                note_refusal(&c, validate);
        return r;
}

/* Another service, or the owner by --answer=, may change the same database between what is read and what is written: then it is read again, and
 * answered as it is now. */
static int handle(const Service *s, const Request *q, Reply *reply, bool validate) {
        int r = -ESTALE;

        for (unsigned i = 0; i < TRIES && (r == -ESTALE || r == -ENOENT || r == -EEXIST); i++)
                r = handle_once(s, q, reply, validate);
        return r;
}

int handle_launch(const Service *s, const Request *q, Reply *reply) {
        return handle(s, q, reply, /* validate= */ false);
}

int handle_validate(const Service *s, const Request *q, Reply *reply) {
        return handle(s, q, reply, /* validate= */ true);
}
