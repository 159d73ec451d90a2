/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What differs between the hierarchies: algorithms of signatures and of keys. */

#include <errno.h>
#include <string.h>

#include "crypto-x509-internal.h"
#include "error.h"

/* AMD's one algorithm: rsassaPss (1.2.840.113549.1.1.10) with [0] sha384, [1] mgf1 with sha384, [2] salt 48, and [3] trailer
 * field 1, which AMD's certificates of before 2024 spell out although it is the default. Compared byte by byte:
 * another encoding of the same thing is not AMD's. */
#define PSS_PARAMETERS                                                                                      \
        0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05,     \
                        0x00, 0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, \
                        0x01, 0x08, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, \
                        0x02, 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01, 0x30
#define PSS_OID 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a
static const uint8_t pss_short[] = { 0x30, 0x41, PSS_OID, 0x30, 0x34, PSS_PARAMETERS };
static const uint8_t pss_long[] = { 0x30, 0x46, PSS_OID, 0x30, 0x39, PSS_PARAMETERS, 0xa3, 0x03, 0x02, 0x01,
        0x01 };
static const uint8_t rsa_algorithm[] = { 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
        0x01, 0x01, 0x05, 0x00 };
static const uint8_t p384_algorithm[] = { 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
        0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22 };
/* Intel's: ecdsa-with-SHA256 (1.2.840.10045.4.3.2), without parameters; id-ecPublicKey with prime256v1. */
static const uint8_t ecdsa_sha256[] = { 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03,
        0x02 };
static const uint8_t p256_algorithm[] = { 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
        0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };

static const char *const profiles[] = {
        [X509_RSA_PSS] = "RSASSA-PSS with SHA-384, MGF1-SHA-384 and salt 48",
        [X509_ECDSA_P256] = "ECDSA with SHA-256",
};

static bool same(const DerValue *v, const uint8_t *p, size_t n) {
        return v->whole_size == n && memcmp(v->whole, p, n) == 0;
}

static bool is_pss(const DerValue *v) {
        return same(v, pss_short, sizeof(pss_short)) || same(v, pss_long, sizeof(pss_long));
}

static bool is_algorithm(const DerValue *v, X509Profile profile) {
        return profile == X509_ECDSA_P256 ? same(v, ecdsa_sha256, sizeof(ecdsa_sha256)) : is_pss(v);
}

int x509_read_signed(ByteReader *outer, X509Profile profile, DerValue *ret_body,
                CertificateBytes *ret_signature, char **reterr) {
        DerValue body, algorithm, bits;

        if (der_expect(outer, DER_SEQUENCE, &body) < 0 || der_expect(outer, DER_SEQUENCE, &algorithm) < 0 ||
                        der_expect(outer, DER_BIT_STRING, &bits) < 0 || byte_reader_left(outer) > 0)
                return error_set(reterr, -EBADMSG, "not a signed X.509 structure");
        if (!is_algorithm(&algorithm, profile))
                return error_set(reterr, -EBADMSG, "the signature algorithm is not %s", profiles[profile]);
        if (der_bits(&bits, &ret_signature->data, &ret_signature->size) < 0)
                return error_set(reterr, -EBADMSG, "the signature is not a whole number of bytes");
        *ret_body = body;
        return 0;
}

int x509_read_algorithm(ByteReader *r, X509Profile profile) {
        DerValue v;

        if (der_expect(r, DER_SEQUENCE, &v) < 0 || !is_algorithm(&v, profile))
                return -EBADMSG;
        return 0;
}

static int read_rsa_key(const uint8_t *p, size_t n, RsaKey **ret) {
        ByteReader r = byte_reader(p, n), inside;
        DerValue key, modulus, exponent;
        const uint8_t *m, *e;
        size_t m_size, e_size;

        if (der_expect(&r, DER_SEQUENCE, &key) < 0 || byte_reader_left(&r) > 0)
                return -EBADMSG;
        inside = der_inside(&key);
        if (der_expect(&inside, DER_INTEGER, &modulus) < 0 ||
                        der_expect(&inside, DER_INTEGER, &exponent) < 0 || byte_reader_left(&inside) > 0 ||
                        der_unsigned(&modulus, &m, &m_size) < 0 || der_unsigned(&exponent, &e, &e_size) < 0)
                return -EBADMSG;
        return rsa_key_new(m, m_size, e, e_size, ret);
}

int x509_read_public_key(Certificate *c, ByteReader *r) {
        DerValue info, algorithm, bits;
        ByteReader inside;
        const uint8_t *p;
        EcPoint point;
        size_t n;

        if (der_expect(r, DER_SEQUENCE, &info) < 0)
                return -EBADMSG;
        inside = der_inside(&info);
        if (der_expect(&inside, DER_SEQUENCE, &algorithm) < 0 ||
                        der_expect(&inside, DER_BIT_STRING, &bits) < 0 || byte_reader_left(&inside) > 0 ||
                        der_bits(&bits, &p, &n) < 0)
                return -EBADMSG;
        c->public_key = (CertificateBytes) { info.whole, info.whole_size };

        if (c->profile == X509_ECDSA_P256)
                return same(&algorithm, p256_algorithm, sizeof(p256_algorithm)) &&
                                                n == 1 + P256_POINT_SIZE && p[0] == 4
                                ? p256_key_new(p + 1, &c->p256)
                                : -EBADMSG;
        if (same(&algorithm, rsa_algorithm, sizeof(rsa_algorithm)))
                return read_rsa_key(p, n, &c->rsa);
        if (same(&algorithm, p384_algorithm, sizeof(p384_algorithm)) && n == 1 + 2 * P384_SIZE &&
                        p[0] == 4) {
                memcpy(point.x, p + 1, P384_SIZE);
                memcpy(point.y, p + 1 + P384_SIZE, P384_SIZE);
                return ec_key_from_point(&point, &c->ec);
        }
        return -EBADMSG;
}

int x509_verify_bytes(
                const CertificateBytes *body, const CertificateBytes *signature, const Certificate *issuer) {
        if (issuer->p256)
                return p256_key_verify_der(
                                issuer->p256, body->data, body->size, signature->data, signature->size);
        if (!issuer->rsa)
                return -EKEYREJECTED;
        return rsa_key_verify_pss(
                        issuer->rsa, HASH_SHA384, body->data, body->size, signature->data, signature->size);
}
