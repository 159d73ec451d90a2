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

#include "crypto-hash.h"
#include "error.h"

struct SignKey {
        EVP_PKEY *key; /* owned */
        bool ed25519;
};

SignKey *sign_key_free(SignKey *k) {
        if (!k)
                return NULL;
        EVP_PKEY_free(k->key);
        free(k);
        return NULL;
}

/* Nobody is asked for a passphrase. */
static int no_passphrase(_unused_ char *buf, _unused_ int size, _unused_ int rwflag, _unused_ void *u) {
        return -1;
}

static bool is_p384(EVP_PKEY *key) {
        char name[32] = "";
        size_t n;

        return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, name, sizeof(name), &n) == 1 &&
                        (OPENSSL_strcasecmp(name, "secp384r1") == 0 ||
                                        OPENSSL_strcasecmp(name, "P-384") == 0);
}

int sign_key_load(const void *pem, size_t size, SignKey **ret, char **reterr) {
        _cleanup_sign_key_ SignKey *k = calloc(1, sizeof(SignKey));
        BIO *bio;

        if (!k)
                return -ENOMEM;
        if (size > INT_MAX)
                return -E2BIG;
        bio = BIO_new_mem_buf(pem, (int) size);
        if (!bio)
                return -ENOMEM;
        k->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
        BIO_free(bio);
        if (!k->key)
                return error_set(reterr, -EBADMSG, "not an unencrypted private key in PEM");
        k->ed25519 = EVP_PKEY_is_a(k->key, "ED25519") == 1;
        if (!k->ed25519 && !is_p384(k->key))
                return error_set(reterr, -EOPNOTSUPP,
                                "only Ed25519 and P-384 keys are supported: openssl genpkey -algorithm ed25519");
        *ret = TAKE_PTR(k);
        return 0;
}

int sign_key_id(const SignKey *k, uint8_t ret[static 32]) {
        unsigned char *der = NULL;
        int n = i2d_PUBKEY(k->key, &der), r;

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
        if (EVP_DigestSignInit_ex(context, NULL, k->ed25519 ? NULL : "SHA2-384", NULL, NULL, k->key, NULL) ==
                                        1 &&
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
