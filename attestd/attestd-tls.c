/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-tls.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <string.h>
#include <time.h>

#include "error.h"

#define CHAIN_MAX 8u

struct TlsAuthority {
        gnutls_x509_trust_list_t list;
};

TlsAuthority *tls_authority_free(TlsAuthority *a) {
        if (!a)
                return NULL;
        if (a->list)
                gnutls_x509_trust_list_deinit(a->list, /* all= */ 1);
        free(a);
        return NULL;
}

int tls_authority_new(const char *pem, TlsAuthority **ret, char **reterr) {
        _cleanup_(tls_authority_freep) TlsAuthority *a = calloc(1, sizeof(TlsAuthority));
        const gnutls_datum_t text = { (unsigned char *) pem, (unsigned) strlen(pem) };

        if (!a || gnutls_x509_trust_list_init(&a->list, 0) < 0)
                return -ENOMEM;
        if (gnutls_x509_trust_list_add_trust_mem(a->list, &text, NULL, GNUTLS_X509_FMT_PEM, 0, 0) < 1)
                return error_set(reterr, -EINVAL, "no usable certificate found (expected PEM)");
        *ret = TAKE_PTR(a);
        return 0;
}

const char *tls_priorities(void) {
        return "NONE:+VERS-TLS1.3:+VERS-TLS1.2:+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM:+AEAD:+ECDHE-"
               "ECDSA:"
               "+ECDHE-RSA:+GROUP-ALL:+SIGN-ALL:-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1:-SIGN-DSA-SHA1:+COMP-NULL:"
               "+CTYPE-X509:%SERVER_PRECEDENCE";
}

void tls_ask_certificate(gnutls_session_t session) {
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUEST);
        gnutls_handshake_set_max_packet_length(session, TLS_HANDSHAKE_MAX);
}

static void crt_deinitp(gnutls_x509_crt_t *c) {
        if (*c)
                gnutls_x509_crt_deinit(*c);
}

typedef struct Chain {
        gnutls_x509_crt_t items[CHAIN_MAX];
        unsigned n;
} Chain;

static void chain_done(Chain *c) {
        for (unsigned i = 0; i < c->n; i++)
                gnutls_x509_crt_deinit(c->items[i]);
}

int tls_expiry(const char *pem, int64_t *ret) {
        const gnutls_datum_t text = { (unsigned char *) pem, (unsigned) strlen(pem) };
        gnutls_x509_crt_t *certs = NULL;
        int64_t first = INT64_MAX;
        unsigned n = 0;

        if (gnutls_x509_crt_list_import2(&certs, &n, &text, GNUTLS_X509_FMT_PEM, 0) < 0)
                return -EINVAL;
        for (unsigned i = 0; i < n; i++) {
                first = MIN(first, (int64_t) gnutls_x509_crt_get_expiration_time(certs[i]));
                gnutls_x509_crt_deinit(certs[i]);
        }
        gnutls_free(certs);
        if (n == 0)
                return -EINVAL;
        *ret = first;
        return 0;
}

/* Signed by the authority, within its dates, and not made for another purpose than clients. */
static int verify_host(const gnutls_datum_t *certs, unsigned n, const TlsAuthority *authority, bool *ret) {
        gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID,
                .data = (unsigned char *) GNUTLS_KP_TLS_WWW_CLIENT };
        _cleanup_(chain_done) Chain chain = {};
        unsigned status = UINT32_MAX;

        if (n > CHAIN_MAX)
                return 0;
        for (; chain.n < n; chain.n++) {
                if (gnutls_x509_crt_init(&chain.items[chain.n]) < 0)
                        return -ENOMEM;
                if (gnutls_x509_crt_import(chain.items[chain.n], &certs[chain.n], GNUTLS_X509_FMT_DER) < 0) {
                        chain.n++;
                        return 0;
                }
        }
        if (gnutls_x509_trust_list_verify_crt2(
                            authority->list, chain.items, n, &purpose, 1, 0, &status, NULL) < 0)
                return -EIO;
        *ret = status == 0;
        return 0;
}

int tls_peer(gnutls_session_t session, const TlsAuthority *authority, TlsPeer *ret) {
        _cleanup_(crt_deinitp) gnutls_x509_crt_t own = NULL;
        const gnutls_datum_t *certs;
        time_t now = time(NULL);
        TlsPeer peer = {};
        unsigned n = 0;
        int r;

        certs = gnutls_certificate_get_peers(session, &n);
        if (!certs || n == 0) {
                *ret = peer;
                return 0;
        }
        if (gnutls_x509_crt_init(&own) < 0)
                return -ENOMEM;
        if (gnutls_x509_crt_import(own, &certs[0], GNUTLS_X509_FMT_DER) >= 0 &&
                        gnutls_x509_crt_get_activation_time(own) <= now &&
                        gnutls_x509_crt_get_expiration_time(own) >= now) {
                if (gnutls_hash_fast(GNUTLS_DIG_SHA256, certs[0].data, certs[0].size, peer.fingerprint) < 0)
                        return -EIO;
                peer.has_certificate = true;
                peer.until = (int64_t) gnutls_x509_crt_get_expiration_time(own);
        }
        if (peer.has_certificate && authority) {
                r = verify_host(certs, n, authority, &peer.is_host);
                if (r < 0)
                        return r;
        }
        *ret = peer;
        return 0;
}
