/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* AMD's own formats for keys and signatures, as the simulated processor and the tool that makes up its identity
 * read and write them: P-384 points and ECDSA signatures as little-endian fields of 72 bytes. */

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        CERT_SIZE = 2084,
        CERT_SIGNED_SIZE = 0x414,
        EC_KEY_SIZE = 1028, /* u32 curve, QX[72], QY[72], zeros */
        EC_SIG_SIZE = 512,  /* R[72], S[72], zeros */
        EC_CURVE_P384 = 2,
};

/* AMD 55766, "Key usage" and "Algorithms" */
enum {
        USAGE_ARK = 0x0,
        USAGE_ASK = 0x13,
        USAGE_EMPTY = 0x1000,
        USAGE_OCA = 0x1001,
        USAGE_PEK = 0x1002,
        USAGE_PDH = 0x1003,
        USAGE_CEK = 0x1004,
};
enum {
        ALGO_ECDSA_SHA256 = 0x2,
        ALGO_ECDH_SHA256 = 0x3,
        ALGO_RSA_SHA384 = 0x101,
};

EVP_PKEY *ec_key_from_amd(const uint8_t key[static EC_KEY_SIZE]);
int ec_key_to_amd(EVP_PKEY *key, uint8_t ret[static EC_KEY_SIZE]);
bool ec_sig_verify(EVP_PKEY *key, const EVP_MD *md, const void *data, size_t size,
                const uint8_t sig[static EC_SIG_SIZE]);
int ec_sig_make(EVP_PKEY *key, const EVP_MD *md, const void *data, size_t size,
                uint8_t ret[static EC_SIG_SIZE]);
