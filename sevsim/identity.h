/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A made-up AMD: the keys and certificates of one simulated platform, in AMD's formats, new at each run of the
 * tool. Nothing of it is, or may become, a trust anchor of anything but a test. */

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sim-generation.h"

enum { CHIP_ID_SIZE = 64 };

typedef struct Identity {
        int dir_fd;
        EVP_PKEY *ark; /* RSA-4096; the legacy and the X.509 certificates share these keys, as AMD's do */
        EVP_PKEY *ask;
        EVP_PKEY *asvk;
        EVP_PKEY *cek; /* P-384 from here on */
        EVP_PKEY *oca;
        EVP_PKEY *pek;
        EVP_PKEY *pdh;
        EVP_PKEY *vcek;
        EVP_PKEY *vlek;
        uint8_t chip_id[CHIP_ID_SIZE];
        const SimGeneration *generation;
} Identity;

/* identity-sev.c: cek.cert oca.cert pek.cert pdh.cert; as a whole also ark.cert ask.cert cek-signed.cert */
int identity_write_sev(const Identity *identity, bool whole);
/* identity-x509.c: ark.pem ask.pem asvk.pem vcek.der vlek.der, chains and revocation list */
int identity_write_x509(const Identity *identity);

int identity_write_file(
                const Identity *identity, const char *name, const void *data, size_t size, mode_t mode);
/* RSASSA-PSS with SHA-384 for hash, mask and salt length, which is what AMD's 4096-bit keys make. */
EVP_MD_CTX *identity_pss_begin(EVP_PKEY *key);
