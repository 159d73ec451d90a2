/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "id-block.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "crypto-der.h"
#include "error.h"
#include "guest-policy.h"

int id_key_from_ec(const EcKey *k, SnpIdKey *ret) {
        EcPoint p;
        int r;

        r = ec_key_point(k, &p);
        if (r < 0)
                return r;
        memcpy(ret->x, p.x, sizeof(ret->x));
        memcpy(ret->y, p.y, sizeof(ret->y));
        return 0;
}

int id_key_digest(const SnpIdKey *k, uint8_t ret[static SHA384_SIZE]) {
        uint8_t key[SNP_KEY_SIZE];

        snp_key_encode(k, key);
        return hash_digest(HASH_SHA384, key, sizeof(key), ret);
}

int id_signature_verify(const SnpIdKey *key, const SnpIdSignature *s, const void *p, size_t n) {
        _cleanup_ec_key_ EcKey *k = NULL;
        EcSignature sig;
        EcPoint point;
        int r;

        memcpy(point.x, key->x, sizeof(point.x));
        memcpy(point.y, key->y, sizeof(point.y));
        r = ec_key_from_point(&point, &k);
        if (r < 0)
                return r;
        memcpy(sig.r, s->r, sizeof(sig.r));
        memcpy(sig.s, s->s, sizeof(sig.s));
        return ec_key_verify(k, HASH_SHA384, p, n, &sig);
}

int id_block_verify(const void *block, size_t block_size, const void *auth, size_t auth_size,
                SnpIdBlock *ret_block, SnpIdAuth *ret_auth, char **reterr) {
        uint8_t key[SNP_KEY_SIZE];
        SnpIdBlock b;
        SnpIdAuth a;
        int r;

        r = snp_id_block_decode(block, block_size, &b, reterr);
        if (r == 0)
                r = snp_id_auth_decode(auth, auth_size, &a, reterr);
        if (r < 0)
                return r;

        r = id_signature_verify(&a.id_key, &a.id_block_signature, block, block_size);
        if (r == -EBADMSG)
                return error_set(reterr, r, "the ID key is not a point of the curve P-384");
        if (r < 0)
                return error_set(reterr, r, "the ID block's signature was not made by the ID key");
        if (a.has_author) {
                snp_key_encode(&a.id_key, key);
                r = id_signature_verify(&a.author_key, &a.id_key_signature, key, sizeof(key));
                if (r == -EBADMSG)
                        return error_set(reterr, r, "the author key is not a point of the curve P-384");
                if (r < 0)
                        return error_set(reterr, r, "the ID key's signature was not made by the author key");
        }
        *ret_block = b;
        *ret_auth = a;
        return 0;
}

static int finish(const SnpIdBlock *b, const SnpIdAuth *a, IdBlockFiles *ret, char **reterr) {
        IdBlockFiles f;
        SnpIdBlock b2;
        SnpIdAuth a2;
        int r;

        snp_id_block_encode(b, f.block);
        snp_id_auth_encode(a, f.auth);
        r = id_block_verify(f.block, sizeof(f.block), f.auth, sizeof(f.auth), &b2, &a2, reterr);
        if (r < 0)
                return r;
        *ret = f;
        return 0;
}

static void put_signature(const EcSignature *from, SnpIdSignature *to) {
        memcpy(to->r, from->r, sizeof(to->r));
        memcpy(to->s, from->s, sizeof(to->s));
}

int id_block_assemble(const SnpIdBlock *b, const EcKey *id_public, const EcSignature *id_signature,
                const EcKey *author_public, const EcSignature *author_signature, IdBlockFiles *ret,
                char **reterr) {
        SnpIdAuth a = {};
        int r;

        if (!author_public != !author_signature)
                return error_set(reterr, -EINVAL, "an author key and its signature must be given together");
        r = id_key_from_ec(id_public, &a.id_key);
        if (r < 0)
                return r;
        put_signature(id_signature, &a.id_block_signature);
        if (author_public) {
                a.has_author = true;
                r = id_key_from_ec(author_public, &a.author_key);
                if (r < 0)
                        return r;
                put_signature(author_signature, &a.id_key_signature);
        }
        return finish(b, &a, ret, reterr);
}

int id_block_check(const SnpIdBlock *b, char **reterr) {
        if (b->policy & SNP_POLICY_RESERVED_ONE && !(b->policy & SNP_POLICY_RESERVED_ZERO))
                return 0;
        return error_set(reterr, -EINVAL,
                        "policy 0x%" PRIx64 ": the firmware requires bit 17 set and bits 26 to 63 clear",
                        b->policy);
}

int id_block_build(const SnpIdBlock *b, const EcKey *id_key, const EcKey *author_key, IdBlockFiles *ret,
                char **reterr) {
        uint8_t block[SNP_ID_BLOCK_SIZE], key[SNP_KEY_SIZE];
        EcSignature id_signature, author_signature;
        SnpIdKey id;
        int r;

        r = id_block_check(b, reterr);
        if (r < 0)
                return r;
        snp_id_block_encode(b, block);
        r = ec_key_sign(id_key, HASH_SHA384, block, sizeof(block), &id_signature);
        if (r < 0)
                return error_set(reterr, r, "the ID key cannot sign; is its private part missing?");
        if (author_key) {
                r = id_key_from_ec(id_key, &id);
                if (r < 0)
                        return error_set(reterr, r, "the ID key does not provide its public part");
                snp_key_encode(&id, key);
                r = ec_key_sign(author_key, HASH_SHA384, key, sizeof(key), &author_signature);
                if (r < 0)
                        return error_set(reterr, r,
                                        "the author key cannot sign; is its private part missing?");
        }
        return id_block_assemble(b, id_key, &id_signature, author_key, author_key ? &author_signature : NULL,
                        ret, reterr);
}

/* An INTEGER of at most 48 bytes, padded on the left: a short number must not move. */
static int read_number(ByteReader *r, uint8_t ret[static P384_SIZE]) {
        const uint8_t *p;
        DerValue v;
        size_t n;

        if (der_expect(r, DER_INTEGER, &v) < 0 || der_unsigned(&v, &p, &n) < 0 || n > P384_SIZE)
                return -EBADMSG;
        memset(ret, 0, P384_SIZE - n);
        memcpy(ret + P384_SIZE - n, p, n);
        return 0;
}

int id_signature_read(const void *p, size_t n, EcSignature *ret, char **reterr) {
        ByteReader r = byte_reader(p, n), inside;
        SnpSignatureAbi abi;
        EcSignature sig;
        DerValue seq;

        if (n == 2 * P384_SIZE) {
                memcpy(sig.r, p, P384_SIZE);
                memcpy(sig.s, (const uint8_t *) p + P384_SIZE, P384_SIZE);
        } else if (n == sizeof(abi)) {
                memcpy(&abi, p, sizeof(abi));
                if (snp_signature_decode(&abi, sig.r, sig.s) < 0)
                        return error_set(reterr, -EBADMSG,
                                        "a signature of 512 bytes with bytes beyond r and s");
        } else {
                if (der_expect(&r, DER_SEQUENCE, &seq) < 0 || byte_reader_left(&r) > 0)
                        return error_set(reterr, -EBADMSG,
                                        "%zu bytes are not a P-384 signature: expected DER, 96 bytes (r, s) or 512 bytes",
                                        n);
                inside = der_inside(&seq);
                if (read_number(&inside, sig.r) < 0 || read_number(&inside, sig.s) < 0 ||
                                byte_reader_left(&inside) > 0)
                        return error_set(reterr, -EBADMSG, "not a P-384 signature in DER");
        }
        *ret = sig;
        return 0;
}
