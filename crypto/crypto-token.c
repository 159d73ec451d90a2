/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-token.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ui.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "crypto-init.h"
#include "crypto-kdf.h"
#include "crypto-store.h"
#include "error.h"
#include "secret.h"
#include "strutil.h"

#define RSA_BITS_MIN 2048
#define URI_MAX      4096u
#define PIN_SOURCE   "pin-source="

static const char key_kind[] = "expected an RSA key of at least 2048 bits that may sign (CKA_SIGN)";

DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_MD_CTX *, EVP_MD_CTX_free);

/* Whether a PIN was wanted: the provider asks only if the token is there, and nothing else gave it one. */
static bool asked;

static int refuse(_unused_ UI *ui, UI_STRING *s) {
        enum UI_string_types type = UI_get_string_type(s);

        if (type != UIT_PROMPT && type != UIT_VERIFY)
                return 1;
        asked = true;
        return 0;
}

static int load_without_prompt(const char *uri, bool private_key, StoreKey *ret, char **reterr) {
        UI_METHOD *silent = UI_create_method("no questions");
        const UI_METHOD *before = UI_get_default_method();
        int r;

        if (!silent)
                return -ENOMEM;
        (void) UI_method_set_writer(silent, refuse);
        (void) UI_method_set_reader(silent, refuse);
        asked = false;
        UI_set_default_method(silent);
        r = private_key ? store_key_open(uri, ret, reterr) : store_keys_load(uri, ret, reterr);
        UI_set_default_method(before);
        UI_destroy_method(silent);
        return r;
}

/* RFC 7512, 2.4: it is the path of a file, as itself or as a URI. */
static int check_pin(const char *query, char **reterr) {
        const char *source = strstr(query, PIN_SOURCE);
        _cleanup_free_ char *path = NULL;

        if (strstr(query, "pin-value="))
                return error_set(reterr, -EINVAL,
                                "the URI has a PIN, which other users of this machine can see: put it in a file, and use ?pin-source=file:/PATH");
        if (!source)
                return 0;
        source += strlen(PIN_SOURCE);
        path = strndup(source, strcspn(source, "&"));
        if (!path)
                return -ENOMEM;
        source = startswith(path, "file:") ?: path;
        if (startswith(source, "//"))
                source += 2;
        /* What has other forms is the provider's to read. */
        if (source[0] == '/' && !strchr(source, '%') && access(source, R_OK) < 0)
                return error_set(reterr, -EACCES, "cannot read the PIN's file '%s': %s", source,
                                strerror(errno));
        return 0;
}

/* The same object's public part, for which no PIN is needed. A PIN is not tried again: tokens count that. */
static int explain(const char *uri, char **reterr) {
        _cleanup_(store_key_done) StoreKey k = {};
        char public_uri[URI_MAX + sizeof(";type=public")];
        int r;

        if (asked)
                return error_set(reterr, -EACCES,
                                "the token needs a PIN: put it in a file, and add ?pin-source=file:/PATH to the URI");
        (void) snprintf(public_uri, sizeof(public_uri), "%.*s;type=public", (int) strcspn(uri, "?"), uri);
        r = load_without_prompt(public_uri, /* private_key= */ false, &k, NULL);
        ERR_clear_error();
        if (r >= 0 && (k.public_part || k.pkey))
                return error_set(reterr, -EACCES,
                                "the token has this key and did not give access to it: the PIN is wrong or locked, or only the public key is there");
        if (asked)
                return error_set(reterr, -ENOENT,
                                "the token does not have this key: compare object= and id= of the URI with what is on the token");
        return error_set(reterr, -ENOENT,
                        "no token matches this URI: is the token plugged in, and do token=, serial= and the provider's module in openssl.cnf name it?");
}

static int open_key(const char *uri, StoreKey *ret, char **reterr) {
        _cleanup_free_ char *why = NULL;
        int r;

        if (strlen(uri) > URI_MAX)
                return error_set(reterr, -EINVAL, "the URI has more than %u characters", URI_MAX);
        r = check_pin(uri, reterr);
        if (r < 0)
                return r;
        r = load_without_prompt(uri, /* private_key= */ true, ret, &why);
        if (r == -ENOENT && startswith(uri, "pkcs11:") && !strstr(uri, "type="))
                return explain(uri, reterr);
        return r < 0 ? error_set(reterr, r, "%s", why ?: strerror(-r)) : 0;
}

static int sign(const StoreKey *k, const char *label, SecretBuf *ret) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *c = EVP_MD_CTX_new();
        _cleanup_(secret_buf_done) SecretBuf s = {};
        size_t n = 0;
        int r;

        if (!c)
                return -ENOMEM;
        /* PKCS#1 v1.5 is the padding that OpenSSL uses unless it is told another one. */
        if (EVP_DigestSignInit_ex(c, NULL, "SHA2-256", k->libctx, NULL, k->pkey, NULL) != 1 ||
                        EVP_DigestSign(c, NULL, &n, (const uint8_t *) label, strlen(label) + 1) != 1)
                return -EIO;
        r = secret_buf_alloc(&s, n);
        if (r < 0)
                return r;
        if (EVP_DigestSign(c, s.data, &n, (const uint8_t *) label, strlen(label) + 1) != 1 || n != s.size)
                return -EIO;
        *ret = TAKE_STRUCT(s, (SecretBuf) {});
        return 0;
}

int token_secret(const char *uri, const char *label, uint8_t *ret, size_t size, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf first = {}, second = {};
        _cleanup_(store_key_done) StoreKey k = {};
        int r = open_key(uri, &k, reterr);

        if (r < 0)
                return r;
        if (!EVP_PKEY_is_a(k.pkey, "RSA") || EVP_PKEY_get_bits(k.pkey) < RSA_BITS_MIN)
                return error_set(reterr, -EOPNOTSUPP, "the kind of this key is not usable: %s", key_kind);
        r = sign(&k, label, &first);
        if (r >= 0)
                r = sign(&k, label, &second);
        ERR_clear_error();
        if (r == -EIO)
                return error_set(reterr, r, "the token does not sign with this key: %s", key_kind);
        if (r < 0)
                return r;
        /* A secret that the next start does not find again would lose all that is encrypted with it. */
        if (first.size != second.size || memcmp(first.data, second.data, first.size) != 0)
                return error_set(reterr, -EOPNOTSUPP,
                                "the token's signatures with this key are not always the same; PKCS#1 v1.5 signatures are");
        return crypto_kdf_counter_le(first.data, first.size, label, NULL, 0, ret, size);
}
