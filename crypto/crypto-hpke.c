/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Theory of operation (RFC 9180; section numbers are its own):
 *
 *      4.1  Encap     skE, pkE fresh; enc = pkE; shared = ExtractAndExpand(X25519(skE, pkR), enc || pkR)
 *           Decap     the same with X25519(skR, enc)
 *      5.1  Schedule  context = mode || psk_id_hash || info_hash; secret = LabeledExtract(shared, "secret", psk = "")
 *                     key, nonce = LabeledExpand(secret, "key" / "base_nonce", context)
 *      5.2  Seal      AES-256-GCM under key and nonce: the first and only message, so its sequence number is 0
 *
 * LabeledExtract is HMAC(salt, "HPKE-v1" || suite || label || ikm), LabeledExpand one block of HKDF-Expand: nothing here is
 * longer than a hash. */

#include "crypto-hpke.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "crypto-gcm.h"
#include "crypto-hmac.h"
#include "crypto-init.h"

#define MODE_BASE    0x00
#define CONTEXT_SIZE (1 + 2 * HMAC_SHA256_SIZE)

static const uint8_t version[] = { 'H', 'P', 'K', 'E', '-', 'v', '1' };
static const uint8_t suite_kem[] = { 'K', 'E', 'M', 0x00, 0x20 };
static const uint8_t suite_hpke[] = { 'H', 'P', 'K', 'E', 0x00, 0x20, 0x00, 0x01, 0x00, 0x02 };

#define SUITE(s) ((HpkeText) { s, sizeof(s) })

DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_PKEY *, EVP_PKEY_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_PKEY_CTX *, EVP_PKEY_CTX_free);

typedef struct MessageKeys {
        uint8_t key[GCM_KEY_SIZE], nonce[GCM_NONCE_SIZE];
} MessageKeys;

static void message_keys_erase(MessageKeys *k) {
        erase_memory(k, sizeof(*k));
}

static int labeled_extract(HpkeText suite, HpkeText salt, const char *label, HpkeText ikm,
                uint8_t ret[static HMAC_SHA256_SIZE]) {
        const struct iovec message[] = {
                HMAC_RANGE(version, sizeof(version)),
                HMAC_RANGE(suite.data, suite.size),
                HMAC_RANGE(label, strlen(label)),
                HMAC_RANGE(ikm.data, ikm.size),
        };

        return crypto_hmac_sha256(salt.data, salt.size, message, ELEMENTSOF(message), ret);
}

/* size: at most a hash. */
static int labeled_expand(HpkeText suite, const uint8_t prk[static HMAC_SHA256_SIZE], const char *label,
                HpkeText info, uint8_t *ret, size_t size) {
        const uint8_t length[2] = { 0, (uint8_t) size }, counter = 1;
        uint8_t block[HMAC_SHA256_SIZE];
        const struct iovec message[] = {
                HMAC_RANGE(length, sizeof(length)),
                HMAC_RANGE(version, sizeof(version)),
                HMAC_RANGE(suite.data, suite.size),
                HMAC_RANGE(label, strlen(label)),
                HMAC_RANGE(info.data, info.size),
                HMAC_RANGE(&counter, 1),
        };
        int r;

        assert(size <= sizeof(block));
        r = crypto_hmac_sha256(prk, HMAC_SHA256_SIZE, message, ELEMENTSOF(message), block);
        if (r >= 0)
                memcpy(ret, block, size);
        erase_memory(block, sizeof(block));
        return r;
}

static int load_private(const uint8_t key[static HPKE_KEY_SIZE], EVP_PKEY **ret) {
        if (crypto_init() < 0)
                return -ENOMEM;
        *ret = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, key, HPKE_KEY_SIZE);
        return *ret ? 0 : -EIO;
}

static int public_of(EVP_PKEY *own, uint8_t ret[static HPKE_KEY_SIZE]) {
        size_t n = HPKE_KEY_SIZE;

        return EVP_PKEY_get_raw_public_key(own, ret, &n) == 1 && n == HPKE_KEY_SIZE ? 0 : -EIO;
}

/* -EBADMSG: the result is zero, which any private key would give with this public key (7.1.4). */
static int x25519(
                EVP_PKEY *own, const uint8_t peer[static HPKE_KEY_SIZE], uint8_t ret[static HPKE_KEY_SIZE]) {
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *other =
                        EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, HPKE_KEY_SIZE);
        static const uint8_t zero[HPKE_KEY_SIZE];
        size_t n = HPKE_KEY_SIZE;

        if (!ctx || !other)
                return -ENOMEM;
        if (EVP_PKEY_derive_init(ctx) != 1)
                return -EIO;
        if (EVP_PKEY_derive_set_peer(ctx, other) != 1 || EVP_PKEY_derive(ctx, ret, &n) != 1 ||
                        n != HPKE_KEY_SIZE || constant_time_equal(ret, zero, sizeof(zero)))
                return -EBADMSG;
        return 0;
}

/* From the Diffie-Hellman of `own` and `peer` to the keys of the one message. */
static int schedule(EVP_PKEY *own, const uint8_t peer[static HPKE_KEY_SIZE],
                const uint8_t enc[static HPKE_KEY_SIZE], const uint8_t recipient[static HPKE_KEY_SIZE],
                HpkeText info, MessageKeys *ret) {
        uint8_t dh[HPKE_KEY_SIZE], prk[HMAC_SHA256_SIZE], shared[HMAC_SHA256_SIZE];
        uint8_t kem_context[2 * HPKE_KEY_SIZE], context[CONTEXT_SIZE] = { MODE_BASE };
        const HpkeText none = {}, hpke = SUITE(suite_hpke), kem = SUITE(suite_kem);
        int r;

        memcpy(kem_context, enc, HPKE_KEY_SIZE);
        memcpy(kem_context + HPKE_KEY_SIZE, recipient, HPKE_KEY_SIZE);
        r = x25519(own, peer, dh);
        if (r >= 0)
                r = labeled_extract(kem, none, "eae_prk", (HpkeText) { dh, sizeof(dh) }, prk);
        if (r >= 0)
                r = labeled_expand(kem, prk, "shared_secret",
                                (HpkeText) { kem_context, sizeof(kem_context) }, shared, sizeof(shared));
        if (r >= 0)
                r = labeled_extract(hpke, none, "psk_id_hash", none, context + 1);
        if (r >= 0)
                r = labeled_extract(hpke, none, "info_hash", info, context + 1 + HMAC_SHA256_SIZE);
        if (r >= 0)
                r = labeled_extract(hpke, (HpkeText) { shared, sizeof(shared) }, "secret", none, prk);
        if (r >= 0)
                r = labeled_expand(hpke, prk, "key", (HpkeText) { context, sizeof(context) }, ret->key,
                                sizeof(ret->key));
        if (r >= 0)
                r = labeled_expand(hpke, prk, "base_nonce", (HpkeText) { context, sizeof(context) },
                                ret->nonce, sizeof(ret->nonce));
        erase_memory(dh, sizeof(dh));
        erase_memory(prk, sizeof(prk));
        erase_memory(shared, sizeof(shared));
        return r;
}

int hpke_key_new(RandomFunction random, void *userdata, SecretBuf *ret_private,
                uint8_t ret_public[static HPKE_KEY_SIZE]) {
        _cleanup_(secret_buf_done) SecretBuf key = {};
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        uint8_t half[HPKE_KEY_SIZE];
        int r = secret_buf_alloc(&key, HPKE_KEY_SIZE);

        if (r >= 0)
                r = random(userdata, key.data, key.size);
        if (r >= 0)
                r = load_private(key.data, &pkey);
        if (r >= 0)
                r = public_of(pkey, half);
        if (r < 0)
                return r;
        memcpy(ret_public, half, sizeof(half));
        *ret_private = TAKE_STRUCT(key, (SecretBuf) {});
        return 0;
}

int hpke_seal(const uint8_t recipient[static HPKE_KEY_SIZE], HpkeText info, HpkeText aad, HpkeText plain,
                RandomFunction random, void *userdata, uint8_t ret_enc[static HPKE_KEY_SIZE], uint8_t *ret) {
        _cleanup_(message_keys_erase) MessageKeys keys = {};
        _cleanup_(secret_buf_done) SecretBuf ephemeral = {};
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        uint8_t enc[HPKE_KEY_SIZE];
        int r = hpke_key_new(random, userdata, &ephemeral, enc);

        if (r >= 0)
                r = load_private(ephemeral.data, &pkey);
        if (r >= 0)
                r = schedule(pkey, recipient, enc, recipient, info, &keys);
        if (r >= 0)
                r = crypto_gcm_seal(keys.key, keys.nonce, aad.data, aad.size, plain.data, plain.size, ret,
                                ret + plain.size);
        if (r >= 0)
                memcpy(ret_enc, enc, sizeof(enc));
        return r;
}

int hpke_open(const uint8_t private_key[static HPKE_KEY_SIZE], const uint8_t enc[static HPKE_KEY_SIZE],
                HpkeText info, HpkeText aad, HpkeText sealed, SecretBuf *ret) {
        _cleanup_(message_keys_erase) MessageKeys keys = {};
        _cleanup_(secret_buf_done) SecretBuf plain = {};
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        uint8_t own[HPKE_KEY_SIZE];
        size_t n;
        int r;

        if (sealed.size < HPKE_OVERHEAD)
                return -EKEYREJECTED;
        n = sealed.size - HPKE_OVERHEAD;
        r = load_private(private_key, &pkey);
        if (r >= 0)
                r = public_of(pkey, own);
        if (r >= 0)
                r = schedule(pkey, enc, enc, own, info, &keys);
        if (r == -EBADMSG)
                return -EKEYREJECTED;
        if (r >= 0)
                r = secret_buf_alloc(&plain, n);
        if (r >= 0)
                r = crypto_gcm_open(keys.key, keys.nonce, aad.data, aad.size, sealed.data, n,
                                (const uint8_t *) sealed.data + n, plain.data);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(plain, (SecretBuf) {});
        return 0;
}
