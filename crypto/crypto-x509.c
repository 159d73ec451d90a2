/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-x509.h"

#include <errno.h>
#include <string.h>

#include "crypto-der.h"
#include "crypto-x509-internal.h"
#include "error.h"

static const uint8_t oid_common_name[] = { 0x55, 0x04, 0x03 };
static const uint8_t oid_key_usage[] = { 0x55, 0x1d, 0x0f };
static const uint8_t oid_basic_constraints[] = { 0x55, 0x1d, 0x13 };

static CertificateBytes bytes_whole(const DerValue *v) {
        return (CertificateBytes) { v->whole, v->whole_size };
}

int x509_read_time(ByteReader *r, int64_t *ret) {
        DerValue v;

        if (der_next(r, &v) < 0)
                return -EBADMSG;
        return der_time(&v, ret);
}

/* Walks a Name; the one common name in it, printable ASCII, goes to ret. */
static int read_name(ByteReader *r, CertificateBytes *ret_name, char ret[static CERTIFICATE_NAME_MAX + 1]) {
        DerValue name, rdn, attribute, oid, value;
        bool found = false;
        ByteReader inside;

        if (der_expect(r, DER_SEQUENCE, &name) < 0)
                return -EBADMSG;
        inside = der_inside(&name);
        while (byte_reader_left(&inside) > 0) {
                ByteReader set, pair;

                if (der_expect(&inside, DER_SET, &rdn) < 0)
                        return -EBADMSG;
                set = der_inside(&rdn);
                if (der_expect(&set, DER_SEQUENCE, &attribute) < 0 || byte_reader_left(&set) > 0)
                        return -EBADMSG; /* several attributes in one RDN: not in this trade */
                pair = der_inside(&attribute);
                if (der_expect(&pair, DER_OID, &oid) < 0 || der_next(&pair, &value) < 0 ||
                                byte_reader_left(&pair) > 0)
                        return -EBADMSG;
                if (oid.size != sizeof(oid_common_name) || memcmp(oid.data, oid_common_name, oid.size) != 0)
                        continue;
                if (found || value.size > CERTIFICATE_NAME_MAX ||
                                (value.tag != DER_UTF8_STRING && value.tag != DER_PRINTABLE_STRING))
                        return -EBADMSG;
                for (size_t i = 0; i < value.size; i++)
                        if (value.data[i] < 0x20 || value.data[i] > 0x7e)
                                return -EBADMSG;
                memcpy(ret, value.data, value.size);
                ret[value.size] = 0;
                found = true;
        }
        *ret_name = bytes_whole(&name);
        return found ? 0 : -EBADMSG;
}

static int read_extension(Certificate *c, ByteReader *list, char **reterr) {
        DerValue seq, oid, flag, value;
        CertificateExtension *e;
        bool critical = false;
        ByteReader inside;

        if (der_expect(list, DER_SEQUENCE, &seq) < 0)
                return error_set(reterr, -EBADMSG, "extension %zu is not a sequence", c->n_extensions);
        inside = der_inside(&seq);
        if (der_expect(&inside, DER_OID, &oid) < 0)
                return error_set(reterr, -EBADMSG, "extension %zu has no identifier", c->n_extensions);
        if (der_peek(&inside, DER_BOOLEAN)) {
                /* DEFAULT FALSE: DER encodes only TRUE, as 0xff. */
                if (der_expect(&inside, DER_BOOLEAN, &flag) < 0 || flag.size != 1 || flag.data[0] != 0xff)
                        return error_set(reterr, -EBADMSG, "extension %zu: bad critical flag",
                                        c->n_extensions);
                critical = true;
        }
        if (der_expect(&inside, DER_OCTET_STRING, &value) < 0 || byte_reader_left(&inside) > 0)
                return error_set(reterr, -EBADMSG, "extension %zu has no value", c->n_extensions);
        if (certificate_extension(c, oid.data, oid.size))
                return error_set(reterr, -EBADMSG, "extension %zu is a duplicate", c->n_extensions);
        if (c->n_extensions == CERTIFICATE_EXTENSIONS_MAX)
                return error_set(reterr, -E2BIG, "more than %u extensions", CERTIFICATE_EXTENSIONS_MAX);

        e = &c->extensions[c->n_extensions++];
        *e = (CertificateExtension) { oid.data, oid.size, critical, value.data, value.size };
        return 0;
}

static int read_basic_constraints(Certificate *c, const CertificateExtension *e) {
        ByteReader r = byte_reader(e->value, e->value_size), inside;
        DerValue seq, v;

        if (der_expect(&r, DER_SEQUENCE, &seq) < 0 || byte_reader_left(&r) > 0)
                return -EBADMSG;
        inside = der_inside(&seq);
        if (der_peek(&inside, DER_BOOLEAN)) {
                if (der_expect(&inside, DER_BOOLEAN, &v) < 0 || v.size != 1 || v.data[0] != 0xff)
                        return -EBADMSG;
                c->is_ca = true;
        }
        if (der_peek(&inside, DER_INTEGER)) {
                if (!c->is_ca || der_expect(&inside, DER_INTEGER, &v) < 0 ||
                                der_u64(&v, &c->path_length) < 0)
                        return -EBADMSG;
                c->has_path_length = true;
        }
        return byte_reader_left(&inside) > 0 ? -EBADMSG : 0;
}

static int read_key_usage(Certificate *c, const CertificateExtension *e) {
        ByteReader r = byte_reader(e->value, e->value_size);
        DerValue v;

        if (der_expect(&r, DER_BIT_STRING, &v) < 0 || byte_reader_left(&r) > 0 || v.size < 2 || v.size > 3 ||
                        v.data[0] > 7)
                return -EBADMSG;
        /* Bit 0 is the highest of the first byte. */
        for (unsigned bit = 0; bit < 8; bit++)
                if (v.data[1] & (0x80u >> bit))
                        c->key_usage |= 1u << bit;
        c->has_key_usage = true;
        return 0;
}

static int read_extensions(Certificate *c, ByteReader *r, char **reterr) {
        const CertificateExtension *e;
        DerValue wrapper, list;
        ByteReader inside;
        int k;

        if (der_expect(r, DER_CONTEXT | 3, &wrapper) < 0)
                return error_set(reterr, -EBADMSG, "there are no extensions");
        inside = der_inside(&wrapper);
        if (der_expect(&inside, DER_SEQUENCE, &list) < 0 || byte_reader_left(&inside) > 0)
                return error_set(reterr, -EBADMSG, "the extensions are not a sequence");
        inside = der_inside(&list);
        while (byte_reader_left(&inside) > 0) {
                k = read_extension(c, &inside, reterr);
                if (k < 0)
                        return k;
        }

        e = certificate_extension(c, oid_basic_constraints, sizeof(oid_basic_constraints));
        if (e && read_basic_constraints(c, e) < 0)
                return error_set(reterr, -EBADMSG, "bad basic constraints");
        e = certificate_extension(c, oid_key_usage, sizeof(oid_key_usage));
        if (e && read_key_usage(c, e) < 0)
                return error_set(reterr, -EBADMSG, "bad key usage");
        FOREACH_ARRAY(x, c->extensions, c->n_extensions)
                if (x->critical &&
                                !(x->oid_size == 3 &&
                                                (memcmp(x->oid, oid_key_usage, 3) == 0 ||
                                                                memcmp(x->oid, oid_basic_constraints, 3) ==
                                                                                0)))
                        return error_set(reterr, -EBADMSG, "unknown critical extension");
        return 0;
}

static int read_body(Certificate *c, const DerValue *body, char **reterr) {
        ByteReader r = der_inside(body), inside;
        DerValue version, v, serial, validity;
        uint64_t number;
        int k;

        if (der_expect(&r, DER_CONTEXT | 0, &version) < 0)
                return error_set(reterr, -EBADMSG, "not an X.509 version 3 certificate");
        inside = der_inside(&version);
        if (der_expect(&inside, DER_INTEGER, &v) < 0 || byte_reader_left(&inside) > 0 ||
                        der_u64(&v, &number) < 0 || number != 2)
                return error_set(reterr, -EBADMSG, "not an X.509 version 3 certificate");
        /* 20 bytes, and one for the sign. */
        if (der_expect(&r, DER_INTEGER, &serial) < 0 || serial.size < 1 || serial.size > 21 ||
                        (serial.size == 21 && serial.data[0] != 0))
                return error_set(reterr, -EBADMSG, "bad serial number");
        c->serial = (CertificateBytes) { serial.data, serial.size };
        if (x509_read_algorithm(&r, c->profile) < 0)
                return error_set(reterr, -EBADMSG, "the two signature algorithm fields differ");
        if (read_name(&r, &c->issuer, c->issuer_common_name) < 0)
                return error_set(reterr, -EBADMSG, "bad issuer name");
        if (der_expect(&r, DER_SEQUENCE, &validity) < 0)
                return error_set(reterr, -EBADMSG, "bad validity");
        inside = der_inside(&validity);
        if (x509_read_time(&inside, &c->not_before) < 0 || x509_read_time(&inside, &c->not_after) < 0 ||
                        byte_reader_left(&inside) > 0)
                return error_set(reterr, -EBADMSG, "bad validity");
        if (read_name(&r, &c->subject, c->common_name) < 0)
                return error_set(reterr, -EBADMSG, "bad subject name");
        k = x509_read_public_key(c, &r);
        if (k < 0)
                return error_set(reterr, k == -ENOMEM ? k : -EBADMSG,
                                c->profile == X509_ECDSA_P256 ? "the key is not on P-256"
                                                              : "the key is neither RSA nor on P-384");
        k = read_extensions(c, &r, reterr);
        if (k < 0)
                return k;
        if (byte_reader_left(&r) > 0)
                return error_set(reterr, -EBADMSG, "bytes after the extensions");
        return 0;
}

int certificate_new_profile(
                X509Profile profile, const void *der, size_t size, Certificate **ret, char **reterr) {
        _cleanup_certificate_ Certificate *c = NULL;
        ByteReader r, inside;
        DerValue outer, body;
        int k;

        if (size == 0 || size > CERTIFICATE_SIZE_MAX)
                return error_set(reterr, -EBADMSG, "a certificate of %zu bytes; expected 1 to %u", size,
                                CERTIFICATE_SIZE_MAX);
        c = calloc(1, sizeof(Certificate));
        if (!c)
                return -ENOMEM;
        c->der = malloc(size);
        if (!c->der)
                return -ENOMEM;
        memcpy(c->der, der, size);
        c->size = size;
        c->profile = profile;

        r = byte_reader(c->der, size);
        if (der_expect(&r, DER_SEQUENCE, &outer) < 0)
                return error_set(reterr, -EBADMSG, "not a DER certificate");
        if (byte_reader_left(&r) > 0)
                return error_set(reterr, -EBADMSG, "%zu bytes after the end of the certificate",
                                byte_reader_left(&r));
        inside = der_inside(&outer);
        k = x509_read_signed(&inside, profile, &body, &c->signature, reterr);
        if (k < 0)
                return k;
        c->signed_part = bytes_whole(&body);
        k = read_body(c, &body, reterr);
        if (k < 0)
                return k;
        *ret = TAKE_PTR(c);
        return 0;
}

int certificate_new(const void *der, size_t size, Certificate **ret, char **reterr) {
        return certificate_new_profile(X509_RSA_PSS, der, size, ret, reterr);
}

Certificate *certificate_free(Certificate *c) {
        if (!c)
                return NULL;
        rsa_key_free(c->rsa);
        ec_key_free(c->ec);
        p256_key_free(c->p256);
        free(c->der);
        free(c);
        return NULL;
}

const CertificateExtension *certificate_extension(
                const Certificate *c, const uint8_t *oid, size_t oid_size) {
        FOREACH_ARRAY(e, c->extensions, c->n_extensions)
                if (e->oid_size == oid_size && memcmp(e->oid, oid, oid_size) == 0)
                        return e;
        return NULL;
}

int certificate_fingerprint(const Certificate *c, uint8_t ret[static SHA256_SIZE]) {
        return hash_digest(HASH_SHA256, c->public_key.data, c->public_key.size, ret);
}

bool x509_same_bytes(const CertificateBytes *a, const CertificateBytes *b) {
        return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

int certificate_verify(const Certificate *c, const Certificate *issuer) {
        if (!x509_same_bytes(&c->issuer, &issuer->subject))
                return -EKEYREJECTED;
        return x509_verify_bytes(&c->signed_part, &c->signature, issuer);
}
