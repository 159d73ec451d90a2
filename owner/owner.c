/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "owner.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "owner-backend.h"

struct Owner {
        const OwnerOps *ops;
        void *backend; /* owned */
};

void owner_outcome_done(OwnerOutcome *o) {
        free(o->code);
        free(o->reason);
        *o = (OwnerOutcome) {};
}

void owner_session_done(OwnerSession *s) {
        free(s->launch_id);
        free(s->session);
        free(s->dh_cert);
        *s = (OwnerSession) {};
}

void owner_packet_done(OwnerPacket *p) {
        free(p->header);
        free(p->payload);
        *p = (OwnerPacket) {};
}

int owner_refuse(OwnerOutcome *o, Verdict verdict, const char *code, const char *format, ...) {
        va_list ap;
        int k;

        owner_outcome_done(o);
        o->verdict = verdict == VERDICT_AUTHENTIC || verdict == VERDICT_VERIFIED ? VERDICT_UNVERIFIED
                                                                                 : verdict;
        o->code = strdup(code);
        va_start(ap, format);
        k = vasprintf(&o->reason, format, ap);
        va_end(ap);
        if (k < 0)
                o->reason = NULL;
        return o->code && o->reason ? 0 : -ENOMEM;
}

int owner_new(const OwnerOps *ops, void *backend, Owner **ret) {
        Owner *a = malloc(sizeof(Owner));

        if (!a) {
                ops->free(backend);
                return -ENOMEM;
        }
        *a = (Owner) { .ops = ops, .backend = backend };
        *ret = a;
        return 0;
}

Owner *owner_free(Owner *a) {
        if (!a)
                return NULL;
        a->ops->free(a->backend);
        free(a);
        return NULL;
}

int owner_launch(Owner *a, const OwnerLaunch *in, OwnerSession *ret, OwnerOutcome *ret_outcome,
                char **reterr) {
        return a->ops->launch(a->backend, in, ret, ret_outcome, reterr);
}

int owner_validate(
                Owner *a, const OwnerClaim *in, OwnerPacket *ret, OwnerOutcome *ret_outcome, char **reterr) {
        return a->ops->validate(a->backend, in, ret, ret_outcome, reterr);
}
