/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-collateral.h"

#include <errno.h>
#include <string.h>

#include "crypto-pem.h"
#include "error.h"
#include "strutil.h"

static SnpCertificate *snp_certificate_free(SnpCertificate *c) {
        if (!c)
                return NULL;
        certificate_free(c->certificate);
        free(c->origin);
        free(c->leaf_error);
        free(c);
        return NULL;
}
DEFINE_TRIVIAL_CLEANUP_FUNC(SnpCertificate *, snp_certificate_free);

void snp_collateral_done(SnpCollateral *c) {
        for (size_t i = 0; i < c->n_certificates; i++)
                snp_certificate_free(c->certificates[i]);
        free(c->certificates);
        FOREACH_ARRAY(l, c->crls, c->n_crls) {
                crl_free(l->crl);
                free(l->origin);
        }
        free(c->crls);
        *c = (SnpCollateral) {};
}

static bool have_already(const SnpCollateral *c, const Certificate *x, bool named) {
        for (size_t i = 0; i < c->n_certificates; i++) {
                SnpCertificate *have = c->certificates[i];

                if (have->certificate->size == x->size &&
                                memcmp(have->certificate->der, x->der, x->size) == 0) {
                        have->named = have->named || named;
                        return true;
                }
        }
        return false;
}

static int add_certificate(SnpCollateral *c, const void *der, size_t size, const char *origin, bool named,
                char **reterr) {
        _cleanup_(snp_certificate_freep) SnpCertificate *x = calloc(1, sizeof(SnpCertificate));
        SnpCertificate **p;
        int r;

        if (!x)
                return -ENOMEM;
        r = certificate_new(der, size, &x->certificate, reterr);
        if (r < 0)
                return r;
        if (have_already(c, x->certificate, named))
                return 0;
        r = hash_digest(HASH_SHA256, x->certificate->der, x->certificate->size, x->digest);
        if (r < 0)
                return r;
        x->role = snp_certificate_role(x->certificate);
        x->generation = snp_certificate_generation(x->certificate);
        x->named = named;
        if (x->role < 0)
                return error_set(reterr, -EBADMSG, "'%s' is not the name of a certificate of AMD's",
                                x->certificate->common_name);
        if (x->role == SNP_ROLE_VCEK || x->role == SNP_ROLE_VLEK) {
                r = snp_leaf_read(x->certificate, &x->leaf, &x->leaf_error);
                if (r == -ENOMEM)
                        return r;
                x->leaf_valid = r == 0;
        }
        x->origin = strdup(origin);
        if (!x->origin)
                return -ENOMEM;

        if (c->n_certificates >= SNP_COLLATERAL_MAX)
                return error_set(reterr, -E2BIG, "more than %u certificates", SNP_COLLATERAL_MAX);
        p = realloc(c->certificates, (c->n_certificates + 1) * sizeof(*p));
        if (!p)
                return -ENOMEM;
        c->certificates = p;
        p[c->n_certificates++] = TAKE_PTR(x);
        return 0;
}

static int add_crl(SnpCollateral *c, const void *der, size_t size, const char *origin, char **reterr) {
        _cleanup_crl_ Crl *crl = NULL;
        _cleanup_free_ char *copy = strdup(origin);
        SnpCrl *p;
        int r;

        if (!copy)
                return -ENOMEM;
        r = crl_new(der, size, &crl, reterr);
        if (r < 0)
                return r;
        if (c->n_crls >= SNP_COLLATERAL_MAX)
                return error_set(reterr, -E2BIG, "more than %u revocation lists", SNP_COLLATERAL_MAX);
        p = realloc(c->crls, (c->n_crls + 1) * sizeof(*p));
        if (!p)
                return -ENOMEM;
        c->crls = p;
        p[c->n_crls++] = (SnpCrl) { TAKE_PTR(crl), TAKE_PTR(copy) };
        return 0;
}

/* A certificate, or else a revocation list; the certificate's complaint is the one to tell. */
static int add_der(SnpCollateral *c, const void *der, size_t size, const char *origin, bool named,
                char **reterr) {
        _cleanup_free_ char *complaint = NULL;
        int r;

        r = add_certificate(c, der, size, origin, named, &complaint);
        if (r >= 0 || r == -ENOMEM)
                return r;
        if (add_crl(c, der, size, origin, NULL) == 0)
                return 0;
        return error_set(reterr, r, "%s", complaint ?: "not a certificate");
}

static int add_pem(SnpCollateral *c, const char *text, size_t size, const char *origin, bool named,
                char **reterr) {
        size_t pos = 0, n_blocks = 0, label_size, n;
        const char *label;

        for (;;) {
                _cleanup_free_ uint8_t *der = NULL;
                int r = pem_next(text, size, &pos, &label, &label_size, &der, &n);

                if (r < 0)
                        return error_set(reterr, r, "PEM block %zu is broken", n_blocks + 1);
                if (r == 0)
                        break;
                n_blocks++;
                r = add_der(c, der, n, origin, named, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "PEM block %zu", n_blocks);
        }
        return n_blocks > 0 ? 0 : error_set(reterr, -EBADMSG, "no PEM block");
}

int snp_collateral_add(SnpCollateral *c, const void *data, size_t size, const char *origin, bool named,
                char **reterr) {
        _cleanup_free_ char *why = NULL;
        SnpCertTable t;

        if (size == 0)
                return error_set(reterr, -EBADMSG, "an empty file");
        if (pem_detect(data, size))
                return add_pem(c, data, size, origin, named, reterr);
        if (*(const uint8_t *) data == 0x30) /* SEQUENCE */
                return add_der(c, data, size, origin, named, reterr);
        if (snp_cert_table_decode(data, size, &t, &why) < 0)
                return error_set(reterr, -EBADMSG,
                                "neither a certificate in PEM or DER nor a certificate table: %s",
                                why ?: "?");
        if (t.n_entries == 0)
                return error_set(reterr, -EBADMSG, "an empty certificate table");
        return snp_collateral_add_table(c, &t, origin);
}

int snp_collateral_add_table(SnpCollateral *c, const SnpCertTable *t, const char *origin) {
        FOREACH_ARRAY(e, t->entries, t->n_entries) {
                int r;

                if (e->kind == SNP_CERT_OTHER || e->size == 0)
                        continue;
                /* DER by the kernel's convention; some hosts store PEM. */
                r = pem_detect(e->data, e->size)
                                ? add_pem(c, (const char *) e->data, e->size, origin, /* named= */ false,
                                                  NULL)
                                : add_der(c, e->data, e->size, origin, /* named= */ false, NULL);
                if (r == -ENOMEM)
                        return r;
        }
        return 0;
}
