/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-throwaway.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <string.h>

#define VALID_SECONDS (7L * 24 * 3600)
#define SERIAL_BYTES  16

DEFINE_TRIVIAL_CLEANUP_FUNC(X509 *, X509_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_PKEY *, EVP_PKEY_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(BIO *, BIO_free_all);
DEFINE_TRIVIAL_CLEANUP_FUNC(BIGNUM *, BN_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(X509_EXTENSION *, X509_EXTENSION_free);

void throwaway_server_done(ThrowawayServer *t) {
        free(t->ca);
        free(t->certificate);
        erase_string_free(t->key);
        *t = (ThrowawayServer) {};
}

static bool set_serial(X509 *c) {
        _cleanup_(BN_freep) BIGNUM *n = BN_new();

        return n && BN_rand(n, SERIAL_BYTES * 8 - 1, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
                        BN_to_ASN1_INTEGER(n, X509_get_serialNumber(c));
}

static bool add_extension(X509 *c, X509 *issuer, int nid, const char *value) {
        X509V3_CTX context;
        X509_EXTENSION *built;

        X509V3_set_ctx(&context, issuer, c, NULL, NULL, 0);
        built = X509V3_EXT_conf_nid(NULL, &context, nid, value);
        _cleanup_(X509_EXTENSION_freep) X509_EXTENSION *e = built;
        return e && X509_add_ext(c, e, -1) == 1;
}

/* issuer NULL: signs itself. */
static X509 *make(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key) {
        static const struct {
                int nid;
                const char *ca, *server;
        } extensions[] = {
                { NID_basic_constraints, "critical,CA:TRUE,pathlen:0", "critical,CA:FALSE" },
                { NID_key_usage, "critical,keyCertSign", "critical,digitalSignature" },
                { NID_subject_key_identifier, "hash", "hash" },
                { NID_authority_key_identifier, "keyid:always", "keyid:always" },
                { NID_ext_key_usage, NULL, "serverAuth" },
                { NID_subject_alt_name, NULL, "DNS:localhost,IP:127.0.0.1,IP:::1" },
        };
        _cleanup_(X509_freep) X509 *c = X509_new();
        X509_NAME *subject = c ? X509_get_subject_name(c) : NULL;

        if (!subject || X509_set_version(c, X509_VERSION_3) != 1 || !set_serial(c) ||
                        !X509_gmtime_adj(X509_getm_notBefore(c), -300) ||
                        !X509_gmtime_adj(X509_getm_notAfter(c), VALID_SECONDS) ||
                        X509_set_pubkey(c, key) != 1 ||
                        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *) name,
                                        -1, -1, 0) != 1 ||
                        X509_set_issuer_name(c, issuer ? X509_get_subject_name(issuer) : subject) != 1)
                return NULL;
        FOREACH_ARRAY(e, extensions, ELEMENTSOF(extensions)) {
                const char *value = issuer ? e->server : e->ca;

                if (value && !add_extension(c, issuer ?: c, e->nid, value))
                        return NULL;
        }
        return X509_sign(c, issuer_key, EVP_sha256()) > 0 ? TAKE_PTR(c) : NULL;
}

static char *bio_text(BIO *b) {
        char *p;
        long n = BIO_get_mem_data(b, &p);

        return n > 0 ? strndup(p, (size_t) n) : NULL;
}

static char *certificate_text(X509 *c) {
        _cleanup_(BIO_free_allp) BIO *b = BIO_new(BIO_s_mem());

        return b && PEM_write_bio_X509(b, c) == 1 ? bio_text(b) : NULL;
}

static char *key_text(EVP_PKEY *k) {
        _cleanup_(BIO_free_allp) BIO *b = BIO_new(BIO_s_secmem());

        return b && PEM_write_bio_PKCS8PrivateKey(b, k, NULL, NULL, 0, NULL, NULL) == 1 ? bio_text(b) : NULL;
}

int throwaway_server_new(ThrowawayServer *ret) {
        _cleanup_(throwaway_server_done) ThrowawayServer t = {};
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
        _cleanup_(X509_freep) X509 *ca = NULL, *server = NULL;

        if (!ca_key || !key)
                return -EIO;
        ca = make("cvmspawn throw-away CA", ca_key, NULL, ca_key);
        server = ca ? make("localhost", key, ca, ca_key) : NULL;
        if (!server)
                return -EIO;
        t.ca = certificate_text(ca);
        t.certificate = certificate_text(server);
        t.key = key_text(key);
        if (!t.ca || !t.certificate || !t.key)
                return -EIO;
        *ret = TAKE_STRUCT(t, (ThrowawayServer) {});
        return 0;
}
