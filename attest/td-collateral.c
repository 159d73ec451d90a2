/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "td-collateral.h"

#include <errno.h>
#include <string.h>

#include "crypto-pem.h"
#include "error.h"
#include "evidence-form.h"
#include "json.h"
#include "strutil.h"

void td_collateral_done(TdCollateral *c) {
        FOREACH_ARRAY(x, c->certificates, c->n_certificates) {
                certificate_free(x->certificate);
                free(x->origin);
        }
        FOREACH_ARRAY(l, c->crls, c->n_crls) {
                crl_free(l->crl);
                free(l->origin);
        }
        FOREACH_ARRAY(s, c->statements, c->n_statements) {
                td_signed_done(&s->json);
                td_tcb_info_done(&s->tcb_info);
                td_qe_identity_done(&s->qe);
                free(s->origin);
                free(s->why);
        }
        free(c->certificates);
        free(c->crls);
        free(c->statements);
        *c = (TdCollateral) {};
}

/* Room for one more of *n, zeroed. */
static int grow(void **list, size_t *n, size_t element, char **reterr) {
        char *p;

        if (*n >= TD_COLLATERAL_MAX)
                return error_set(reterr, -E2BIG, "more than %u certificates, lists or statements",
                                TD_COLLATERAL_MAX);
        p = realloc(*list, (*n + 1) * element);
        if (!p)
                return -ENOMEM;
        memset(p + *n * element, 0, element);
        *list = p;
        return 0;
}

static int add_certificate(
                TdCollateral *c, const void *der, size_t size, const char *origin, char **reterr) {
        _cleanup_certificate_ Certificate *x = NULL;
        _cleanup_free_ char *copy = strdup(origin);
        int r = certificate_new_profile(X509_ECDSA_P256, der, size, &x, reterr);

        if (r < 0)
                return r;
        FOREACH_ARRAY(have, c->certificates, c->n_certificates)
                if (have->certificate->size == x->size &&
                                memcmp(have->certificate->der, x->der, x->size) == 0)
                        return 0;
        r = copy ? grow((void **) &c->certificates, &c->n_certificates, sizeof(TdCertificate), reterr)
                 : -ENOMEM;
        if (r == 0)
                c->certificates[c->n_certificates++] = (TdCertificate) { TAKE_PTR(x), TAKE_PTR(copy) };
        return r;
}

static int add_crl(TdCollateral *c, const void *der, size_t size, const char *origin, char **reterr) {
        _cleanup_crl_ Crl *x = NULL;
        _cleanup_free_ char *copy = strdup(origin);
        int r = crl_new_profile(X509_ECDSA_P256, der, size, &x, reterr);

        for (size_t i = 0; r == 0 && i < c->n_crls; i++)
                if (c->crls[i].crl->size == x->size && memcmp(c->crls[i].crl->der, x->der, x->size) == 0)
                        return 0;
        if (r == 0)
                r = copy ? grow((void **) &c->crls, &c->n_crls, sizeof(TdCrl), reterr) : -ENOMEM;
        if (r == 0)
                c->crls[c->n_crls++] = (TdCrl) { .crl = TAKE_PTR(x), .origin = TAKE_PTR(copy) };
        return r;
}

/* A certificate, or else a revocation list; the certificate's complaint is the one to tell. */
static int add_der(TdCollateral *c, const void *der, size_t size, const char *origin, char **reterr) {
        _cleanup_free_ char *complaint = NULL;
        int r = add_certificate(c, der, size, origin, &complaint);

        if (r == -EBADMSG && add_crl(c, der, size, origin, NULL) == 0)
                return 0;
        if (r == -EBADMSG)
                return error_set(reterr, r,
                                "%s; expected TCB info or a QE identity (JSON), certificates or revocation lists (PEM or DER)",
                                complaint ?: "unknown content");
        return r < 0 && complaint ? error_set(reterr, r, "%s", complaint) : r;
}

static int add_pem(TdCollateral *c, const char *text, size_t size, const char *origin, char **reterr) {
        size_t pos = 0, n = 0;

        for (;; n++) {
                _cleanup_free_ uint8_t *der = NULL;
                const char *label;
                size_t label_size, der_size;
                int r = pem_next(text, size, &pos, &label, &label_size, &der, &der_size);

                if (r < 0)
                        return r == -EBADMSG ? error_set(reterr, r, "block %zu of the PEM text is malformed",
                                                               n + 1)
                                             : r;
                if (r == 0)
                        return n > 0 ? 0 : error_set(reterr, -EBADMSG, "the PEM text has no block");
                r = add_der(c, der, der_size, origin, reterr);
                if (r < 0)
                        return r;
        }
}

static int add_signed_consume(TdCollateral *c, TdSigned *s, const char *origin, char **reterr) {
        _cleanup_(td_signed_done) TdSigned json = TAKE_STRUCT(*s, (TdSigned) {});
        char *copy;
        int r;

        FOREACH_ARRAY(have, c->statements, c->n_statements)
                if (have->json.kind == json.kind && have->json.size == json.size &&
                                memcmp(have->json.body, json.body, json.size) == 0 &&
                                memcmp(have->json.signature, json.signature, sizeof(json.signature)) == 0)
                        return 0;
        r = grow((void **) &c->statements, &c->n_statements, sizeof(TdStatement), reterr);

        if (r < 0)
                return r;
        copy = strdup(origin);
        if (!copy)
                return -ENOMEM;
        c->statements[c->n_statements++] =
                        (TdStatement) { .json = TAKE_STRUCT(json, (TdSigned) {}), .origin = copy };
        return 0;
}

/* dcap-qvl's bundle: members by name. */
static int add_bundle(TdCollateral *c, const Json *j, const char *origin, char **reterr) {
        static const char *const names[] = { "pck_crl_issuer_chain", "root_ca_crl", "pck_crl",
                "tcb_info_issuer_chain", "qe_identity_issuer_chain", "pck_certificate_chain" };
        static const struct {
                const char *body, *signature;
                TdSignedKind kind;
        } pairs[] = { { "tcb_info", "tcb_info_signature", TD_SIGNED_TCB_INFO },
                { "qe_identity", "qe_identity_signature", TD_SIGNED_QE_IDENTITY } };
        size_t n = 0;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(names); i++) {
                const Json *x = js_get(j, names[i]);
                const char *s = x ? js_string_value(x) : NULL;

                n += s != NULL;
                if (s)
                        r = td_collateral_add(c, s, js_string_length(x), origin, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "member '%s'", names[i]);
        }
        FOREACH_ARRAY(p, pairs, ELEMENTSOF(pairs)) {
                const Json *x = js_get(j, p->body), *y = js_get(j, p->signature);
                const char *body = x ? js_string_value(x) : NULL, *signature = y ? js_string_value(y) : NULL;
                TdSigned s;

                if (!body || !signature)
                        continue;
                r = td_signed_new(p->kind, body, js_string_length(x), signature, &s, reterr);
                if (r == 0)
                        r = add_signed_consume(c, &s, origin, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "member '%s'", p->body);
                n++;
        }
        return n > 0 ? 0
                     : error_set(reterr, -EBADMSG,
                                       "the JSON document is neither TCB info nor a QE identity of Intel's, nor a bundle of them");
}

static int add_json(TdCollateral *c, const char *text, size_t size, const char *origin, char **reterr) {
        _cleanup_js_ Json *j = NULL;
        TdSigned s;
        int r = td_signed_read(text, size, &s, reterr);

        if (r != 0)
                return r < 0 ? r : add_signed_consume(c, &s, origin, reterr);
        r = js_parse(text, size, &j, reterr);
        if (r < 0)
                return r;
        return js_is_object(j) ? add_bundle(c, j, origin, reterr)
                               : error_set(reterr, -EBADMSG, "expected a JSON object");
}

int td_collateral_add(TdCollateral *c, const void *data, size_t size, const char *origin, char **reterr) {
        _cleanup_free_ uint8_t *owned = NULL;

        for (unsigned i = 0; i < EVIDENCE_LAYERS_MAX; i++) {
                _cleanup_free_ char *note = NULL;
                uint8_t *decoded;
                int r;

                if (evidence_is_json(data, size))
                        return add_json(c, data, size, origin, reterr);
                if (pem_detect(data, size))
                        return add_pem(c, data, size, origin, reterr);
                r = evidence_decode(data, size, &decoded, &size, &note);
                if (r < 0)
                        return r;
                if (r == 0)
                        break;
                free(owned);
                data = owned = decoded;
        }
        return add_der(c, data, size, origin, reterr);
}
