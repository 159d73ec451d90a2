/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <string.h>

#include "crypto-x509-internal.h"
#include "error.h"

/* The entries are checked once here, so that looking a serial number up later cannot fail half way. Extensions of entries
 * and of the list (reason, number) do not change what "revoked" means to us; a critical one would. */
static int check_entries(const CertificateBytes *entries) {
        ByteReader r = byte_reader(entries->data, entries->size), inside;
        DerValue entry, serial, extensions;
        int64_t when;

        while (byte_reader_left(&r) > 0) {
                if (der_expect(&r, DER_SEQUENCE, &entry) < 0)
                        return -EBADMSG;
                inside = der_inside(&entry);
                if (der_expect(&inside, DER_INTEGER, &serial) < 0 || x509_read_time(&inside, &when) < 0)
                        return -EBADMSG;
                if (byte_reader_left(&inside) > 0 && der_expect(&inside, DER_SEQUENCE, &extensions) < 0)
                        return -EBADMSG;
                if (byte_reader_left(&inside) > 0)
                        return -EBADMSG;
        }
        return 0;
}

static int read_body(Crl *c, const DerValue *body) {
        ByteReader r = der_inside(body);
        DerValue v;
        uint64_t version;

        /* Version 2 is written as 1. */
        if (der_expect(&r, DER_INTEGER, &v) < 0 || der_u64(&v, &version) < 0 || version != 1)
                return -EBADMSG;
        if (x509_read_algorithm(&r, c->profile) < 0 || der_expect(&r, DER_SEQUENCE, &v) < 0)
                return -EBADMSG;
        c->issuer = (CertificateBytes) { v.whole, v.whole_size };
        if (x509_read_time(&r, &c->this_update) < 0)
                return -EBADMSG;
        c->next_update = INT64_MAX;
        if ((der_peek(&r, DER_UTC_TIME) || der_peek(&r, DER_GENERALIZED_TIME)) &&
                        x509_read_time(&r, &c->next_update) < 0)
                return -EBADMSG;
        if (der_peek(&r, DER_SEQUENCE)) {
                if (der_expect(&r, DER_SEQUENCE, &v) < 0)
                        return -EBADMSG;
                c->entries = (CertificateBytes) { v.data, v.size };
        }
        if (der_peek(&r, DER_CONTEXT | 0) && der_expect(&r, DER_CONTEXT | 0, &v) < 0)
                return -EBADMSG;
        return byte_reader_left(&r) > 0 ? -EBADMSG : check_entries(&c->entries);
}

int crl_new_profile(X509Profile profile, const void *der, size_t size, Crl **ret, char **reterr) {
        _cleanup_crl_ Crl *c = NULL;
        ByteReader r, inside;
        DerValue outer, body;
        int k;

        if (size == 0 || size > CRL_SIZE_MAX)
                return error_set(reterr, -EBADMSG, "a revocation list of %zu bytes; expected 1 to %u", size,
                                CRL_SIZE_MAX);
        c = calloc(1, sizeof(Crl));
        if (!c)
                return -ENOMEM;
        c->der = malloc(size);
        if (!c->der)
                return -ENOMEM;
        memcpy(c->der, der, size);
        c->size = size;
        c->profile = profile;

        r = byte_reader(c->der, size);
        if (der_expect(&r, DER_SEQUENCE, &outer) < 0 || byte_reader_left(&r) > 0)
                return error_set(reterr, -EBADMSG, "not a DER revocation list");
        inside = der_inside(&outer);
        k = x509_read_signed(&inside, profile, &body, &c->signature, reterr);
        if (k < 0)
                return k;
        c->signed_part = (CertificateBytes) { body.whole, body.whole_size };
        if (read_body(c, &body) < 0)
                return error_set(reterr, -EBADMSG, "not an X.509 version 2 revocation list");
        *ret = TAKE_PTR(c);
        return 0;
}

int crl_new(const void *der, size_t size, Crl **ret, char **reterr) {
        return crl_new_profile(X509_RSA_PSS, der, size, ret, reterr);
}

Crl *crl_free(Crl *c) {
        if (!c)
                return NULL;
        free(c->der);
        free(c);
        return NULL;
}

int crl_verify(const Crl *c, const Certificate *issuer) {
        if (!x509_same_bytes(&c->issuer, &issuer->subject))
                return -EKEYREJECTED;
        return x509_verify_bytes(&c->signed_part, &c->signature, issuer);
}

int crl_holds(const Crl *c, const Certificate *certificate) {
        ByteReader r = byte_reader(c->entries.data, c->entries.size), inside;
        DerValue entry, serial;

        while (byte_reader_left(&r) > 0) {
                if (der_expect(&r, DER_SEQUENCE, &entry) < 0)
                        return -EBADMSG;
                inside = der_inside(&entry);
                if (der_expect(&inside, DER_INTEGER, &serial) < 0)
                        return -EBADMSG;
                if (serial.size == certificate->serial.size &&
                                memcmp(serial.data, certificate->serial.data, serial.size) == 0)
                        return 1;
        }
        return 0;
}
