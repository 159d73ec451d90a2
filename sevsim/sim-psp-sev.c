/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* SEV and SEV-ES launches as the secure processor's firmware does them (AMD 55766): the owner's session is
 * unwrapped with the platform's PDH key, everything handed in goes through one SHA-256, the measurement is an
 * HMAC under the owner's integrity key over version, policy, digest and a nonce. */

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim-bytes.h"
#include "sim-cert.h"
#include "sim-psp.h"

/* AMD 55766, "Guest policy structure" */
#define POLICY_RESERVED     0xffc0U
#define POLICY_API_MAJOR(p) ((p) >> 16 & 0xff)
#define POLICY_API_MINOR(p) ((p) >> 24)

enum {
        SESSION_WRAP_TK = 0x10,
        SESSION_WRAP_IV = 0x30,
        SESSION_WRAP_MAC = 0x40,
        SESSION_POLICY_MAC = 0x60,
        KEY_SIZE = 16,
        MAC_SIZE = 32,
        MEASURE_CONTEXT = 0x04, /* first byte of what LAUNCH_MEASURE authenticates */
        SECRET_CONTEXT = 0x01,  /* first byte of what LAUNCH_SECRET authenticates */
        SECRET_COMPRESSED = 1U,
        SHARED_SIZE = 48,
};

static bool hmac_sha256(const uint8_t *key, size_t key_size, const uint8_t *data, size_t size,
                uint8_t ret[static MAC_SIZE]) {
        return HMAC(EVP_sha256(), key, (int) key_size, data, size, ret, NULL) != NULL;
}

/* NIST SP 800-108 in counter mode, one block, with AMD's little-endian counter and length. */
static bool derive(const uint8_t *key, size_t key_size, const char *label, const uint8_t *context,
                size_t context_size, uint8_t ret[static KEY_SIZE]) {
        uint8_t message[128] = {}, mac[MAC_SIZE];
        size_t n = 0;

        put_le32(message, 1);
        n += 4;
        memcpy(message + n, label, strlen(label));
        n += strlen(label) + 1;
        if (context_size > 0)
                memcpy(message + n, context, context_size);
        n += context_size;
        put_le32(message + n, KEY_SIZE * 8);
        n += 4;

        if (!hmac_sha256(key, key_size, message, n, mac))
                return false;
        memcpy(ret, mac, KEY_SIZE);
        return true;
}

static bool aes_ctr(const uint8_t key[static KEY_SIZE], const uint8_t iv[static 16], const uint8_t *in,
                size_t size, uint8_t *out) {
        EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
        int n = 0;
        bool ok = ctx && EVP_DecryptInit_ex(ctx, EVP_aes_128_ctr(), NULL, key, iv) == 1 &&
                        EVP_DecryptUpdate(ctx, out, &n, in, (int) size) == 1 && (size_t) n == size;

        EVP_CIPHER_CTX_free(ctx);
        return ok;
}

static EVP_PKEY *platform_key(const char *platform, const char *name) {
        char path[4096];
        EVP_PKEY *key;
        FILE *f;

        if (!platform || snprintf(path, sizeof(path), "%s/%s", platform, name) >= (int) sizeof(path))
                return NULL;
        f = fopen(path, "re");
        if (!f)
                return NULL;
        key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
        fclose(f);
        return key;
}

/* The owner's certificate is a PDH certificate around an ephemeral key; the firmware checks no signature on it. */
static PspError shared_secret(const char *platform, const uint8_t *cert, uint8_t ret[static SHARED_SIZE]) {
        EVP_PKEY *ours = platform_key(platform, "pdh.key"), *theirs = NULL;
        EVP_PKEY_CTX *ctx = NULL;
        size_t n = SHARED_SIZE;
        PspError e = PSP_INVALID_CERTIFICATE;

        if (!ours)
                e = PSP_INVALID_PLATFORM_STATE;
        else if (get_le32(cert) == 1 && get_le32(cert + 8) == USAGE_PDH &&
                        get_le32(cert + 12) == ALGO_ECDH_SHA256 && (theirs = ec_key_from_amd(cert + 16))) {
                ctx = EVP_PKEY_CTX_new(ours, NULL);
                if (ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, theirs) == 1 &&
                                EVP_PKEY_derive(ctx, ret, &n) == 1 && n == SHARED_SIZE)
                        e = PSP_SUCCESS;
        }
        EVP_PKEY_CTX_free(ctx);
        EVP_PKEY_free(theirs);
        EVP_PKEY_free(ours);
        return e;
}

static PspError unwrap_session(PspGuest *guest, const char *platform, uint32_t policy, const uint8_t *cert,
                const uint8_t *session) {
        uint8_t z[SHARED_SIZE], master[KEY_SIZE], kek[KEY_SIZE], kik[KEY_SIZE], mac[MAC_SIZE],
                        keys[2 * KEY_SIZE];
        uint8_t policy_bytes[4];
        PspError e;

        e = shared_secret(platform, cert, z);
        if (e != PSP_SUCCESS)
                return e;
        if (!derive(z, sizeof(z), "sev-master-secret", session, KEY_SIZE, master) ||
                        !derive(master, sizeof(master), "sev-kek", NULL, 0, kek) ||
                        !derive(master, sizeof(master), "sev-kik", NULL, 0, kik) ||
                        !hmac_sha256(kik, sizeof(kik), session + SESSION_WRAP_TK, sizeof(keys), mac))
                return PSP_RESOURCE_LIMIT;
        if (CRYPTO_memcmp(mac, session + SESSION_WRAP_MAC, MAC_SIZE) != 0)
                return PSP_BAD_MEASUREMENT;

        if (!aes_ctr(kek, session + SESSION_WRAP_IV, session + SESSION_WRAP_TK, sizeof(keys), keys))
                return PSP_RESOURCE_LIMIT;
        put_le32(policy_bytes, policy);
        if (!hmac_sha256(keys + KEY_SIZE, KEY_SIZE, policy_bytes, sizeof(policy_bytes), mac))
                return PSP_RESOURCE_LIMIT;
        if (CRYPTO_memcmp(mac, session + SESSION_POLICY_MAC, MAC_SIZE) != 0)
                return PSP_BAD_MEASUREMENT;

        memcpy(guest->tek, keys, KEY_SIZE);
        memcpy(guest->tik, keys + KEY_SIZE, KEY_SIZE);
        return PSP_SUCCESS;
}

PspError psp_launch_start(PspGuest *guest, const char *platform, uint32_t handle, uint32_t policy,
                const uint8_t *cert, size_t cert_len, const uint8_t *session, size_t session_len) {
        PspError e = PSP_SUCCESS;

        if (guest->state != GUEST_UNINIT)
                return PSP_INVALID_GUEST_STATE;
        /* A handle would share another guest's key; there is no other guest. */
        if (handle != 0)
                return PSP_INVALID_GUEST;
        if ((policy & POLICY_RESERVED) != 0 ||
                        (POLICY_API_MAJOR(policy) << 8 | POLICY_API_MINOR(policy)) >
                                        (PSP_API_MAJOR << 8 | PSP_API_MINOR))
                return PSP_POLICY_FAILURE;
        if ((cert && cert_len != PSP_CERT_SIZE) || (session && session_len != PSP_SESSION_SIZE) ||
                        !cert != !session)
                return PSP_INVALID_LENGTH;

        if (session)
                e = unwrap_session(guest, platform, policy, cert, session);
        else if (RAND_bytes(guest->tek, KEY_SIZE) != 1 || RAND_bytes(guest->tik, KEY_SIZE) != 1)
                e = PSP_RESOURCE_LIMIT;
        if (e != PSP_SUCCESS)
                return e;

        guest->running = EVP_MD_CTX_new();
        if (!guest->running || EVP_DigestInit_ex(guest->running, EVP_sha256(), NULL) != 1)
                return PSP_RESOURCE_LIMIT;
        guest->policy = policy;
        guest->state = GUEST_LAUNCH_UPDATE;
        return PSP_SUCCESS;
}

PspError psp_launch_update(PspGuest *guest, const void *data, size_t size) {
        if (guest->state != GUEST_LAUNCH_UPDATE)
                return PSP_INVALID_GUEST_STATE;
        return EVP_DigestUpdate(guest->running, data, size) == 1 ? PSP_SUCCESS : PSP_RESOURCE_LIMIT;
}

PspError psp_launch_measure(PspGuest *guest, uint8_t *ret, size_t *size) {
        uint8_t message[1 + 3 + 4 + 32 + 16] = { MEASURE_CONTEXT, PSP_API_MAJOR, PSP_API_MINOR, PSP_BUILD };
        size_t room = *size;

        *size = PSP_MEASURE_SIZE;
        if (guest->state != GUEST_LAUNCH_UPDATE)
                return PSP_INVALID_GUEST_STATE;
        if (room < PSP_MEASURE_SIZE)
                return PSP_INVALID_LENGTH;

        if (EVP_DigestFinal_ex(guest->running, guest->digest, NULL) != 1 ||
                        RAND_bytes(guest->nonce, 16) != 1)
                return PSP_RESOURCE_LIMIT;
        put_le32(message + 4, (uint32_t) guest->policy);
        memcpy(message + 8, guest->digest, 32);
        memcpy(message + 40, guest->nonce, 16);
        if (!hmac_sha256(guest->tik, KEY_SIZE, message, sizeof(message), guest->measure))
                return PSP_RESOURCE_LIMIT;

        memcpy(ret, guest->measure, MAC_SIZE);
        memcpy(ret + MAC_SIZE, guest->nonce, 16);
        guest->state = GUEST_LAUNCH_SECRET;
        return PSP_SUCCESS;
}

PspError psp_launch_secret(PspGuest *guest, const uint8_t *header, size_t header_len, const uint8_t *packet,
                size_t size, size_t guest_len, uint8_t *ret_plain) {
        uint8_t mac[MAC_SIZE], *message;
        size_t n = 0;
        bool ok;

        if (guest->state != GUEST_LAUNCH_SECRET)
                return PSP_INVALID_GUEST_STATE;
        if (header_len != PSP_SECRET_HEADER_SIZE || size == 0 || size % 16 != 0 || size > PSP_SECRET_MAX ||
                        guest_len != size)
                return PSP_INVALID_LENGTH;
        if (get_le32(header) & SECRET_COMPRESSED)
                return PSP_UNSUPPORTED;

        message = malloc(1 + 20 + 8 + size + MAC_SIZE);
        if (!message)
                return PSP_RESOURCE_LIMIT;
        message[n++] = SECRET_CONTEXT;
        memcpy(message + n, header, 20); /* flags, IV */
        n += 20;
        put_le32(message + n, (uint32_t) guest_len);
        put_le32(message + n + 4, (uint32_t) size);
        n += 8;
        memcpy(message + n, packet, size);
        n += size;
        memcpy(message + n, guest->measure, MAC_SIZE);
        n += MAC_SIZE;
        ok = hmac_sha256(guest->tik, KEY_SIZE, message, n, mac);
        free(message);

        if (!ok)
                return PSP_RESOURCE_LIMIT;
        if (CRYPTO_memcmp(mac, header + 20, MAC_SIZE) != 0)
                return PSP_BAD_MEASUREMENT;
        return aes_ctr(guest->tek, header + 4, packet, size, ret_plain) ? PSP_SUCCESS : PSP_RESOURCE_LIMIT;
}

PspError psp_launch_finish(PspGuest *guest) {
        if (guest->state != GUEST_LAUNCH_SECRET)
                return PSP_INVALID_GUEST_STATE;
        guest->state = GUEST_RUNNING;
        return PSP_SUCCESS;
}

/* The ATTESTATION command: nonce, digest and policy, signed by the PEK. */
PspError psp_attestation(PspGuest *guest, const char *platform, const uint8_t nonce[static 16], uint8_t *ret,
                size_t *size) {
        uint8_t sig[EC_SIG_SIZE];
        size_t room = *size;
        EVP_PKEY *pek;
        int r;

        *size = PSP_REPORT_SIZE;
        if (guest->state != GUEST_LAUNCH_SECRET && guest->state != GUEST_RUNNING)
                return PSP_INVALID_GUEST_STATE;
        if (room < PSP_REPORT_SIZE)
                return PSP_INVALID_LENGTH;
        pek = platform_key(platform, "pek.key");
        if (!pek)
                return PSP_INVALID_PLATFORM_STATE;

        memset(ret, 0, PSP_REPORT_SIZE);
        memcpy(ret, nonce, 16);
        memcpy(ret + 0x10, guest->digest, 32);
        put_le32(ret + 0x30, (uint32_t) guest->policy);
        put_le32(ret + 0x34, USAGE_PEK);
        put_le32(ret + 0x38, ALGO_ECDSA_SHA256);
        r = ec_sig_make(pek, EVP_sha256(), ret, 0x34, sig);
        memcpy(ret + 0x40, sig, 144);
        EVP_PKEY_free(pek);
        return r < 0 ? PSP_RESOURCE_LIMIT : PSP_SUCCESS;
}
