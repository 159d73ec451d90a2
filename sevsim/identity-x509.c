/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The X.509 side (AMD 57230, VCEK certificate and KDS interface): ARK, ASK and ASVK with names and key usage like
 * AMD's, VCEK and VLEK leaves with AMD's private extensions and nothing else. The authorities carry
 * a comment that says what they are; the leaves must not, verifiers refuse what they do not know there. */

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "identity.h"

enum {
        DAY = 24 * 60 * 60,
        CA_DAYS = 25 * 365,
        VCEK_DAYS = 7 * 365,
        VLEK_DAYS = 365,
        CRL_DAYS = 60,
        OID_MAX = 64,
        TEXT_MAX = 128,
};

#define AMD_ARC "1.3.6.1.4.1.3704.1"
#define KDS     "URI:https://kdsintf.amd.com/"
#define COMMENT "simulation by cvmspawn sevsim: not AMD, trust it for nothing"

static X509_NAME *amd_name(const char *common_name) {
        static const char *const fields[][2] = {
                { "OU", "Engineering" },
                { "C", "US" },
                { "L", "Santa Clara" },
                { "ST", "CA" },
                { "O", "Advanced Micro Devices" },
        };
        X509_NAME *name = X509_NAME_new();
        bool ok = name;

        for (size_t i = 0; ok && i < sizeof(fields) / sizeof(fields[0]); i++)
                ok = X509_NAME_add_entry_by_txt(name, fields[i][0], MBSTRING_ASC,
                                (const unsigned char *) fields[i][1], -1, -1, 0);
        if (!ok ||
                        !X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                        (const unsigned char *) common_name, -1, -1, 0)) {
                X509_NAME_free(name);
                return NULL;
        }
        return name;
}

static X509 *cert_new(EVP_PKEY *key, const char *subject, const char *issuer, long serial, int days) {
        X509 *cert = X509_new();
        X509_NAME *s = amd_name(subject), *i = amd_name(issuer);

        if (!cert || !s || !i || !X509_set_version(cert, X509_VERSION_3) ||
                        !ASN1_INTEGER_set(X509_get_serialNumber(cert), serial) ||
                        !X509_set_subject_name(cert, s) || !X509_set_issuer_name(cert, i) ||
                        !X509_gmtime_adj(X509_getm_notBefore(cert), -DAY) ||
                        !X509_gmtime_adj(X509_getm_notAfter(cert), (long) days * DAY) ||
                        !X509_set_pubkey(cert, key)) {
                X509_free(cert);
                cert = NULL;
        }
        X509_NAME_free(s);
        X509_NAME_free(i);
        return cert;
}

static bool add_conf(X509 *cert, X509 *issuer, int nid, const char *value) {
        X509V3_CTX ctx;
        X509_EXTENSION *e;
        bool ok;

        X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
        e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
        ok = e && X509_add_ext(cert, e, -1);
        X509_EXTENSION_free(e);
        return ok;
}

/* An extension of AMD's arc with the given bytes as they are: some of them are no DER inside. */
static bool add_amd(X509 *cert, const char *suffix, const uint8_t *data, size_t size) {
        char oid[OID_MAX];
        ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
        X509_EXTENSION *e = NULL;
        ASN1_OBJECT *object;
        bool ok;

        snprintf(oid, sizeof(oid), "%s.%s", AMD_ARC, suffix);
        object = OBJ_txt2obj(oid, /* no_name= */ 1);
        ok = object && value && ASN1_OCTET_STRING_set(value, data, (int) size) &&
                        (e = X509_EXTENSION_create_by_OBJ(NULL, object, /* crit= */ 0, value)) &&
                        X509_add_ext(cert, e, -1);
        X509_EXTENSION_free(e);
        ASN1_OBJECT_free(object);
        ASN1_OCTET_STRING_free(value);
        return ok;
}

static bool add_amd_integer(X509 *cert, const char *suffix, uint8_t value) {
        /* A first bit that is set would be a sign. */
        const uint8_t der[] = { 0x02, value < 128 ? 1 : 2, value < 128 ? value : 0, value };

        return add_amd(cert, suffix, der, 2u + der[1]);
}

static bool add_amd_string(X509 *cert, const char *suffix, const char *text) {
        uint8_t der[OID_MAX] = { 0x16, (uint8_t) strlen(text) };

        memcpy(der + 2, text, strlen(text));
        return add_amd(cert, suffix, der, 2 + strlen(text));
}

static bool sign(X509 *cert, EVP_PKEY *key) {
        EVP_MD_CTX *ctx = identity_pss_begin(key);
        bool ok = ctx && X509_sign_ctx(cert, ctx) > 0;

        EVP_MD_CTX_free(ctx);
        return ok;
}

static int write_der(const Identity *identity, const char *name, unsigned char *der, int size) {
        int r = size <= 0 ? -EIO : identity_write_file(identity, name, der, (size_t) size, 0644);

        OPENSSL_free(der);
        return r;
}

static int write_cert(const Identity *identity, const char *name, X509 *cert) {
        unsigned char *der = NULL;
        int n = i2d_X509(cert, &der);

        return write_der(identity, name, der, n);
}

static int write_pem(const Identity *identity, const char *name, X509 *first, X509 *second) {
        BIO *bio = BIO_new(BIO_s_mem());
        char *text = NULL;
        long n = 0;
        int r = -EIO;

        if (bio && PEM_write_bio_X509(bio, first) && (!second || PEM_write_bio_X509(bio, second)))
                n = BIO_get_mem_data(bio, &text);
        if (n > 0)
                r = identity_write_file(identity, name, text, (size_t) n, 0644);
        BIO_free(bio);
        return r;
}

/* "ARK-Genoa", "URI:https://kdsintf.amd.com/vcek/v1/Genoa/crl" */
static const char *with_product(
                char ret[static TEXT_MAX], const char *begin, const Identity *identity, const char *end) {
        snprintf(ret, TEXT_MAX, "%s%s%s", begin, identity->generation->product, end);
        return ret;
}

static X509 *make_ark(const Identity *identity) {
        char name[TEXT_MAX], crl[TEXT_MAX];
        X509 *cert;

        with_product(name, "ARK-", identity, "");
        with_product(crl, KDS "vcek/v1/", identity, "/crl");
        cert = cert_new(identity->ark, name, name, 0x20000, CA_DAYS);

        if (cert && add_conf(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
                        add_conf(cert, cert, NID_subject_key_identifier, "hash") &&
                        add_conf(cert, cert, NID_basic_constraints, "critical,CA:TRUE") &&
                        add_conf(cert, cert, NID_crl_distribution_points, crl) &&
                        add_conf(cert, cert, NID_netscape_comment, COMMENT) && sign(cert, identity->ark))
                return cert;
        X509_free(cert);
        return NULL;
}

static X509 *make_intermediate(const Identity *identity, X509 *ark, bool vlek) {
        char name[TEXT_MAX], issuer[TEXT_MAX], crl[TEXT_MAX];
        X509 *cert;

        with_product(name, vlek ? "SEV-VLEK-" : "SEV-", identity, "");
        with_product(issuer, "ARK-", identity, "");
        with_product(crl, vlek ? KDS "vlek/v1/" : KDS "vcek/v1/", identity, "/crl");
        cert = cert_new(vlek ? identity->asvk : identity->ask, name, issuer, vlek ? 0x20101 : 0x20002,
                        CA_DAYS);

        if (cert && add_conf(cert, ark, NID_key_usage, "critical,keyCertSign") &&
                        add_conf(cert, ark, NID_subject_key_identifier, "hash") &&
                        add_conf(cert, ark, NID_authority_key_identifier, "keyid:always") &&
                        add_conf(cert, ark, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                        add_conf(cert, ark, NID_crl_distribution_points, crl) &&
                        add_conf(cert, ark, NID_netscape_comment, COMMENT) && sign(cert, identity->ark))
                return cert;
        X509_free(cert);
        return NULL;
}

static X509 *make_leaf(const Identity *identity, bool vlek) {
        const SimGeneration *g = identity->generation;
        char issuer[TEXT_MAX];
        X509 *cert;
        bool ok;

        with_product(issuer, vlek ? "SEV-VLEK-" : "SEV-", identity, "");
        cert = cert_new(vlek ? identity->vlek : identity->vcek, vlek ? "SEV-VLEK" : "SEV-VCEK", issuer, 0,
                        vlek ? VLEK_DAYS : VCEK_DAYS);
        ok = cert && add_amd_integer(cert, "1", g->struct_version) &&
                        add_amd_string(cert, "2", vlek ? g->product : g->vcek);
        for (size_t i = 0; ok && i < sizeof(g->tcb); i++)
                ok = add_amd_integer(cert, g->spl[i], g->tcb[i]);
        ok = ok &&
                        (vlek ? add_amd_string(cert, "5", "CN=sevsim.invalid")
                              : add_amd(cert, "4", identity->chip_id, g->chip_id_size));
        if (ok && sign(cert, vlek ? identity->asvk : identity->ask))
                return cert;
        X509_free(cert);
        return NULL;
}

static int write_crl(const Identity *identity) {
        char name[TEXT_MAX];
        X509_CRL *crl = X509_CRL_new();
        X509_NAME *issuer = amd_name(with_product(name, "ARK-", identity, ""));
        ASN1_TIME *last = X509_gmtime_adj(NULL, -DAY), *next = X509_gmtime_adj(NULL, (long) CRL_DAYS * DAY);
        EVP_MD_CTX *ctx = identity_pss_begin(identity->ark);
        unsigned char *der = NULL;
        int n = -1;

        if (crl && issuer && last && next && ctx && X509_CRL_set_version(crl, X509_CRL_VERSION_2) &&
                        X509_CRL_set_issuer_name(crl, issuer) && X509_CRL_set1_lastUpdate(crl, last) &&
                        X509_CRL_set1_nextUpdate(crl, next) && X509_CRL_sign_ctx(crl, ctx) > 0)
                n = i2d_X509_CRL(crl, &der);
        EVP_MD_CTX_free(ctx);
        ASN1_TIME_free(last);
        ASN1_TIME_free(next);
        X509_NAME_free(issuer);
        X509_CRL_free(crl);
        return write_der(identity, "crl.der", der, n);
}

int identity_write_x509(const Identity *identity) {
        X509 *ark = make_ark(identity), *ask = NULL, *asvk = NULL, *vcek = NULL, *vlek = NULL;
        int r = -EIO;

        if (ark)
                ask = make_intermediate(identity, ark, /* vlek= */ false);
        if (ark)
                asvk = make_intermediate(identity, ark, /* vlek= */ true);
        vcek = make_leaf(identity, /* vlek= */ false);
        vlek = make_leaf(identity, /* vlek= */ true);

        if (ark && ask && asvk && vcek && vlek && (r = write_pem(identity, "ark.pem", ark, NULL)) >= 0 &&
                        (r = write_pem(identity, "ask.pem", ask, NULL)) >= 0 &&
                        (r = write_pem(identity, "asvk.pem", asvk, NULL)) >= 0 &&
                        (r = write_pem(identity, "vcek-chain.pem", ask, ark)) >= 0 &&
                        (r = write_pem(identity, "vlek-chain.pem", asvk, ark)) >= 0 &&
                        (r = write_cert(identity, "vcek.der", vcek)) >= 0 &&
                        (r = write_cert(identity, "vlek.der", vlek)) >= 0)
                r = write_crl(identity);

        X509_free(ark);
        X509_free(ask);
        X509_free(asvk);
        X509_free(vcek);
        X509_free(vlek);
        return r;
}
