/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* P-384 keys from files and from OpenSSL stores. A store has a library context of its own that reads OpenSSL's configuration
 * file: providers (PKCS#11 among them) are named there, while nothing else in this program may depend on it. */

#include <errno.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/store.h>
#include <string.h>

#include "crypto-ec-internal.h"
#include "crypto-init.h"
#include "crypto-pem.h"
#include "error.h"

DEFINE_TRIVIAL_CLEANUP_FUNC(OSSL_DECODER_CTX *, OSSL_DECODER_CTX_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(OSSL_LIB_CTX *, OSSL_LIB_CTX_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_PKEY *, EVP_PKEY_free);

#define KEY_FILE_MAX                                                                                        \
        (64u * 1024) /* a P-384 key in PEM has 400 bytes; some tools write long comments in front */
#define SYSTEM_CONFIG "/etc/ssl/openssl.cnf"

/* Takes both, also on failure. */
static int take_key(EVP_PKEY *pkey, OSSL_LIB_CTX *library, EcKey **ret, char **reterr) {
        _cleanup_ec_key_ EcKey *k = calloc(1, sizeof(EcKey));
        char group[32] = "";

        if (!k) {
                EVP_PKEY_free(pkey);
                OSSL_LIB_CTX_free(library);
                return -ENOMEM;
        }
        *k = (EcKey) { .pkey = pkey, .library = library };
        if (!EVP_PKEY_is_a(pkey, "EC") || EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) != 1 ||
                        (strcmp(group, "secp384r1") != 0 && strcmp(group, "P-384") != 0))
                return error_set(reterr, -EOPNOTSUPP,
                                "the key is not on the curve P-384 (make one with: openssl ecparam -name "
                                "secp384r1 "
                                "-genkey -noout)");
        *ret = TAKE_PTR(k);
        return 0;
}

static int load(const void *data, size_t size, int selection, EcKey **ret, char **reterr) {
        _cleanup_(OSSL_DECODER_CTX_freep) OSSL_DECODER_CTX *c = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        const unsigned char *p = data;
        size_t left = size;
        bool pem;

        crypto_init();
        if (size == 0 || size > KEY_FILE_MAX)
                return error_set(reterr, -EBADMSG, "a key of %zu bytes; expected 1 to %u", size,
                                KEY_FILE_MAX);
        pem = pem_detect(data, size);
        if (pem && memmem(data, size, "ENCRYPTED", strlen("ENCRYPTED")))
                return error_set(reterr, -EOPNOTSUPP,
                                "the key is encrypted; decrypt it first (openssl pkey -in KEY -out PLAIN), "
                                "or keep "
                                "it in a token and give its pkcs11: URI");

        c = OSSL_DECODER_CTX_new_for_pkey(&pkey, pem ? "PEM" : "DER", NULL, NULL, selection, NULL, NULL);
        if (!c)
                return -ENOMEM;
        if (OSSL_DECODER_from_data(c, &p, &left) != 1 || !pkey) {
                ERR_clear_error();
                return error_set(reterr, -EBADMSG,
                                selection == EVP_PKEY_KEYPAIR
                                                ? "not a private key in PEM or DER (SEC1 or PKCS#8)"
                                                : "not a public key in PEM or DER");
        }
        if (!pem && left > 0)
                return error_set(reterr, -EBADMSG, "%zu bytes behind the end of the key", left);
        return take_key(TAKE_PTR(pkey), /* library= */ NULL, ret, reterr);
}

int ec_key_load(const void *data, size_t size, EcKey **ret, char **reterr) {
        return load(data, size, EVP_PKEY_KEYPAIR, ret, reterr);
}

int ec_key_load_public(const void *data, size_t size, EcKey **ret, char **reterr) {
        return load(data, size, EVP_PKEY_PUBLIC_KEY, ret, reterr);
}

/* The reason that OpenSSL queued first, for the sentence. */
static const char *first_reason(char buf[static 256]) {
        unsigned long e = ERR_get_error();

        if (e == 0)
                return "no reason given";
        ERR_error_string_n(e, buf, 256);
        ERR_clear_error();
        return buf;
}

int ec_key_open(const char *uri, EcKey **ret, char **reterr) {
        _cleanup_(OSSL_LIB_CTX_freep) OSSL_LIB_CTX *library = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL, *public_part = NULL;
        OSSL_STORE_CTX *store;
        char reason[256];
        int r;

        crypto_init();
        library = OSSL_LIB_CTX_new();
        if (!library)
                return -ENOMEM;
        /* Without a configuration there are only the built-in schemes, which is for the store to say. */
        (void) OSSL_LIB_CTX_load_config(library, getenv("OPENSSL_CONF") ?: SYSTEM_CONFIG);
        ERR_clear_error();

        store = OSSL_STORE_open_ex(uri, library, NULL, NULL, NULL, NULL, NULL, NULL);
        if (!store)
                return error_set(reterr, -EIO,
                                "no OpenSSL provider opens this URI (%s); name the provider in openssl.cnf, "
                                "see "
                                "config(5) and the provider's manual",
                                first_reason(reason));
        /* A token keeps the public key as an object of its own, and may not tell it with the private one. */
        while (!OSSL_STORE_eof(store)) {
                OSSL_STORE_INFO *info = OSSL_STORE_load(store);
                int type = info ? OSSL_STORE_INFO_get_type(info) : 0;

                if (type == OSSL_STORE_INFO_PKEY && !pkey)
                        pkey = OSSL_STORE_INFO_get1_PKEY(info);
                else if (type == OSSL_STORE_INFO_PUBKEY && !public_part)
                        public_part = OSSL_STORE_INFO_get1_PUBKEY(info);
                OSSL_STORE_INFO_free(info);
        }
        (void) OSSL_STORE_close(store);
        if (!pkey)
                return error_set(reterr, -ENOENT, "no private key there (%s)", first_reason(reason));
        r = take_key(TAKE_PTR(pkey), TAKE_PTR(library), ret, reterr);
        if (r == 0)
                (*ret)->public_part = TAKE_PTR(public_part);
        return r;
}
