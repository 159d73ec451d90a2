/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* P-384 keys from files and from OpenSSL stores. */

#include <errno.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <string.h>

#include "crypto-ec-internal.h"
#include "crypto-init.h"
#include "crypto-pem.h"
#include "crypto-store.h"
#include "error.h"

DEFINE_TRIVIAL_CLEANUP_FUNC(OSSL_DECODER_CTX *, OSSL_DECODER_CTX_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_PKEY *, EVP_PKEY_free);

#define KEY_FILE_MAX                                                                                        \
        (64u * 1024) /* a P-384 key in PEM has 400 bytes; some tools write long comments in front */

/* Takes both, also on failure. */
static int take_key(EVP_PKEY *pkey, OSSL_LIB_CTX *libctx, EcKey **ret, char **reterr) {
        _cleanup_ec_key_ EcKey *k = calloc(1, sizeof(EcKey));
        char group[32] = "";

        if (!k) {
                EVP_PKEY_free(pkey);
                OSSL_LIB_CTX_free(libctx);
                return -ENOMEM;
        }
        *k = (EcKey) { .pkey = pkey, .library = libctx };
        if (!EVP_PKEY_is_a(pkey, "EC") || EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) != 1 ||
                        (strcmp(group, "secp384r1") != 0 && strcmp(group, "P-384") != 0))
                return error_set(reterr, -EOPNOTSUPP,
                                "the key is not on the curve P-384 (make one with: openssl ecparam -name secp384r1 -genkey -noout)");
        *ret = TAKE_PTR(k);
        return 0;
}

/* One key, encoded as `type`. 1: *ret; 0: none there. */
static int decode(const void *data, size_t size, const char *type, int selection, const char *passphrase,
                EVP_PKEY **ret, size_t *ret_left) {
        _cleanup_(OSSL_DECODER_CTX_freep) OSSL_DECODER_CTX *c = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        const unsigned char *p = data;
        size_t left = size;
        int ok;

        c = OSSL_DECODER_CTX_new_for_pkey(&pkey, type, NULL, NULL, selection, NULL, NULL);
        if (!c)
                return -ENOMEM;
        if (passphrase &&
                        !OSSL_DECODER_CTX_set_passphrase(
                                        c, (const unsigned char *) passphrase, strlen(passphrase)))
                return -ENOMEM;
        ok = OSSL_DECODER_from_data(c, &p, &left);
        ERR_clear_error();
        if (ok != 1 || !pkey)
                return 0;
        *ret = TAKE_PTR(pkey);
        *ret_left = left;
        return 1;
}

/* The first block with a label that ends in `kind`, whatever stands before it: parameters (openssl ecparam -genkey), a public key, a
 * certificate. 1: [*ret, *ret_end) is the block with its marks. */
static int find_block(const char *text, size_t size, const char *kind, const char **ret, size_t *ret_size) {
        for (size_t pos = 0;;) {
                const char *begin = memmem(text + pos, size - pos, "-----BEGIN ", strlen("-----BEGIN "));
                const char *label, *dashes, *end;
                size_t n;

                if (!begin)
                        return 0;
                label = begin + strlen("-----BEGIN ");
                dashes = memmem(label, (size_t) (text + size - label), "-----", 5);
                end = memmem(label, (size_t) (text + size - label), "-----END ", strlen("-----END "));
                if (!dashes || !end)
                        return 0;
                n = (size_t) (dashes - label);
                end = memmem(end + 9, (size_t) (text + size - end - 9), "-----", 5);
                if (!end)
                        return 0;
                end += 5;
                if (n >= strlen(kind) && memcmp(dashes - strlen(kind), kind, strlen(kind)) == 0) {
                        *ret = begin;
                        *ret_size = (size_t) (end - begin);
                        return 1;
                }
                pos = (size_t) (end - text);
        }
}

static const char openssh_mark[] = "BEGIN OPENSSH PRIVATE KEY";

static int load(const void *data, size_t size, int selection, const char *passphrase, EcKey **ret,
                char **reterr) {
        bool private_key = selection == EVP_PKEY_KEYPAIR, pem, encrypted;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        const char *block = data;
        size_t block_size = size, left = 0;
        int r;

        if (crypto_init() < 0)
                return -ENOMEM;
        if (size == 0 || size > KEY_FILE_MAX)
                return error_set(reterr, -EBADMSG, "the key file has %zu bytes; expected 1 to %u", size,
                                KEY_FILE_MAX);
        pem = pem_detect(data, size);
        if (pem && !find_block(data, size, private_key ? "PRIVATE KEY" : "PUBLIC KEY", &block, &block_size))
                return error_set(reterr, -EBADMSG,
                                private_key ? "no private key in the file (expected PEM or DER, SEC1 or PKCS#8)"
                                            : "no public key in the file (expected PEM or DER)");
        encrypted = pem && memmem(block, block_size, "ENCRYPTED", strlen("ENCRYPTED"));
        if (encrypted && !passphrase)
                return error_set(reterr, -EOPNOTSUPP,
                                "the key is encrypted; pass its passphrase with --passphrase-file, decrypt it (openssl pkey -in KEY -out PLAIN), "
                                "or keep it in a token and use its pkcs11: URI");
        if (memmem(block, block_size, openssh_mark, strlen(openssh_mark)))
                return error_set(reterr, -EBADMSG,
                                "a private key in OpenSSH's format; convert a copy of it (ssh-keygen -p -N '' -m PEM -f COPY)");
        r = decode(block, block_size, pem ? "PEM" : "DER", selection, encrypted ? passphrase : NULL, &pkey,
                        &left);
        if (r < 0)
                return r;
        if (r == 0)
                return error_set(reterr, -EBADMSG,
                                encrypted ? "the key cannot be decrypted: the passphrase is wrong, or the file is damaged"
                                                : private_key
                                                ? "not a private key in PEM or DER (SEC1 or PKCS#8)"
                                                : "not a public key in PEM or DER");
        if (!pem && left > 0)
                return error_set(reterr, -EBADMSG, "%zu bytes follow the end of the key", left);
        return take_key(TAKE_PTR(pkey), /* libctx= */ NULL, ret, reterr);
}

int ec_key_load(const void *data, size_t size, EcKey **ret, char **reterr) {
        return load(data, size, EVP_PKEY_KEYPAIR, NULL, ret, reterr);
}

int ec_key_load_encrypted(
                const void *data, size_t size, const char *passphrase, EcKey **ret, char **reterr) {
        return load(data, size, EVP_PKEY_KEYPAIR, passphrase, ret, reterr);
}

int ec_key_load_public(const void *data, size_t size, EcKey **ret, char **reterr) {
        return load(data, size, EVP_PKEY_PUBLIC_KEY, NULL, ret, reterr);
}

int ec_key_open(const char *uri, EcKey **ret, char **reterr) {
        _cleanup_(store_key_done) StoreKey store = {};
        int r = store_key_open(uri, &store, reterr);

        if (r < 0)
                return r;
        r = take_key(TAKE_PTR(store.pkey), TAKE_PTR(store.libctx), ret, reterr);
        if (r == 0)
                (*ret)->public_part = TAKE_PTR(store.public_part);
        return r;
}
