/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-id-block.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "error.h"

#define AT(field) offsetof(SnpIdAuthAbi, field)

static void reverse(const uint8_t *from, uint8_t *to, size_t n) {
        for (size_t i = 0; i < n; i++)
                to[i] = from[n - 1 - i];
}

int snp_id_block_decode(const void *p, size_t n, SnpIdBlock *ret, char **reterr) {
        SnpIdBlockAbi a;
        SnpIdBlock b;

        if (n != sizeof(a))
                return error_set(reterr, -EBADMSG, "an ID block has %u bytes, but the input has %zu",
                                SNP_ID_BLOCK_SIZE, n);
        memcpy(&a, p, sizeof(a));
        if (le32_read(a.version) != SNP_ID_BLOCK_VERSION)
                return error_set(reterr, -EBADMSG, "version %u at offset 0x50 of the ID block; expected %u",
                                le32_read(a.version), SNP_ID_BLOCK_VERSION);
        memcpy(b.digest, a.digest, sizeof(b.digest));
        memcpy(b.family_id, a.family_id, sizeof(b.family_id));
        memcpy(b.image_id, a.image_id, sizeof(b.image_id));
        b.guest_svn = le32_read(a.guest_svn);
        b.policy = le64_read(a.policy);
        *ret = b;
        return 0;
}

void snp_id_block_encode(const SnpIdBlock *b, uint8_t ret[static SNP_ID_BLOCK_SIZE]) {
        SnpIdBlockAbi a = {};

        memcpy(a.digest, b->digest, sizeof(a.digest));
        memcpy(a.family_id, b->family_id, sizeof(a.family_id));
        memcpy(a.image_id, b->image_id, sizeof(a.image_id));
        le32_write(a.version, SNP_ID_BLOCK_VERSION);
        le32_write(a.guest_svn, b->guest_svn);
        le64_write(a.policy, b->policy);
        memcpy(ret, &a, sizeof(a));
}

void snp_key_encode(const SnpIdKey *k, uint8_t ret[static SNP_KEY_SIZE]) {
        SnpKeyAbi a = {};

        le32_write(a.curve, SNP_CURVE_P384);
        reverse(k->x, a.x, sizeof(k->x));
        reverse(k->y, a.y, sizeof(k->y));
        memcpy(ret, &a, sizeof(a));
}

static int key_decode(const SnpKeyAbi *a, size_t offset, SnpIdKey *ret, char **reterr) {
        if (le32_read(a->curve) != SNP_CURVE_P384)
                return error_set(reterr, -EBADMSG, "curve %u at offset 0x%03zx; expected %u (P-384)",
                                le32_read(a->curve), offset, SNP_CURVE_P384);
        if (!bytes_are_zero(a->x + 48, sizeof(a->x) - 48) || !bytes_are_zero(a->y + 48, sizeof(a->y) - 48) ||
                        !bytes_are_zero(a->reserved, sizeof(a->reserved)))
                return error_set(reterr, -EBADMSG,
                                "the key at offset 0x%03zx has non-zero bytes after its numbers", offset);
        reverse(a->x, ret->x, sizeof(ret->x));
        reverse(a->y, ret->y, sizeof(ret->y));
        return 0;
}

static int signature_decode(const SnpSignatureAbi *a, size_t offset, SnpIdSignature *ret, char **reterr) {
        if (snp_signature_decode(a, ret->r, ret->s) < 0)
                return error_set(reterr, -EBADMSG,
                                "the signature at offset 0x%03zx has non-zero bytes after r and s", offset);
        return 0;
}

int snp_id_auth_decode(const void *p, size_t n, SnpIdAuth *ret, char **reterr) {
        SnpIdAuth auth = {};
        SnpIdAuthAbi a;
        uint32_t author;
        int r;

        if (n != sizeof(a))
                return error_set(reterr, -EBADMSG, "an ID auth has %u bytes, but the input has %zu",
                                SNP_ID_AUTH_SIZE, n);
        memcpy(&a, p, sizeof(a));
        author = le32_read(a.author_key_algorithm);
        if (le32_read(a.id_key_algorithm) != SNP_SIGNATURE_ALGORITHM_P384 ||
                        author > SNP_SIGNATURE_ALGORITHM_P384)
                return error_set(reterr, -EBADMSG,
                                "key algorithms %u and %u at offset 0x000; expected 1, and 1 or 0",
                                le32_read(a.id_key_algorithm), author);
        if (!bytes_are_zero(a.reserved_8, sizeof(a.reserved_8)) ||
                        !bytes_are_zero(a.reserved_644, sizeof(a.reserved_644)) ||
                        !bytes_are_zero(a.reserved_c84, sizeof(a.reserved_c84)))
                return error_set(reterr, -EBADMSG, "reserved bytes of the ID auth are not 0");
        r = signature_decode(
                        &a.id_block_signature, AT(id_block_signature), &auth.id_block_signature, reterr);
        if (r == 0)
                r = key_decode(&a.id_key, AT(id_key), &auth.id_key, reterr);
        if (r < 0)
                return r;
        auth.has_author = author != 0;
        if (auth.has_author) {
                r = signature_decode(
                                &a.id_key_signature, AT(id_key_signature), &auth.id_key_signature, reterr);
                if (r == 0)
                        r = key_decode(&a.author_key, AT(author_key), &auth.author_key, reterr);
                if (r < 0)
                        return r;
        } else if (!bytes_are_zero(&a.id_key_signature, sizeof(a.id_key_signature)) ||
                        !bytes_are_zero(&a.author_key, sizeof(a.author_key)))
                return error_set(reterr, -EBADMSG,
                                "there is an author key at offset 0x880, but its algorithm is 0");
        *ret = auth;
        return 0;
}

void snp_id_auth_encode(const SnpIdAuth *auth, uint8_t ret[static SNP_ID_AUTH_SIZE]) {
        SnpIdAuthAbi a = {};
        uint8_t key[SNP_KEY_SIZE];

        le32_write(a.id_key_algorithm, SNP_SIGNATURE_ALGORITHM_P384);
        snp_signature_encode(auth->id_block_signature.r, auth->id_block_signature.s, &a.id_block_signature);
        snp_key_encode(&auth->id_key, key);
        memcpy(&a.id_key, key, sizeof(key));
        if (auth->has_author) {
                le32_write(a.author_key_algorithm, SNP_SIGNATURE_ALGORITHM_P384);
                snp_signature_encode(
                                auth->id_key_signature.r, auth->id_key_signature.s, &a.id_key_signature);
                snp_key_encode(&auth->author_key, key);
                memcpy(&a.author_key, key, sizeof(key));
        }
        memcpy(ret, &a, sizeof(a));
}

int snp_id_block_json(const SnpIdBlock *b, Json **ret) {
        _cleanup_js_ Json *o = js_object();
        char policy[32];

        (void) snprintf(policy, sizeof(policy), "0x%" PRIx64, b->policy);
        if (!o || js_set(o, "digest", js_hex(b->digest, sizeof(b->digest))) < 0 ||
                        js_set(o, "family-id", js_hex(b->family_id, sizeof(b->family_id))) < 0 ||
                        js_set(o, "image-id", js_hex(b->image_id, sizeof(b->image_id))) < 0 ||
                        js_set(o, "guest-svn", js_u64(b->guest_svn)) < 0 ||
                        js_set(o, "policy", js_string(policy)) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(o);
        return 0;
}
