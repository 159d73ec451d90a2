/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The requests of hosts, up to where their schemes differ. */

#include "attestd-scheme.h"
#include "attestd-service.h"

static int handle(const Service *s, const Request *q, Reply *reply, bool validate) {
        _cleanup_(service_call_done) ServiceCall c = { .s = s, .q = q, .reply = reply };
        int r = service_load(&c);

        if (r > 0)
                r = service_read_body(q, &c.body, reply);
        if (r > 0)
                r = service_check_request(&c);
        if (r <= 0)
                return r;
        return validate ? scheme_of(c.reg.mode)->validate(&c) : scheme_of(c.reg.mode)->launch(&c);
}

int handle_launch(const Service *s, const Request *q, Reply *reply) {
        return handle(s, q, reply, /* validate= */ false);
}

int handle_validate(const Service *s, const Request *q, Reply *reply) {
        return handle(s, q, reply, /* validate= */ true);
}
