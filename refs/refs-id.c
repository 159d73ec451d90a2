/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "refs-id.h"

#include <errno.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "refs-bundle-internal.h"
#include "strutil.h"

static void block_of(const RefsBundle *b, const uint8_t *digest, SnpIdBlock *ret) {
        *ret = (SnpIdBlock) { .guest_svn = b->id.svn, .policy = b->guest_policy };
        memcpy(ret->digest, digest, sizeof(ret->digest));
        memcpy(ret->family_id, b->id.family_id, sizeof(ret->family_id));
        memcpy(ret->image_id, b->id.image_id, sizeof(ret->image_id));
}

static void auth_of(const RefsBundle *b, const SnpIdSignature *s, SnpIdAuth *ret) {
        *ret = (SnpIdAuth) {
                .id_key = b->id.key,
                .author_key = b->id.author,
                .id_block_signature = *s,
                .id_key_signature = b->id.author_signature,
                .has_author = b->id.has_author,
        };
}

void refs_id_files(
                const RefsBundle *b, const RefsLaunch *l, const RefsRun *run, size_t i, IdBlockFiles *ret) {
        SnpIdBlock block;
        SnpIdAuth auth;

        block_of(b, run->digests + i * l->digest_size, &block);
        auth_of(b, run->id_signatures + i, &auth);
        snp_id_block_encode(&block, ret->block);
        snp_id_auth_encode(&auth, ret->auth);
}

/* --- signing --------------------------------------------------------------------------------------------------------- */

/* The keys and the author's signature, from a whole block. */
static int begin(RefsBundle *b, const uint8_t *digest, const EcKey *id, const EcKey *author, char **reterr) {
        IdBlockFiles files;
        SnpIdBlock block;
        SnpIdAuth auth;
        int r;

        block_of(b, digest, &block);
        r = id_block_check(&block, reterr);
        if (r >= 0)
                r = id_block_build(&block, id, author, &files, reterr);
        if (r >= 0)
                r = snp_id_auth_decode(files.auth, sizeof(files.auth), &auth, reterr);
        if (r < 0)
                return r;
        b->id.given = true;
        b->id.key = auth.id_key;
        b->id.has_author = auth.has_author;
        b->id.author = auth.author_key;
        b->id.author_signature = auth.id_key_signature;
        return 0;
}

static int sign_row(const RefsBundle *b, const EcKey *id, const uint8_t *digest, SnpIdSignature *ret) {
        uint8_t bytes[SNP_ID_BLOCK_SIZE];
        EcSignature signature;
        SnpIdBlock block;
        int r;

        block_of(b, digest, &block);
        snp_id_block_encode(&block, bytes);
        r = ec_key_sign(id, HASH_SHA384, bytes, sizeof(bytes), &signature);
        if (r < 0)
                return r;
        memcpy(ret->r, signature.r, sizeof(ret->r));
        memcpy(ret->s, signature.s, sizeof(ret->s));
        /* A wrong one fails a launch with nothing but a number. The public key is used: one in a token may only sign. */
        return id_signature_verify(&b->id.key, ret, bytes, sizeof(bytes));
}

int refs_id_sign(RefsBundle *b, const EcKey *id, const EcKey *author, char **reterr) {
        int r = 0;

        FOREACH_ARRAY(l, b->launches, b->n_launches) {
                if (l->mode != COCO_SEV_SNP)
                        continue;
                FOREACH_ARRAY(run, l->runs, l->n_runs) {
                        if (!b->id.given)
                                r = begin(b, run->digests, id, author, reterr);
                        if (r < 0)
                                return r;
                        run->id_signatures = calloc(run->n, sizeof(SnpIdSignature));
                        if (!run->id_signatures)
                                return -ENOMEM;
                        for (size_t i = 0; i < run->n; i++) {
                                r = sign_row(b, id, run->digests + i * l->digest_size,
                                                run->id_signatures + i);
                                if (r < 0)
                                        return error_set(reterr, r, "--id-key: cannot sign with this key");
                        }
                }
        }
        return b->id.given ? 0 : error_set(reterr, -EINVAL, "--id-key: the bundle has no sev-snp launch");
}

/* --- verifying ------------------------------------------------------------------------------------------------------- */

static int verify_with(const SnpIdKey *key, const SnpIdSignature *s, const void *p, size_t n) {
        _cleanup_ec_key_ EcKey *k = NULL;
        EcSignature signature;
        EcPoint point;
        int r;

        memcpy(point.x, key->x, sizeof(point.x));
        memcpy(point.y, key->y, sizeof(point.y));
        memcpy(signature.r, s->r, sizeof(signature.r));
        memcpy(signature.s, s->s, sizeof(signature.s));
        r = ec_key_from_point(&point, &k);
        return r < 0 ? r : ec_key_verify(k, HASH_SHA384, p, n, &signature);
}

static int check(int r, const char *what, char **reterr) {
        return r >= 0 || r == -ENOMEM ? r : error_set(reterr, -EBADMSG, "%s", what);
}

static int verify_row(
                const RefsBundle *b, const RefsLaunch *l, const RefsRun *run, size_t i, char **reterr) {
        _cleanup_free_ char *text = NULL;
        uint8_t bytes[SNP_ID_BLOCK_SIZE];
        SnpIdBlock block;
        int r;

        block_of(b, run->digests + i * l->digest_size, &block);
        snp_id_block_encode(&block, bytes);
        r = verify_with(&b->id.key, run->id_signatures + i, bytes, sizeof(bytes));
        if (r >= 0 || r == -ENOMEM || refs_row_text(run, i, &text) < 0)
                return r;
        return error_set(reterr, -EBADMSG,
                        "row '%s': the signature of its ID block was not made by the ID key", text);
}

int refs_id_verify(const RefsBundle *b, char **reterr) {
        uint8_t key[SNP_KEY_SIZE];
        int r = 0;

        if (b->id.has_author) {
                snp_key_encode(&b->id.key, key);
                r = check(verify_with(&b->id.author, &b->id.author_signature, key, sizeof(key)),
                                "'id': the signature of the ID key was not made by the author key", reterr);
        }
        FOREACH_ARRAY(l, b->launches, b->n_launches)
                FOREACH_ARRAY(run, l->runs, l->n_runs)
                        for (size_t i = 0; r >= 0 && run->id_signatures && i < run->n; i++)
                                r = verify_row(b, l, run, i, reterr);
        return r;
}

/* --- JSON ------------------------------------------------------------------------------------------------------------ */

static int read_bytes(const Json *v, const char *member, void *ret, size_t n, char **reterr) {
        int r = refs_check_hex(v, member, n, reterr);

        return r < 0 ? r : hex_decode_exact(js_string_value(js_get(v, member)), ret, n);
}

int refs_read_id(const Json *v, void *target, char **reterr) {
        static const char *const known[] = { "author-key", "author-signature", "family-id", "image-id",
                "key", "svn" };
        RefsId *id = &((RefsBundle *) target)->id;
        uint64_t svn;
        int r = refs_check_members(v, known, ELEMENTSOF(known), reterr);

        id->given = true;
        id->has_author = js_get(v, "author-key");
        if (r >= 0 && id->has_author != (js_get(v, "author-signature") != NULL))
                r = error_set(reterr, -EINVAL, "'author-key' and 'author-signature' belong together");
        if (r >= 0 && (js_u64_value(js_get(v, "svn"), &svn) < 0 || svn > UINT32_MAX))
                r = error_set(reterr, -EINVAL, "'svn': expected a 32 bit number");
        if (r >= 0)
                r = read_bytes(v, "key", &id->key, sizeof(id->key), reterr);
        if (r >= 0)
                r = read_bytes(v, "family-id", id->family_id, sizeof(id->family_id), reterr);
        if (r >= 0)
                r = read_bytes(v, "image-id", id->image_id, sizeof(id->image_id), reterr);
        if (r >= 0 && id->has_author)
                r = read_bytes(v, "author-key", &id->author, sizeof(id->author), reterr);
        if (r >= 0 && id->has_author)
                r = read_bytes(v, "author-signature", &id->author_signature, sizeof(id->author_signature),
                                reterr);
        if (r >= 0)
                id->svn = (uint32_t) svn;
        return r;
}

int refs_read_id_signatures(RefsRun *run, const Json *v, char **reterr) {
        if (!v)
                return 0;
        if (js_length(v) != run->n)
                return error_set(reterr, -EINVAL, "'id-signatures': expected one for each digest");
        run->id_signatures = calloc(run->n, sizeof(SnpIdSignature));
        if (!run->id_signatures)
                return -ENOMEM;
        for (size_t i = 0; i < run->n; i++) {
                const char *s = js_string_value(js_at(v, i));
                _cleanup_free_ uint8_t *p = NULL;
                size_t n = 0;

                if (!s || base64_decode(s, js_string_length(js_at(v, i)), &p, &n) < 0 ||
                                n != sizeof(SnpIdSignature))
                        return error_set(reterr, -EINVAL, "ID signature %zu: expected %zu bytes in base64",
                                        i + 1, sizeof(SnpIdSignature));
                memcpy(run->id_signatures + i, p, n);
        }
        return 0;
}

int refs_id_json(const RefsBundle *b, Json **ret) {
        const RefsId *id = &b->id;
        _cleanup_js_ Json *j = NULL;
        int r = js_build(&j, "{s:o, s:o, s:o, s:o}", "key", js_hex(&id->key, sizeof(id->key)), "family-id",
                        js_hex(id->family_id, sizeof(id->family_id)), "image-id",
                        js_hex(id->image_id, sizeof(id->image_id)), "svn", js_u64(id->svn));

        if (r >= 0 && id->has_author)
                r = js_set(j, "author-key", js_hex(&id->author, sizeof(id->author)));
        if (r >= 0 && id->has_author)
                r = js_set(j, "author-signature",
                                js_hex(&id->author_signature, sizeof(id->author_signature)));
        if (r >= 0)
                *ret = TAKE_PTR(j);
        return r;
}

int refs_id_signatures_json(const RefsRun *run, Json **ret) {
        _cleanup_js_ Json *list = js_array();
        int r = list ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < run->n; i++)
                r = js_append(list, js_base64(run->id_signatures + i, sizeof(SnpIdSignature)));
        if (r >= 0)
                *ret = TAKE_PTR(list);
        return r;
}
