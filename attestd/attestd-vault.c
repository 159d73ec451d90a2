/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-vault.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "atomic-file.h"
#include "crypto-aes.h"
#include "crypto-hmac.h"
#include "crypto-kdf.h"
#include "error.h"
#include "fd.h"

#define VERSION          1u
#define NONCE_SIZE       16u
#define CONTEXT_SIZE_MAX 256u

typedef struct RecordKeys {
        uint8_t encryption[AES128_KEY_SIZE], authentication[HMAC_SHA256_SIZE];
} RecordKeys;

static void record_keys_erase(RecordKeys *k) {
        erase_memory(k, sizeof(*k));
}

void vault_done(Vault *v) {
        secret_buf_done(&v->key);
}

static int make_key(const char *path, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf key = {};
        int r = secret_buf_alloc(&key, VAULT_KEY_SIZE);

        if (r >= 0)
                r = crypto_random(NULL, key.data, key.size);
        if (r >= 0)
                r = file_write_atomic(path, key.data, key.size, 0600, ATOMIC_FILE_EXACT_MODE);
        return r < 0 && r != -EEXIST
                        ? error_set(reterr, r, "cannot make the key file '%s': %s", path, strerror(-r))
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
        /* The service manager opens credentials to a service by an ACL, which looks like a readable group. */
        if (st.st_mode & (S_IWGRP | S_IXGRP | S_IRWXO))
                return error_set(reterr, -EPERM,
                                "the key file '%s' is accessible to others: chmod 600 or 400 it", path);
        r = secret_buf_read_fd(&v.key, fd, VAULT_KEY_SIZE);
        if (r == -E2BIG || (r >= 0 && v.key.size != VAULT_KEY_SIZE))
                return error_set(reterr, -EBADMSG, "the key file '%s' does not have %u bytes", path,
                                VAULT_KEY_SIZE);
        if (r < 0)
                return error_set(reterr, r, "cannot read the key file '%s': %s", path, strerror(-r));
        *ret = TAKE_STRUCT(v, (Vault) {});
        return 0;
}

static int derive(const Vault *v, const uint8_t nonce[static NONCE_SIZE], const char *purpose,
                const void *context, size_t context_size, RecordKeys *ret) {
        uint8_t bound[NONCE_SIZE + CONTEXT_SIZE_MAX];
        size_t n = strlen(purpose) + 1;

        if (n > CONTEXT_SIZE_MAX || context_size > CONTEXT_SIZE_MAX - n)
                return -E2BIG;
        memcpy(bound, nonce, NONCE_SIZE);
        memcpy(bound + NONCE_SIZE, purpose, n);
        if (context_size > 0)
                memcpy(bound + NONCE_SIZE + n, context, context_size);
        return crypto_kdf_counter_le(v->key.data, v->key.size, "cvmspawn-attestd-v1", bound,
                        NONCE_SIZE + n + context_size, (uint8_t *) ret, sizeof(*ret));
}

int vault_seal(const Vault *v, const char *purpose, const void *context, size_t context_size,
                const void *data, size_t size, RandomFunction random, void *userdata, uint8_t **ret,
                size_t *ret_size) {
        _cleanup_(record_keys_erase) RecordKeys keys = {};
        _cleanup_free_ uint8_t *record = NULL;
        size_t n = 1 + NONCE_SIZE + size;
        int r;

        record = malloc(n + HMAC_SHA256_SIZE);
        if (!record)
                return -ENOMEM;
        record[0] = VERSION;
        r = random(userdata, record + 1, NONCE_SIZE);
        if (r >= 0)
                r = derive(v, record + 1, purpose, context, context_size, &keys);
        if (r >= 0)
                r = crypto_aes128_ctr(keys.encryption, record + 1, data, size, record + 1 + NONCE_SIZE);
        if (r >= 0)
                r = crypto_hmac_sha256(keys.authentication, sizeof(keys.authentication),
                                &HMAC_RANGE(record, n), 1, record + n);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(record);
        *ret_size = n + HMAC_SHA256_SIZE;
        return 0;
}

int vault_unseal(const Vault *v, const char *purpose, const void *context, size_t context_size,
                const void *record, size_t size, SecretBuf *ret) {
        _cleanup_(record_keys_erase) RecordKeys keys = {};
        _cleanup_(secret_buf_done) SecretBuf plain = {};
        uint8_t mac[HMAC_SHA256_SIZE];
        const uint8_t *p = record;
        size_t n;
        int r;

        if (size < VAULT_OVERHEAD || p[0] != VERSION)
                return -EKEYREJECTED;
        n = size - HMAC_SHA256_SIZE;
        r = derive(v, p + 1, purpose, context, context_size, &keys);
        if (r >= 0)
                r = crypto_hmac_sha256(
                                keys.authentication, sizeof(keys.authentication), &HMAC_RANGE(p, n), 1, mac);
        if (r < 0)
                return r;
        if (!constant_time_equal(mac, p + n, sizeof(mac)))
                return -EKEYREJECTED;
        r = secret_buf_alloc(&plain, size - VAULT_OVERHEAD);
        if (r >= 0)
                r = crypto_aes128_ctr(keys.encryption, p + 1, p + 1 + NONCE_SIZE, plain.size, plain.data);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(plain, (SecretBuf) {});
        return 0;
}

int vault_signer(const Vault *v, EcKey **ret) {
        uint8_t scalar[P384_SIZE];
        int r = crypto_kdf_counter_le(v->key.data, v->key.size, "cvmspawn-attestd-signer-v1", NULL, 0,
                        scalar, sizeof(scalar));

        if (r >= 0)
                r = ec_key_from_scalar(scalar, ret); /* fails for one in 2^190 keys */
        erase_memory(scalar, sizeof(scalar));
        return r;
}
