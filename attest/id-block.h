/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Building, signing and verifying ID blocks. Signatures can come from elsewhere: prepare gives the bytes to be signed, assemble takes the
 * signatures. Whatever is built is verified before it is handed out: a wrong one fails a launch with nothing but a
 * number. */

#include <stddef.h>
#include <stdint.h>

#include "crypto-ec.h"
#include "macro.h"
#include "snp-id-block.h"

typedef struct IdBlockFiles {
        uint8_t block[SNP_ID_BLOCK_SIZE];
        uint8_t auth[SNP_ID_AUTH_SIZE];
} IdBlockFiles;

/* -EINVAL with an error message for what no firmware launches: a policy with a reserved bit wrong. */
_warn_unused_result_ int id_block_check(const SnpIdBlock *b, char **reterr);

/* author: NULL for none (early firmware insists on one). */
_warn_unused_result_ int id_block_build(const SnpIdBlock *b, const EcKey *id_key, const EcKey *author_key,
                IdBlockFiles *ret, char **reterr);

/* From signatures made elsewhere over the 96 bytes of the block (by the ID key) and over the 1028 bytes of the ID key (by the author
 * key), both SHA-384. author and author_signature: both or none. -EKEYREJECTED with an error message if one is wrong. */
_warn_unused_result_ int id_block_assemble(const SnpIdBlock *b, const EcKey *id_public,
                const EcSignature *id_signature, const EcKey *author_public,
                const EcSignature *author_signature, IdBlockFiles *ret, char **reterr);

/* A signature over n bytes by P-384 and SHA-384, against the public key alone: 0, -EBADMSG if the key is not a point of the curve, or another
 * -errno if it did not sign this. */
_warn_unused_result_ int id_signature_verify(
                const SnpIdKey *key, const SnpIdSignature *s, const void *p, size_t n);

/* Both signatures and the layout: -EBADMSG, -EKEYREJECTED with an error message. */
_warn_unused_result_ int id_block_verify(const void *block, size_t block_size, const void *auth,
                size_t auth_size, SnpIdBlock *ret_block, SnpIdAuth *ret_auth, char **reterr);

/* What reports carry: SHA-384 of the key's 1028-byte form. */
_warn_unused_result_ int id_key_digest(const SnpIdKey *k, uint8_t ret[static SHA384_SIZE]);
_warn_unused_result_ int id_key_from_ec(const EcKey *k, SnpIdKey *ret);

/* A detached signature: 96 bytes r and s big endian, the DER form that OpenSSL writes, or the 512 bytes of the firmware's form. */
_warn_unused_result_ int id_signature_read(const void *p, size_t n, EcSignature *ret, char **reterr);
