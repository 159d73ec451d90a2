/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-vault.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "atomic-file.h"
#include "crypto-gcm.h"
#include "crypto-kdf.h"
#include "crypto-token.h"
#include "error.h"
#include "fd.h"
#include "input.h"

#define VERSION          2u
#define SALT_SIZE        16u
#define HEAD_SIZE        (1 + SALT_SIZE)
#define CONTEXT_SIZE_MAX 256u
#define TOKEN_LABEL      "cvmspawn-attestd-vault-token-v1"

typedef struct RecordKeys {
        uint8_t key[GCM_KEY_SIZE], nonce[GCM_NONCE_SIZE];
} RecordKeys;

static void record_keys_erase(RecordKeys *k) {
        erase_memory(k, sizeof(*k));
}

void vault_done(Vault *v) {
        secret_buf_done(&v->key);
        secret_buf_done(&v->previous);
        secret_buf_done(&v->signer);
}

static int make_key(const char *path, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf key = {};
        int r = secret_buf_alloc(&key, VAULT_KEY_SIZE);

        if (r >= 0)
                r = crypto_random(NULL, key.data, key.size);
        if (r >= 0)
                r = file_write_atomic(path, key.data, key.size, 0600, ATOMIC_FILE_EXACT_MODE);
        return r < 0 && r != -EEXIST
                        ? error_set(reterr, r, "cannot create the key file '%s': %s", path, strerror(-r))
                        : 0;
}

int vault_open(const char *path, bool create, Vault *ret, char **reterr) {
        _cleanup_(vault_done) Vault v = {};
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        fd = fd_open(path, O_RDONLY | O_NOCTTY, 0);
        if (fd == -ENOENT && create) {
                r = make_key(path, reterr);
                if (r < 0)
                        return r;
                fd = fd_open(path, O_RDONLY | O_NOCTTY, 0);
        }
        if (fd < 0)
                return error_set(reterr, fd, "cannot open the key file '%s': %s", path, strerror(-fd));
        if (fstat(fd, &st) < 0)
                return -errno;
        /* The service manager gives a service access to its credentials by an ACL, which looks like a readable group. */
        if (st.st_mode & (S_IWGRP | S_IXGRP | S_IRWXO))
                return error_set(reterr, -EPERM,
                                "the key file '%s' is accessible to other users: chmod 600 it", path);
        r = secret_buf_read_fd(&v.key, fd, VAULT_KEY_SIZE);
        if (r == -E2BIG || (r >= 0 && v.key.size != VAULT_KEY_SIZE))
                return error_set(reterr, -EBADMSG, "the key file '%s' must be exactly %u bytes", path,
                                VAULT_KEY_SIZE);
        if (r < 0)
                return error_set(reterr, r, "cannot read the key file '%s': %s", path, strerror(-r));
        *ret = TAKE_STRUCT(v, (Vault) {});
        return 0;
}

static int open_token(const char *uri, Vault *ret, char **reterr) {
        _cleanup_(vault_done) Vault v = {};
        int r = secret_buf_alloc(&v.key, VAULT_KEY_SIZE);

        if (r >= 0)
                r = token_secret(uri, TOKEN_LABEL, v.key.data, v.key.size, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "cannot take the key from the token");
        *ret = TAKE_STRUCT(v, (Vault) {});
        return 0;
}

int vault_open_given(const char *given, bool create, Vault *ret, char **reterr) {
        return input_is_uri(given) ? open_token(given, ret, reterr) : vault_open(given, create, ret, reterr);
}

static int derive(const SecretBuf *key, const uint8_t salt[static SALT_SIZE], const VaultPlace *place,
                RecordKeys *ret) {
        uint8_t bound[SALT_SIZE + CONTEXT_SIZE_MAX];
        size_t n = strlen(place->purpose) + 1;

        if (n > CONTEXT_SIZE_MAX || place->context_size > CONTEXT_SIZE_MAX - n)
                return -E2BIG;
        memcpy(bound, salt, SALT_SIZE);
        memcpy(bound + SALT_SIZE, place->purpose, n);
        if (place->context_size > 0)
                memcpy(bound + SALT_SIZE + n, place->context, place->context_size);
        static_assert(sizeof(RecordKeys) == GCM_KEY_SIZE + GCM_NONCE_SIZE, "no padding");
        return crypto_kdf_counter_le(key->data, key->size, "cvmspawn-attestd-v2", bound,
                        SALT_SIZE + n + place->context_size, (uint8_t *) ret, sizeof(*ret));
}

int vault_seal(const Vault *v, const VaultPlace *place, const void *data, size_t size, uint8_t **ret,
                size_t *ret_size) {
        _cleanup_(record_keys_erase) RecordKeys keys = {};
        _cleanup_free_ uint8_t *record = malloc(size + VAULT_OVERHEAD);
        int r;

        static_assert(VAULT_OVERHEAD == HEAD_SIZE + GCM_TAG_SIZE, "what a record adds");
        if (!record)
                return -ENOMEM;
        record[0] = VERSION;
        r = (v->random ?: crypto_random)(v->random_data, record + 1, SALT_SIZE);
        if (r >= 0)
                r = derive(&v->key, record + 1, place, &keys);
        if (r >= 0)
                r = crypto_gcm_seal(keys.key, keys.nonce, record, HEAD_SIZE, data, size, record + HEAD_SIZE,
                                record + HEAD_SIZE + size);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(record);
        *ret_size = size + VAULT_OVERHEAD;
        return 0;
}

static int unseal(const SecretBuf *key, const VaultPlace *place, const void *record, size_t size,
                SecretBuf *ret) {
        _cleanup_(record_keys_erase) RecordKeys keys = {};
        _cleanup_(secret_buf_done) SecretBuf plain = {};
        const uint8_t *p = record;
        int r;

        if (size < VAULT_OVERHEAD || p[0] != VERSION)
                return -EKEYREJECTED;
        r = derive(key, p + 1, place, &keys);
        if (r >= 0)
                r = secret_buf_alloc(&plain, size - VAULT_OVERHEAD);
        if (r >= 0)
                r = crypto_gcm_open(keys.key, keys.nonce, p, HEAD_SIZE, p + HEAD_SIZE, plain.size,
                                p + size - GCM_TAG_SIZE, plain.data);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(plain, (SecretBuf) {});
        return 0;
}

int vault_unseal(const Vault *v, const VaultPlace *place, const void *record, size_t size, SecretBuf *ret) {
        int r = unseal(&v->key, place, record, size, ret);

        return r == -EKEYREJECTED && v->previous.size > 0 ? unseal(&v->previous, place, record, size, ret)
                                                          : r;
}

int vault_id(const Vault *v, uint8_t ret[static VAULT_ID_SIZE]) {
        return crypto_kdf_counter_le(
                        v->key.data, v->key.size, "cvmspawn-attestd-key-id", NULL, 0, ret, VAULT_ID_SIZE);
}

int vault_signer_scalar(const Vault *v, SecretBuf *ret) {
        _cleanup_(secret_buf_done) SecretBuf scalar = {};
        int r = secret_buf_alloc(&scalar, P384_SIZE);

        if (r >= 0 && v->signer.size == P384_SIZE)
                memcpy(scalar.data, v->signer.data, P384_SIZE);
        else if (r >= 0)
                r = crypto_kdf_counter_le(v->key.data, v->key.size, "cvmspawn-attestd-signer-v1", NULL, 0,
                                scalar.data, P384_SIZE);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(scalar, (SecretBuf) {});
        return 0;
}

int vault_signer(const Vault *v, EcKey **ret) {
        _cleanup_(secret_buf_done) SecretBuf scalar = {};
        int r = vault_signer_scalar(v, &scalar);

        return r < 0 ? r : ec_key_from_scalar(scalar.data, ret); /* fails for one in 2^190 keys */
}
