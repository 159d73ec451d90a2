/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "crypto-init.h"
#include "error.h"

DEFINE_TRIVIAL_CLEANUP_FUNC(X509 *, X509_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_PKEY *, EVP_PKEY_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(BIO *, BIO_free_all);

struct TlsContext {
        SSL_CTX *ctx; /* owned */
};

struct Tls {
        SSL *ssl; /* owned */
        bool wants_write;
};

TlsContext *tls_context_free(TlsContext *c) {
        if (c)
                SSL_CTX_free(c->ctx);
        free(c);
        return NULL;
}

/* Neither resumption nor renegotiation nor partial writes: a control connection lasts for hours and carries lines. */
static int context_new(const SSL_METHOD *method, TlsContext **ret) {
        _cleanup_(tls_context_freep) TlsContext *c = calloc(1, sizeof(TlsContext));

        if (!c || crypto_init() < 0)
                return -ENOMEM;
        c->ctx = SSL_CTX_new(method);
        if (!c->ctx || SSL_CTX_set_min_proto_version(c->ctx, TLS1_3_VERSION) != 1)
                return crypto_failure(-ENOMEM);
        (void) SSL_CTX_set_num_tickets(c->ctx, 0);
        (void) SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF);
        /* Lines say where they end: a connection that ends without close_notify has ended. */
        (void) SSL_CTX_set_options(c->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
        (void) SSL_CTX_set_mode(c->ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
        *ret = TAKE_PTR(c);
        return 0;
}

static BIO *text_bio(const char *text) {
        size_t n = strlen(text);

        return n <= INT_MAX ? BIO_new_mem_buf(text, (int) n) : NULL;
}

static int no_passphrase(_unused_ char *buf, _unused_ int size, _unused_ int writing, _unused_ void *u) {
        return 0;
}

/* Each certificate of a PEM text; *ret_n: how many were there. */
static int each_certificate(const char *text, int (*take)(SSL_CTX *ctx, X509 *x, size_t i), SSL_CTX *ctx,
                size_t *ret_n) {
        _cleanup_(BIO_free_allp) BIO *b = text_bio(text);
        size_t n = 0;

        if (!b)
                return -ENOMEM;
        for (;; n++) {
                _cleanup_(X509_freep) X509 *x = PEM_read_bio_X509(b, NULL, no_passphrase, NULL);

                if (!x)
                        break;
                if (take(ctx, x, n) != 1)
                        return crypto_failure(-EPROTO);
        }
        ERR_clear_error();
        *ret_n = n;
        return 0;
}

static int take_server(SSL_CTX *ctx, X509 *x, size_t i) {
        return i == 0 ? SSL_CTX_use_certificate(ctx, x) : (int) SSL_CTX_add1_chain_cert(ctx, x);
}

static int take_authority(SSL_CTX *ctx, X509 *x, _unused_ size_t i) {
        return X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), x);
}

static int use_key(SSL_CTX *ctx, const char *text) {
        _cleanup_(BIO_free_allp) BIO *b = text_bio(text);
        EVP_PKEY *read = b ? PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL) : NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = read;
        bool good = key && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;

        ERR_clear_error();
        return good ? 0 : -EPROTO;
}

int tls_context_server(const char *certificate, const char *key, TlsContext **ret, char **reterr) {
        _cleanup_(tls_context_freep) TlsContext *c = NULL;
        size_t n = 0;
        int r = context_new(TLS_server_method(), &c);

        if (r >= 0)
                r = each_certificate(certificate, take_server, c->ctx, &n);
        if (r == -EPROTO || (r >= 0 && n == 0))
                return error_set(reterr, -EPROTO, "the certificate is not a usable PEM certificate");
        if (r >= 0)
                r = use_key(c->ctx, key);
        if (r == -EPROTO)
                return error_set(reterr, r,
                                "the key is not an unencrypted PEM key that belongs to the certificate");
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

int tls_context_client(const char *authorities, TlsContext **ret, char **reterr) {
        _cleanup_(tls_context_freep) TlsContext *c = NULL;
        size_t n = 0;
        int r = context_new(TLS_client_method(), &c);

        if (r < 0)
                return r;
        SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
        if (!authorities) {
                if (SSL_CTX_set_default_verify_paths(c->ctx) != 1)
                        return crypto_failure(-ENOMEM);
        } else {
                r = each_certificate(authorities, take_authority, c->ctx, &n);
                if (r == -EPROTO || (r >= 0 && n == 0))
                        return error_set(reterr, -EPROTO, "expected CA certificates in PEM");
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(c);
        return 0;
}

Tls *tls_free(Tls *t) {
        if (t)
                SSL_free(t->ssl);
        free(t);
        return NULL;
}

/* An address is not sent as a name (RFC 6066), but is looked for in the certificate. */
static bool expect_host(SSL *ssl, const char *host) {
        X509_VERIFY_PARAM *p = SSL_get0_param(ssl);

        if (X509_VERIFY_PARAM_set1_ip_asc(p, host) == 1)
                return true;
        X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        return X509_VERIFY_PARAM_set1_host(p, host, 0) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

int tls_new(const TlsContext *c, int fd, const char *host, Tls **ret) {
        Tls *t = calloc(1, sizeof(Tls));

        if (!t)
                return -ENOMEM;
        t->ssl = SSL_new(c->ctx);
        if (!t->ssl || SSL_set_fd(t->ssl, fd) != 1 || (host && !expect_host(t->ssl, host))) {
                tls_free(t);
                return crypto_failure(-ENOMEM);
        }
        ERR_clear_error();
        if (host)
                SSL_set_connect_state(t->ssl);
        else
                SSL_set_accept_state(t->ssl);
        *ret = t;
        return 0;
}

/* What a call that returned n means. */
static int failure(Tls *t, int n) {
        int saved = errno, e = SSL_get_error(t->ssl, n), r;

        t->wants_write = e == SSL_ERROR_WANT_WRITE;
        if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
                r = -EAGAIN;
        else if (e == SSL_ERROR_ZERO_RETURN)
                r = 0;
        else if (e == SSL_ERROR_SYSCALL)
                r = saved > 0 ? -saved : -ECONNRESET;
        else
                r = -EPROTO;
        ERR_clear_error();
        return r;
}

int tls_handshake(Tls *t, char **reterr) {
        int n, r;
        long why;

        errno = 0;
        n = SSL_do_handshake(t->ssl);
        if (n == 1)
                return 0;
        r = failure(t, n);
        if (r == 0)
                r = -ECONNRESET;
        why = SSL_get_verify_result(t->ssl);
        if (r == -EPROTO && why != X509_V_OK)
                return error_set(reterr, r, "its certificate: %s", X509_verify_cert_error_string(why));
        return r;
}

ssize_t tls_read(Tls *t, void *buf, size_t n) {
        int r;

        errno = 0;
        r = SSL_read(t->ssl, buf, (int) MIN(n, (size_t) INT_MAX));
        return r > 0 ? r : failure(t, r);
}

ssize_t tls_write(Tls *t, const void *buf, size_t n) {
        int r;

        errno = 0;
        r = SSL_write(t->ssl, buf, (int) MIN(n, (size_t) INT_MAX));
        if (r > 0)
                return r;
        r = failure(t, r);
        return r == 0 ? -ECONNRESET : r;
}

bool tls_has_more(const Tls *t) {
        return SSL_has_pending(t->ssl) == 1;
}

bool tls_wants_write(const Tls *t) {
        return t->wants_write;
}
