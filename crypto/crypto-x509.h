/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* X.509 certificates and revocation lists of the profiles that two key hierarchies use (RFC 5280, version 3). AMD's (AMD publication 57230):
 * RSASSA-PSS with SHA-384, MGF1-SHA-384 and a salt of 48 bytes, keys RSA or P-384, a serial number that may be 0, and
 * leaves without authority key identifier. Intel's (Intel SGX PCK Certificate and CRL Profile Specification): ECDSA with SHA-256, keys on
 * P-256. Anything else does not parse, and a reader says which of both it expects. No path is built: a chain has
 * three certificates, and the caller says which certificate signed which and which root key it trusts.
 *
 * A parsed Certificate says nothing about authenticity; certificate_verify() with the issuer's key does. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto-ec.h"
#include "crypto-hash.h"
#include "crypto-p256.h"
#include "crypto-rsa.h"

#define CERTIFICATE_SIZE_MAX       16384u /* AMD's have 1.3 to 1.7 KiB */
#define CERTIFICATE_EXTENSIONS_MAX 32u    /* a Turin VCEK has 11 */
#define CERTIFICATE_NAME_MAX       64u    /* ub-common-name */
#define CRL_SIZE_MAX               (1024u * 1024u)

typedef enum X509Profile {
        X509_RSA_PSS,
        X509_ECDSA_P256,
} X509Profile;

typedef struct CertificateExtension {
        const uint8_t *oid; /* content octets of the OBJECT IDENTIFIER; points into the certificate, as does value */
        size_t oid_size;
        bool critical;
        const uint8_t *value; /* content of the extnValue OCTET STRING */
        size_t value_size;
} CertificateExtension;

/* A run of bytes inside the certificate. */
typedef struct CertificateBytes {
        const uint8_t *data;
        size_t size;
} CertificateBytes;

typedef struct Certificate {
        X509Profile profile;
        uint8_t *der; /* owned */
        size_t size;
        CertificateBytes signed_part, serial, issuer, subject, public_key, signature;
        char common_name[CERTIFICATE_NAME_MAX + 1]; /* of the subject; printable ASCII */
        char issuer_common_name[CERTIFICATE_NAME_MAX + 1];
        int64_t not_before, not_after; /* seconds since 1970, both inclusive */
        RsaKey *rsa;                   /* owned; exactly one of the three is there */
        EcKey *ec;                     /* owned */
        P256Key *p256;                 /* owned */
        CertificateExtension extensions[CERTIFICATE_EXTENSIONS_MAX];
        size_t n_extensions;
        bool is_ca, has_path_length, has_key_usage;
        uint64_t path_length;
        unsigned key_usage; /* CERTIFICATE_... bits */
} Certificate;

enum {
        CERTIFICATE_CERT_SIGN = 1 << 5, /* bit numbers of RFC 5280 4.2.1.3 */
        CERTIFICATE_CRL_SIGN = 1 << 6,
};

/* Reads one certificate of AMD's profile, or of the given one, that must fill the input (copied). -EBADMSG with an error message; duplicate extensions are an error. */
_warn_unused_result_ int certificate_new(const void *der, size_t size, Certificate **ret, char **reterr);
_warn_unused_result_ int certificate_new_profile(
                X509Profile profile, const void *der, size_t size, Certificate **ret, char **reterr);
Certificate *certificate_free(Certificate *c); /* takes NULL; returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(Certificate *, certificate_free);
#define _cleanup_certificate_ _cleanup_(certificate_freep)

/* By the content octets of its OID; NULL if absent. */
const CertificateExtension *certificate_extension(const Certificate *c, const uint8_t *oid, size_t oid_size);
/* SHA-256 of the SubjectPublicKeyInfo: what a key is pinned by. */
_warn_unused_result_ int certificate_fingerprint(const Certificate *c, uint8_t ret[static SHA256_SIZE]);
/* Signed by the issuer's key and naming the issuer as its issuer: 0 is authentic, -EKEYREJECTED is not, anything else
 * could not be decided. */
_warn_unused_result_ int certificate_verify(const Certificate *c, const Certificate *issuer);

/* A revocation list, version 2, signed as the certificates are. */
typedef struct Crl {
        X509Profile profile;
        uint8_t *der; /* owned */
        size_t size;
        CertificateBytes signed_part, issuer, entries, signature;
        int64_t this_update, next_update; /* next_update INT64_MAX: none given */
} Crl;

_warn_unused_result_ int crl_new(const void *der, size_t size, Crl **ret, char **reterr);
_warn_unused_result_ int crl_new_profile(
                X509Profile profile, const void *der, size_t size, Crl **ret, char **reterr);
Crl *crl_free(Crl *c);
DEFINE_TRIVIAL_CLEANUP_FUNC(Crl *, crl_free);
#define _cleanup_crl_ _cleanup_(crl_freep)

_warn_unused_result_ int crl_verify(const Crl *c, const Certificate *issuer);
/* 1 if the list holds this serial number, 0 if not. */
_warn_unused_result_ int crl_holds(const Crl *c, const Certificate *certificate);
