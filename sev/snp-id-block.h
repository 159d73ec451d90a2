/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* ID block and ID authentication information (AMD publication 56860, SNP_LAUNCH_FINISH): who launched what. The firmware compares the
 * block's digest and policy with the launch, checks the ID key's signature over the block and, if there is one, the
 * author key's signature over the ID key; reports then carry the digests of both keys. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "macro.h"
#include "snp-report.h"

#define SNP_ID_BLOCK_SIZE    96u
#define SNP_ID_AUTH_SIZE     4096u
#define SNP_KEY_SIZE         1028u /* a public key as the firmware stores and hashes it */
#define SNP_ID_BLOCK_VERSION 1u
#define SNP_CURVE_P384       2u

typedef struct _packed_ SnpIdBlockAbi {
        uint8_t digest[48];
        uint8_t family_id[16];
        uint8_t image_id[16];
        uint8_t version[4];
        uint8_t guest_svn[4];
        uint8_t policy[8];
} SnpIdBlockAbi;
static_assert(sizeof(SnpIdBlockAbi) == SNP_ID_BLOCK_SIZE, "ABI");
static_assert(offsetof(SnpIdBlockAbi, family_id) == 0x30, "ABI");
static_assert(offsetof(SnpIdBlockAbi, version) == 0x50, "ABI");
static_assert(offsetof(SnpIdBlockAbi, policy) == 0x58, "ABI");

typedef struct _packed_ SnpKeyAbi {
        uint8_t curve[4];
        uint8_t x[72]; /* little endian */
        uint8_t y[72];
        uint8_t reserved[880];
} SnpKeyAbi;
static_assert(sizeof(SnpKeyAbi) == SNP_KEY_SIZE, "ABI");

typedef struct _packed_ SnpIdAuthAbi {
        uint8_t id_key_algorithm[4];
        uint8_t author_key_algorithm[4]; /* 0: no author key */
        uint8_t reserved_8[56];
        SnpSignatureAbi id_block_signature; /* by the ID key over the block */
        SnpKeyAbi id_key;
        uint8_t reserved_644[60];
        SnpSignatureAbi id_key_signature; /* by the author key over id_key */
        SnpKeyAbi author_key;
        uint8_t reserved_c84[892];
} SnpIdAuthAbi;
static_assert(sizeof(SnpIdAuthAbi) == SNP_ID_AUTH_SIZE, "ABI");
static_assert(offsetof(SnpIdAuthAbi, id_block_signature) == 0x40, "ABI");
static_assert(offsetof(SnpIdAuthAbi, id_key) == 0x240, "ABI");
static_assert(offsetof(SnpIdAuthAbi, id_key_signature) == 0x680, "ABI");
static_assert(offsetof(SnpIdAuthAbi, author_key) == 0x880, "ABI");
static_assert(offsetof(SnpIdAuthAbi, reserved_c84) == 0xc84, "ABI");

typedef struct SnpIdBlock {
        uint8_t digest[48], family_id[16], image_id[16];
        uint32_t guest_svn;
        uint64_t policy;
} SnpIdBlock;

typedef struct SnpIdKey {
        uint8_t x[48], y[48]; /* big endian */
} SnpIdKey;

typedef struct SnpIdSignature {
        uint8_t r[48], s[48];
} SnpIdSignature;

typedef struct SnpIdAuth {
        SnpIdKey id_key, author_key;
        SnpIdSignature id_block_signature, id_key_signature;
        bool has_author;
} SnpIdAuth;

/* Decoders: -EBADMSG with an error message that names the offset. */
_warn_unused_result_ int snp_id_block_decode(const void *p, size_t n, SnpIdBlock *ret, char **reterr);
void snp_id_block_encode(const SnpIdBlock *b, uint8_t ret[static SNP_ID_BLOCK_SIZE]);
void snp_key_encode(const SnpIdKey *k, uint8_t ret[static SNP_KEY_SIZE]);
_warn_unused_result_ int snp_id_auth_decode(const void *p, size_t n, SnpIdAuth *ret, char **reterr);
void snp_id_auth_encode(const SnpIdAuth *a, uint8_t ret[static SNP_ID_AUTH_SIZE]);
/* Members digest, family-id, image-id, guest-svn, policy. */
_warn_unused_result_ int snp_id_block_json(const SnpIdBlock *b, Json **ret);
