/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-sign.h"

#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>

#include "crypto-hash.h"
#include "crypto-sign-internal.h"
#include "crypto-store.h"
#include "error.h"

#define PUBLIC_KEY_MARK "PUBLIC KEY-----"

struct SignKey {
        StoreKey key;       /* owned */
        const char *digest; /* sign_digest() */
};

SignKey *sign_key_free(SignKey *k) {
        if (!k)
                return NULL;
        store_key_done(&k->key);
        free(k);
        return NULL;
}

/* Nobody is asked for a passphrase. */
static int no_passphrase(_unused_ char *buf, _unused_ int size, _unused_ int rwflag, _unused_ void *u) {
        return -1;
}

static bool is_on(const char *group, const char *name, const char *other) {
        return OPENSSL_strcasecmp(group, name) == 0 || OPENSSL_strcasecmp(group, other) == 0;
}

const char *sign_digest(EVP_PKEY *key) {
        char group[32] = "";
        size_t n;

        if (EVP_PKEY_is_a(key, "ED25519"))
                return "";
        if (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_group_name(key, group, sizeof(group), &n) != 1)
                return NULL;
        return is_on(group, "secp384r1", "P-384")             ? "SHA2-384"
                        : is_on(group, "prime256v1", "P-256") ? "SHA2-256"
                                                              : NULL;
}

static int choose_digest(SignKey *k, char **reterr) {
        k->digest = sign_digest(k->key.pkey);
        return k->digest
                        ? 0
                        : error_set(reterr, -EOPNOTSUPP,
                                          "only Ed25519, P-256 and P-384 keys are supported: openssl genpkey -algorithm ed25519");
}

int sign_key_load(const void *pem, size_t size, SignKey **ret, char **reterr) {
        _cleanup_sign_key_ SignKey *k = calloc(1, sizeof(SignKey));
        BIO *bio;
        int r;

        if (!k)
                return -ENOMEM;
        if (size > INT_MAX)
                return -E2BIG;
        /* OpenSSL takes a buffer of no bytes for a mistake of the program. */
        bio = BIO_new_mem_buf(size > 0 ? pem : "\n", size > 0 ? (int) size : 1);
        if (!bio)
                return -ENOMEM;
        k->key.pkey = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
        BIO_free(bio);
        if (!k->key.pkey && memmem(pem, size, PUBLIC_KEY_MARK, strlen(PUBLIC_KEY_MARK)))
                return error_set(reterr, -EBADMSG,
                                "this is a public key; expected an unencrypted private key in PEM");
        if (!k->key.pkey)
                return error_set(reterr, -EBADMSG, "not an unencrypted private key in PEM");
        r = choose_digest(k, reterr);
        if (r >= 0)
                *ret = TAKE_PTR(k);
        return r;
}

int sign_key_open(const char *uri, SignKey **ret, char **reterr) {
        _cleanup_sign_key_ SignKey *k = calloc(1, sizeof(SignKey));
        int r = k ? store_key_open(uri, &k->key, reterr) : -ENOMEM;

        if (r >= 0)
                r = choose_digest(k, reterr);
        if (r >= 0)
                *ret = TAKE_PTR(k);
        return r;
}

static bool is_p384(const SignKey *k) {
        return strcmp(k->digest, "SHA2-384") == 0;
}

const char *sign_key_jws_name(const SignKey *k) {
        return !k->digest[0] ? "EdDSA" : is_p384(k) ? "ES384" : "ES256";
}

size_t sign_key_ecdsa_half(const SignKey *k) {
        return !k->digest[0] ? 0 : is_p384(k) ? 48 : 32;
}

int sign_key_id(const SignKey *k, uint8_t ret[static 32]) {
        unsigned char *der = NULL;
        int n = i2d_PUBKEY(k->key.public_part ?: k->key.pkey, &der), r;

        if (n <= 0)
                return -EIO;
        r = hash_digest(HASH_SHA256, der, (size_t) n, ret);
        OPENSSL_free(der);
        return r;
}

int sign_data(const SignKey *k, const void *data, size_t size, uint8_t **ret, size_t *ret_size) {
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        uint8_t *signature = NULL;
        size_t n = 0;
        int r = -EIO;

        if (!context)
                return -ENOMEM;
        /* Ed25519 hashes by itself. */
        if (EVP_DigestSignInit_ex(context, NULL, k->digest[0] ? k->digest : NULL, k->key.libctx, NULL,
                            k->key.pkey, NULL) == 1 &&
                        EVP_DigestSign(context, NULL, &n, data, size) == 1) {
                signature = malloc(n);
                r = !signature                                                            ? -ENOMEM
                                : EVP_DigestSign(context, signature, &n, data, size) == 1 ? 0
                                                                                          : -EIO;
        }
        EVP_MD_CTX_free(context);
        if (r < 0) {
                free(signature);
                return r;
        }
        *ret = signature;
        *ret_size = n;
        return 0;
}
