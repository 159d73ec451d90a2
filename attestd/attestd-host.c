/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The requests of hosts, up to where their schemes differ. */

#include <errno.h>

#include "attestd-scheme.h"
#include "attestd-service.h"

#define TRIES 3u

static int handle_once(const Service *s, const Request *q, Reply *reply, bool validate) {
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
