/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The certificates of SEV and SEV-ES platforms, as data (AMD 55766, appendices B "SEV certificate" and C "AMD signing
 * key certificate"). Nothing here knows cryptography: whether a signature holds is for attest/ to say.
 *
 *      SEV certificate, 2084 bytes: PDH, PEK, OCA, CEK and the guest owner's own (GODH)
 *      0x000 u32 version = 1             0x414 u32 signature 1: usage of the signer's key
 *      0x004 u8  API major, u8 minor     0x418 u32 signature 1: algorithm
 *      0x006 u16 reserved                0x41c 512 bytes signature 1
 *      0x008 u32 usage of this key       0x61c ... signature 2, the same three members
 *      0x00c u32 algorithm of this key
 *      0x010 1028 bytes public key: u32 curve, x[72], y[72], zeros
 *
 *      AMD certificate, 832 bytes (RSA 2048) or 1600 (RSA 4096): ASK and ARK
 *      0x00 u32 version = 1              0x38 u32 size of the exponent in bits
 *      0x04 16 bytes key id              0x3c u32 size of the modulus in bits
 *      0x14 16 bytes id of the signer    0x40 exponent, modulus, signature: each as long as the modulus
 *      0x24 u32 usage, 16 reserved
 *
 * Numbers are little endian in the files, big numbers included; the structures below hold big numbers big endian. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"

#define SEV_CERT_SIZE        2084u
#define SEV_CERT_SIGNED_SIZE 0x414u /* the range that signatures cover */
#define SEV_CERT_SIGNATURES  2u
#define SEV_CERT_COORDINATE  48u /* P-384 */

typedef enum SevUsage {
        SEV_USAGE_ARK = 0x0,
        SEV_USAGE_ASK = 0x13,
        SEV_USAGE_NONE = 0x1000, /* an empty signature slot */
        SEV_USAGE_OCA = 0x1001,
        SEV_USAGE_PEK = 0x1002,
        SEV_USAGE_PDH = 0x1003,
        SEV_USAGE_CEK = 0x1004,
} SevUsage;

typedef enum SevAlgorithm {
        SEV_ALGORITHM_NONE = 0x0,
        SEV_ALGORITHM_RSA_SHA256 = 0x1,
        SEV_ALGORITHM_ECDSA_SHA256 = 0x2,
        SEV_ALGORITHM_ECDH_SHA256 = 0x3,
        SEV_ALGORITHM_RSA_SHA384 = 0x101,
        SEV_ALGORITHM_ECDSA_SHA384 = 0x102,
        SEV_ALGORITHM_ECDH_SHA384 = 0x103,
} SevAlgorithm;

const char *sev_usage_to_string(uint32_t usage);         /* "PDH"; "unknown" */
const char *sev_algorithm_to_string(uint32_t algorithm); /* "ecdsa-sha256"; "unknown" */
bool sev_algorithm_is_rsa(uint32_t algorithm);
bool sev_algorithm_is_ecdsa(uint32_t algorithm);

typedef struct SevSignature {
        uint32_t usage; /* of the key that made it; SEV_USAGE_NONE: the slot is empty */
        uint32_t algorithm;
        uint8_t bytes[512]; /* as in the file: ECDSA r[72], s[72], zeros; RSA: one number */
} SevSignature;

typedef struct SevCert {
        uint8_t api_major, api_minor; /* of the firmware that made it */
        uint32_t usage, algorithm;
        uint8_t x[SEV_CERT_COORDINATE], y[SEV_CERT_COORDINATE]; /* big endian */
        SevSignature signatures[SEV_CERT_SIGNATURES];
        uint8_t raw[SEV_CERT_SIZE]; /* the bytes that were read or formatted */
} SevCert;

/* Strict: exactly SEV_CERT_SIZE bytes, version 1, curve P-384, everything that must be zero is zero. -EBADMSG with the
 * offset in the error message, -EOPNOTSUPP for kinds of keys that no platform has. */
_warn_unused_result_ int sev_cert_parse(const void *data, size_t size, SevCert *ret, char **reterr);
/* Writes api, usage, algorithm, point and signatures of c into c->raw: the reverse of sev_cert_parse(). */
void sev_cert_format(SevCert *c);

/* r and s of an ECDSA signature, big endian; -EBADMSG if bytes that must be zero are not. */
_warn_unused_result_ int sev_signature_ecdsa(const SevSignature *s,
                uint8_t ret_r[static SEV_CERT_COORDINATE], uint8_t ret_s[static SEV_CERT_COORDINATE]);
void sev_signature_set_ecdsa(SevSignature *s, uint32_t usage, uint32_t algorithm,
                const uint8_t r[static SEV_CERT_COORDINATE], const uint8_t s_be[static SEV_CERT_COORDINATE]);
/* The number of an RSA signature of `size` bytes, big endian. */
_warn_unused_result_ int sev_signature_rsa(const SevSignature *s, size_t size, uint8_t *ret);

#define AMD_CERT_SIZE_2048 832u
#define AMD_CERT_SIZE_4096 1600u
#define AMD_CERT_SIZE_UNSIGNED                                                                              \
        576u /* the ARK of the first generation as it is published: the signature is missing */
#define AMD_CERT_NUMBER_MAX  512u
#define AMD_CERT_KEY_ID_SIZE 16u

typedef struct AmdCert {
        uint8_t key_id[AMD_CERT_KEY_ID_SIZE], certifying_id[AMD_CERT_KEY_ID_SIZE];
        uint32_t usage;
        size_t number_size;                     /* bytes of the modulus: 256 or 512 */
        uint8_t exponent[AMD_CERT_NUMBER_MAX];  /* big endian, number_size bytes */
        uint8_t modulus[AMD_CERT_NUMBER_MAX];   /* the same */
        uint8_t signature[AMD_CERT_NUMBER_MAX]; /* the same */
        bool has_signature;                     /* false only for AMD_CERT_SIZE_UNSIGNED bytes */
        uint8_t raw[AMD_CERT_SIZE_4096];        /* as read */
        size_t raw_size, signed_size;
} AmdCert;

/* Reads one certificate at the beginning of data; *ret_used is how many bytes it took. -EBADMSG as above. A certificate
 * without its signature is accepted only as the very last bytes and only with allow_unsigned. */
_warn_unused_result_ int amd_cert_parse(const void *data, size_t size, bool allow_unsigned, AmdCert *ret,
                size_t *ret_used, char **reterr);
/* Formats everything but the signature into c->raw and sets the sizes; then, with has_signature, the signature too. */
void amd_cert_format(AmdCert *c);
