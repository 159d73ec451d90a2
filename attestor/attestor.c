/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "attestor-backend.h"

struct Attestor {
        const AttestorOps *ops;
        void *backend; /* owned */
};

void attestor_outcome_done(AttestorOutcome *o) {
        free(o->code);
        free(o->reason);
        *o = (AttestorOutcome) {};
}

void attestor_session_done(AttestorSession *s) {
        free(s->launch_id);
        free(s->session);
        free(s->dh_cert);
        *s = (AttestorSession) {};
}

void attestor_packet_done(AttestorPacket *p) {
        free(p->header);
        free(p->payload);
        *p = (AttestorPacket) {};
}

int attestor_refuse(AttestorOutcome *o, Verdict verdict, const char *code, const char *format, ...) {
        va_list ap;
        int k;

        attestor_outcome_done(o);
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

int attestor_new(const AttestorOps *ops, void *backend, Attestor **ret) {
        Attestor *a = malloc(sizeof(Attestor));

        if (!a) {
                ops->free(backend);
                return -ENOMEM;
        }
        *a = (Attestor) { .ops = ops, .backend = backend };
        *ret = a;
        return 0;
}

Attestor *attestor_free(Attestor *a) {
        if (!a)
                return NULL;
        a->ops->free(a->backend);
        free(a);
        return NULL;
}

int attestor_launch(Attestor *a, const AttestorLaunch *in, AttestorSession *ret,
                AttestorOutcome *ret_outcome, char **reterr) {
        return a->ops->launch(a->backend, in, ret, ret_outcome, reterr);
}

int attestor_validate(Attestor *a, const AttestorClaim *in, AttestorPacket *ret,
                AttestorOutcome *ret_outcome, char **reterr) {
        return a->ops->validate(a->backend, in, ret, ret_outcome, reterr);
}
