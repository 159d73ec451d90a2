/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-hash.h"
#include "crypto-init.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

static const struct {
        const char *name, *fetch;
        size_t size;
} algorithms[] = {
        [HASH_SHA256] = { "sha256", "SHA2-256", SHA256_SIZE },
        [HASH_SHA384] = { "sha384", "SHA2-384", SHA384_SIZE },
        [HASH_SHA512] = { "sha512", "SHA2-512", SHA512_SIZE },
};
static_assert(ELEMENTSOF(algorithms) == _HASH_ALGORITHM_MAX, "every algorithm has a row");

struct Hash {
        HashAlgorithm algorithm;
        EVP_MD_CTX *context; /* owned */
};

/* A fetch costs more than hashing a page: each algorithm is fetched once a process, by the first who needs it. */
static struct {
        pthread_once_t once;
        EVP_MD *md; /* lives as long as the process */
} fetched[] = {
        [HASH_SHA256] = { PTHREAD_ONCE_INIT, NULL },
        [HASH_SHA384] = { PTHREAD_ONCE_INIT, NULL },
        [HASH_SHA512] = { PTHREAD_ONCE_INIT, NULL },
};
static_assert(ELEMENTSOF(fetched) == _HASH_ALGORITHM_MAX, "every algorithm has a slot");

static void fetch(HashAlgorithm a) {
        /* No openssl.cnf: what it could change (another provider) must not change what we measure, and reading it is
         * a good part of the cost of a short process. */
        if (crypto_init() < 0)
                return;
        fetched[a].md = EVP_MD_fetch(NULL, algorithms[a].fetch, NULL);
}

static void fetch_sha256(void) {
        fetch(HASH_SHA256);
}
static void fetch_sha384(void) {
        fetch(HASH_SHA384);
}
static void fetch_sha512(void) {
        fetch(HASH_SHA512);
}

static const EVP_MD *digest_get(HashAlgorithm a) {
        static void (*const fetchers[])(void) = {
                [HASH_SHA256] = fetch_sha256,
                [HASH_SHA384] = fetch_sha384,
                [HASH_SHA512] = fetch_sha512,
        };

        assert(a >= 0 && a < _HASH_ALGORITHM_MAX);
        if (pthread_once(&fetched[a].once, fetchers[a]) != 0)
                return NULL;
        return fetched[a].md;
}

const char *hash_algorithm_to_string(HashAlgorithm a) {
        return a >= 0 && a < _HASH_ALGORITHM_MAX ? algorithms[a].name : NULL;
}

HashAlgorithm hash_algorithm_from_string(const char *s) {
        for (int i = 0; i < _HASH_ALGORITHM_MAX; i++)
                if (strcmp(s, algorithms[i].name) == 0)
                        return (HashAlgorithm) i;
        return _HASH_ALGORITHM_INVALID;
}

size_t hash_size(HashAlgorithm a) {
        assert(a >= 0 && a < _HASH_ALGORITHM_MAX);
        return algorithms[a].size;
}

int hash_digest(HashAlgorithm a, const void *p, size_t n, uint8_t *ret) {
        const EVP_MD *md = digest_get(a);

        if (!md || EVP_Digest(p, n, ret, NULL, md, NULL) != 1)
                return -EIO;
        return 0;
}

int hash_new(HashAlgorithm a, Hash **ret) {
        _cleanup_hash_ Hash *h = NULL;
        const EVP_MD *md = digest_get(a);

        if (!md)
                return -EIO;
        h = calloc(1, sizeof(Hash));
        if (!h)
                return -ENOMEM;
        h->algorithm = a;
        h->context = EVP_MD_CTX_new();
        if (!h->context)
                return -ENOMEM;
        if (EVP_DigestInit_ex2(h->context, md, NULL) != 1)
                return -EIO;
        *ret = TAKE_PTR(h);
        return 0;
}

Hash *hash_free(Hash *h) {
        if (!h)
                return NULL;
        EVP_MD_CTX_free(h->context);
        free(h);
        return NULL;
}

int hash_update(Hash *h, const void *p, size_t n) {
        return EVP_DigestUpdate(h->context, p, n) == 1 ? 0 : -EIO;
}

int hash_reset(Hash *h) {
        return EVP_DigestInit_ex2(h->context, digest_get(h->algorithm), NULL) == 1 ? 0 : -EIO;
}

int hash_final(Hash *h, uint8_t *ret) {
        if (EVP_DigestFinal_ex(h->context, ret, NULL) != 1)
                return -EIO;
        return hash_reset(h);
}

int hash_assign(Hash *dst, const Hash *src) {
        assert(dst->algorithm == src->algorithm);
        return EVP_MD_CTX_copy_ex(dst->context, src->context) == 1 ? 0 : -EIO;
}

int hash_clone(const Hash *h, Hash **ret) {
        _cleanup_hash_ Hash *c = NULL;
        int r;

        r = hash_new(h->algorithm, &c);
        if (r < 0)
                return r;
        r = hash_assign(c, h);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}
