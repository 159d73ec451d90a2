/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-store.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/store.h>
#include <openssl/storeerr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crypto-init.h"
#include "error.h"

#define SYSTEM_CONFIG "/etc/ssl/openssl.cnf"

void store_key_done(StoreKey *k) {
        EVP_PKEY_free(k->pkey);
        EVP_PKEY_free(k->public_part);
        OSSL_LIB_CTX_free(k->libctx);
        *k = (StoreKey) {};
}

/* The reason that OpenSSL queued first, for the sentence. */
static const char *first_reason(char buf[static 256]) {
        unsigned long e = ERR_get_error();
        const char *reason = e == 0 ? "no reason given" : ERR_reason_error_string(e);

        /* Programs that start tersely have no texts of errors. */
        if (!reason && ERR_GET_LIB(e) == ERR_LIB_OSSL_STORE &&
                        ERR_GET_REASON(e) == OSSL_STORE_R_UNREGISTERED_SCHEME)
                reason = "unregistered scheme";
        if (reason)
                (void) snprintf(buf, 256, "%s", reason);
        else
                ERR_error_string_n(e, buf, 256);
        ERR_clear_error();
        return buf;
}

/* A token keeps the public key as its own object, and may not tell it with the private one. */
static void load_keys(OSSL_STORE_CTX *store, StoreKey *k) {
        while (!OSSL_STORE_eof(store)) {
                OSSL_STORE_INFO *info = OSSL_STORE_load(store);
                int type = info ? OSSL_STORE_INFO_get_type(info) : 0;

                if (type == OSSL_STORE_INFO_PKEY && !k->pkey)
                        k->pkey = OSSL_STORE_INFO_get1_PKEY(info);
                else if (type == OSSL_STORE_INFO_PUBKEY && !k->public_part)
                        k->public_part = OSSL_STORE_INFO_get1_PUBKEY(info);
                OSSL_STORE_INFO_free(info);
        }
}

int store_keys_load(const char *uri, StoreKey *ret, char **reterr) {
        _cleanup_(store_key_done) StoreKey k = {};
        OSSL_STORE_CTX *store;
        char reason[256];

        if (crypto_init() < 0)
                return -ENOMEM;
        k.libctx = OSSL_LIB_CTX_new();
        if (!k.libctx)
                return -ENOMEM;
        /* Without a configuration there are only the built-in schemes, which is for the store to say. */
        (void) OSSL_LIB_CTX_load_config(k.libctx, getenv("OPENSSL_CONF") ?: SYSTEM_CONFIG);
        ERR_clear_error();

        store = OSSL_STORE_open_ex(uri, k.libctx, NULL, NULL, NULL, NULL, NULL, NULL);
        if (!store && strncasecmp(uri, "file:", strlen("file:")) == 0)
                return error_set(reterr, -EIO,
                                "OpenSSL opens no file by this URI; pass the path of the file itself, without 'file:'");
        if (!store)
                return error_set(reterr, -EIO,
                                "no OpenSSL provider opens this URI (%s); name the provider in openssl.cnf, see config(5) and the provider's manual",
                                first_reason(reason));
        load_keys(store, &k);
        (void) OSSL_STORE_close(store);
        *ret = TAKE_STRUCT(k, (StoreKey) {});
        return 0;
}

int store_key_open(const char *uri, StoreKey *ret, char **reterr) {
        _cleanup_(store_key_done) StoreKey k = {};
        char reason[256];
        int r = store_keys_load(uri, &k, reterr);

        if (r < 0)
                return r;
        if (!k.pkey)
                return error_set(reterr, -ENOENT, "no private key found (%s)", first_reason(reason));
        *ret = TAKE_STRUCT(k, (StoreKey) {});
        return 0;
}
