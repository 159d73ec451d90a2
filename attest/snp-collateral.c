/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-collateral.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto-pem.h"
#include "error.h"
#include "evidence-form.h"
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

static bool is_leaf(SnpRole r) {
        return r == SNP_ROLE_VCEK || r == SNP_ROLE_VLEK;
}

static bool have_already(const SnpCollateral *c, const Certificate *x, bool named) {
        for (size_t i = 0; i < c->n_certificates; i++) {
                SnpCertificate *have = c->certificates[i];

                if (have->certificate->size == x->size &&
                                memcmp(have->certificate->der, x->der, x->size) == 0) {
                        have->named = have->named || (named && is_leaf(have->role));
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
        x->named = named && is_leaf(x->role);
        if (x->role < 0)
                return error_set(reterr, -EBADMSG,
                                "'%s' is not the name of an AMD certificate (expected SEV-VCEK, SEV-VLEK, "
                                "SEV-Milan, ARK-Milan or the like)",
                                x->certificate->common_name);
        if (is_leaf(x->role)) {
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

/* A SEQUENCE longer than 127 bytes, as all certificates and lists are; the digit 0 of a text is the same byte. */
static bool is_der(const uint8_t *p, size_t n) {
        return n > 1 && p[0] == 0x30 && p[1] > 0x80 && p[1] <= 0x84;
}

/* The encoded size of the element at p, header included; 0 if there is no whole one. */
static size_t der_size(const uint8_t *p, size_t n) {
        size_t head = 2, size;

        if (n < 2 || p[0] != 0x30)
                return 0;
        size = p[1];
        if (size >= 0x80) {
                size_t bytes = size & 0x7f;

                if (bytes == 0 || bytes > 4 || n < 2 + bytes)
                        return 0;
                size = 0;
                for (size_t i = 0; i < bytes; i++)
                        size = size << 8 | p[2 + i];
                head += bytes;
        }
        return size <= n - head ? head + size : 0;
}

static bool is_padding(const uint8_t *p, size_t n) {
        size_t blanks = 0;

        for (; blanks < n && memchr(" \t\r\n", p[blanks], 4); blanks++)
                ;
        return blanks == n || (n > 0 && p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* One after another; line breaks or zeros may follow. */
static int add_der_sequence(SnpCollateral *c, const uint8_t *p, size_t n, const char *origin, bool named,
                char **reterr) {
        do {
                size_t size = der_size(p, n);
                int r = add_der(c, p, size > 0 ? size : n, origin, named, reterr);

                if (r < 0)
                        return r;
                if (size == 0)
                        return 0;
                p += size;
                n -= size;
        } while (n > 0 && !is_padding(p, n));
        return 0;
}

/* Of private keys and the like beside certificates nothing is wanted. */
static bool is_wanted(const char *label, size_t n) {
        static const char *const labels[] = { "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE",
                "X509 CRL" };

        FOREACH_ARRAY(l, labels, ELEMENTSOF(labels))
                if (strlen(*l) == n && memcmp(*l, label, n) == 0)
                        return true;
        return false;
}

static int add_pem(SnpCollateral *c, const char *text, size_t size, const char *origin, bool named,
                char **reterr) {
        size_t pos = 0, n_blocks = 0, n_wanted = 0, label_size, n;
        const char *label;

        for (;;) {
                _cleanup_free_ uint8_t *der = NULL;
                int r = pem_next(text, size, &pos, &label, &label_size, &der, &n);

                if (r < 0)
                        return error_set(reterr, r, "PEM block %zu is broken", n_blocks + 1);
                if (r == 0)
                        break;
                n_blocks++;
                if (!is_wanted(label, label_size))
                        continue;
                n_wanted++;
                r = add_der(c, der, n, origin, named, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "PEM block %zu", n_blocks);
        }
        return n_wanted > 0 ? 0
                            : error_set(reterr, -EBADMSG, "not a certificate: it looks like %s",
                                              evidence_looks_like(text, size) ?: "something else");
}

static int add_plain(SnpCollateral *c, const void *data, size_t size, const char *origin, bool named,
                char **reterr) {
        const char *name;
        SnpCertTable t;

        if (size == 0)
                return error_set(reterr, -EBADMSG, "an empty file");
        if (pem_detect(data, size))
                return add_pem(c, data, size, origin, named, reterr);
        name = evidence_looks_like(data, size);
        if (is_der(data, size)) {
                _cleanup_free_ char *why = NULL;
                int r = add_der_sequence(c, data, size, origin, named, &why);

                return r < 0 && r != -ENOMEM ? error_set(reterr, r, "%s%s%s", why ?: "not a certificate",
                                                               name ? "; it looks like " : "", name ?: "")
                                             : r;
        }
        if (snp_cert_table_decode(data, size, &t, NULL) < 0)
                return error_set(reterr, -EBADMSG, "not a certificate in PEM or DER%s%s",
                                name ? ": it looks like " : "", name ?: ", and not a certificate table");
        if (t.n_entries == 0)
                return error_set(reterr, -EBADMSG, "an empty certificate table");
        return snp_collateral_add_table(c, &t, origin);
}

typedef struct Members {
        SnpCollateral *pool;
        const char *origin;
        bool named;
        unsigned n;
        char *why; /* owned */
} Members;

/* PEM or an encoded certificate; other strings are none of ours. */
static int add_member(void *userdata, const char *name, const void *value, size_t size, bool binary) {
        _cleanup_free_ uint8_t *data = NULL;
        _cleanup_free_ char *note = NULL;
        Members *m = userdata;
        bool plain = binary || pem_detect(value, size);
        const void *p = value;
        size_t n = size;
        int r = plain ? 0 : evidence_decode(value, size, &data, &n, &note);

        if (r < 0 || (!plain && r == 0))
                return r;
        p = data ?: value;
        if (!is_der(p, n) && !pem_detect(p, n))
                return 0;
        r = add_plain(m->pool, p, n, m->origin, m->named, &m->why);
        if (r < 0 && m->why)
                return error_prefix(&m->why, r, "member '%s'", name ?: "");
        m->n += r == 0;
        return r;
}

static int add_json(SnpCollateral *c, const char *text, size_t size, const char *origin, bool named,
                char **reterr) {
        _cleanup_free_ char *why = NULL;
        Members m = { c, origin, named, 0, NULL };
        int r = evidence_each_string(text, size, add_member, &m, &why);

        if (r == 0 && m.n == 0)
                r = error_set(reterr, -EBADMSG, "JSON in which no member holds a certificate");
        else if (r < 0 && r != -ENOMEM)
                r = error_set(reterr, r, "%s", m.why ?: why ?: "bad JSON");
        free(m.why);
        return r;
}

int snp_collateral_add(SnpCollateral *c, const void *data, size_t size, const char *origin, bool named,
                char **reterr) {
        _cleanup_free_ uint8_t *decoded = NULL;
        _cleanup_free_ char *note = NULL, *where = NULL;
        int r = 0;

        /* The common forms first: nothing is copied for them. */
        if (!is_der(data, size))
                r = evidence_is_json(data, size) ? 0 : evidence_decode(data, size, &decoded, &size, &note);
        if (r < 0)
                return r;
        if (decoded) {
                data = decoded;
                if (asprintf(&where, "%s, read as %s", origin, note) < 0) {
                        where = NULL;
                        return -ENOMEM;
                }
                origin = where;
        }
        r = evidence_is_json(data, size) ? add_json(c, data, size, origin, named, reterr)
                                         : add_plain(c, data, size, origin, named, reterr);
        return r < 0 && note ? error_prefix(reterr, r, "%s", note) : r;
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

int snp_collateral_insecure_root(
                SnpTrust *t, const void *data, size_t size, const char *path, char **reterr) {
        _cleanup_(snp_collateral_done) SnpCollateral found = {};
        bool trusted = false;
        int r = snp_collateral_add(&found, data, size, path, /* named= */ false, reterr);

        if (r < 0)
                return error_prefix(reterr, r, "%s", path);
        for (size_t i = 0; r >= 0 && i < found.n_certificates; i++)
                if (found.certificates[i]->role == SNP_ROLE_ARK) {
                        r = snp_trust_insecure_acknowledging_forgery(
                                        t, found.certificates[i]->certificate, reterr);
                        trusted = true;
                }
        if (r >= 0 && !trusted)
                return error_set(reterr, -EINVAL, "'%s' does not contain a root certificate (ARK)", path);
        return MIN(r, 0);
}
