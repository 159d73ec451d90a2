/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What both halves of td_verify() use. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "td-verify-internal.h"

int td_fail(TdResult *r, Verdict v, TdStep s, const char *format, ...) {
        va_list ap;
        int n;

        r->verdict = v;
        r->step = s;
        free(r->sentence);
        va_start(ap, format);
        n = vasprintf(&r->sentence, format, ap);
        va_end(ap);
        if (n < 0) {
                r->sentence = NULL;
                return -ENOMEM;
        }
        return 0;
}

bool td_is_issuer(const Certificate *c, uint64_t below) {
        return c->is_ca && c->has_key_usage && c->key_usage & CERTIFICATE_CERT_SIGN &&
                        (!c->has_path_length || c->path_length >= below);
}

/* 0 if the list is the issuer's; remembers by which key. */
static int verify_list(TdCrl *l, const Certificate *issuer) {
        uint8_t key[SHA256_SIZE];
        int k = certificate_fingerprint(issuer, key);

        if (k < 0)
                return k;
        if (l->verified && memcmp(l->verified_by, key, sizeof(key)) == 0)
                return 0;
        k = crl_verify(l->crl, issuer);
        if (k == 0) {
                l->verified = true;
                memcpy(l->verified_by, key, sizeof(key));
        }
        return k;
}

int td_is_revoked(const TdVerifyInput *in, const Certificate *issuer, const Certificate *c,
                bool *ret_current) {
        *ret_current = false;
        if (!(issuer->key_usage & CERTIFICATE_CRL_SIGN))
                return 0;
        FOREACH_ARRAY(l, in->collateral->crls, in->collateral->n_crls) {
                int k = verify_list(l, issuer);

                if (k == -EKEYREJECTED)
                        continue;
                if (k < 0)
                        return k;
                k = crl_holds(l->crl, c);
                if (k != 0)
                        return k;
                if (in->now >= l->crl->this_update && in->now <= l->crl->next_update)
                        *ret_current = true;
        }
        return 0;
}
