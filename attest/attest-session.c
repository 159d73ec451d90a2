/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attest-session.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "crypto-aes.h"
#include "crypto-ec.h"
#include "crypto-hmac.h"
#include "crypto-kdf.h"
#include "encode.h"
#include "error.h"
#include "secret.h"

#define NONCE_OFFSET      0x00u
#define WRAP_TK_OFFSET    0x10u
#define WRAP_IV_OFFSET    0x30u
#define WRAP_MAC_OFFSET   0x40u
#define POLICY_MAC_OFFSET 0x60u
#define WRAP_TK_SIZE      32u

static_assert(sizeof(SevKeys) == WRAP_TK_SIZE && offsetof(SevKeys, tik) == SEV_KEY_SIZE,
                "SevKeys has the order of the wrapped keys: TEK, TIK");
static_assert(POLICY_MAC_OFFSET + HMAC_SHA256_SIZE == SEV_SESSION_SIZE, "AMD 55766");

/* Key encryption and key integrity key. */
typedef struct WrapKeys {
        uint8_t kek[AES128_KEY_SIZE], kik[AES128_KEY_SIZE];
} WrapKeys;

static void wrap_keys_erase(WrapKeys *k) {
        erase_memory(k, sizeof(*k));
}

static int derive_wrap_keys(
                const void *shared, size_t shared_size, const uint8_t nonce[static 16], WrapKeys *ret) {
        uint8_t master[AES128_KEY_SIZE];
        int r;

        r = crypto_kdf_counter_le(shared, shared_size, "sev-master-secret", nonce, SEV_NONCE_SIZE, master,
                        sizeof(master));
        if (r >= 0)
                r = crypto_kdf_counter_le(
                                master, sizeof(master), "sev-kek", NULL, 0, ret->kek, sizeof(ret->kek));
        if (r >= 0)
                r = crypto_kdf_counter_le(
                                master, sizeof(master), "sev-kik", NULL, 0, ret->kik, sizeof(ret->kik));
        erase_memory(master, sizeof(master));
        return r;
}

static int policy_mac(const uint8_t tik[static SEV_KEY_SIZE], uint32_t policy,
                uint8_t ret[static HMAC_SHA256_SIZE]) {
        uint8_t le[4];

        le32_write(le, policy);
        return crypto_hmac_sha256(tik, SEV_KEY_SIZE, &HMAC_RANGE(le, sizeof(le)), 1, ret);
}

int sev_session_wrap(const void *shared, size_t shared_size, const uint8_t nonce[static 16],
                const uint8_t iv[static 16], const SevKeys *keys, uint32_t policy,
                uint8_t ret[static SEV_SESSION_SIZE]) {
        _cleanup_(wrap_keys_erase) WrapKeys wrap = {};
        uint8_t blob[SEV_SESSION_SIZE] = {};
        int r;

        r = derive_wrap_keys(shared, shared_size, nonce, &wrap);
        if (r < 0)
                return r;
        memcpy(blob + NONCE_OFFSET, nonce, SEV_NONCE_SIZE);
        memcpy(blob + WRAP_IV_OFFSET, iv, AES128_BLOCK_SIZE);
        r = crypto_aes128_ctr(wrap.kek, iv, keys, sizeof(*keys), blob + WRAP_TK_OFFSET);
        if (r < 0)
                return r;
        r = crypto_hmac_sha256(wrap.kik, sizeof(wrap.kik), &HMAC_RANGE(blob + WRAP_TK_OFFSET, WRAP_TK_SIZE),
                        1, blob + WRAP_MAC_OFFSET);
        if (r < 0)
                return r;
        r = policy_mac(keys->tik, policy, blob + POLICY_MAC_OFFSET);
        if (r < 0)
                return r;
        memcpy(ret, blob, sizeof(blob));
        return 0;
}

int sev_session_unwrap(const void *shared, size_t shared_size, const uint8_t blob[static SEV_SESSION_SIZE],
                uint32_t policy, SevKeys *ret, char **reterr) {
        _cleanup_(wrap_keys_erase) WrapKeys wrap = {};
        uint8_t mac[HMAC_SHA256_SIZE];
        SevKeys keys;
        int r;

        r = derive_wrap_keys(shared, shared_size, blob + NONCE_OFFSET, &wrap);
        if (r >= 0)
                r = crypto_hmac_sha256(wrap.kik, sizeof(wrap.kik),
                                &HMAC_RANGE(blob + WRAP_TK_OFFSET, WRAP_TK_SIZE), 1, mac);
        if (r < 0)
                return r;
        if (!constant_time_equal(mac, blob + WRAP_MAC_OFFSET, sizeof(mac)))
                return error_set(reterr, -EKEYREJECTED,
                                "the wrapped keys are not authentic: the session was made for another platform, or is damaged");
        r = crypto_aes128_ctr(wrap.kek, blob + WRAP_IV_OFFSET, blob + WRAP_TK_OFFSET, sizeof(keys), &keys);
        if (r >= 0)
                r = policy_mac(keys.tik, policy, mac);
        if (r >= 0 && !constant_time_equal(mac, blob + POLICY_MAC_OFFSET, sizeof(mac)))
                r = error_set(reterr, -EKEYREJECTED, "the session was made for another policy than 0x%x",
                                policy);
        if (r >= 0)
                *ret = keys;
        erase_memory(&keys, sizeof(keys));
        return r;
}

/* The owner's half of the exchange as a certificate. Firmware looks at neither its version of the API nor at signatures. */
static int make_godh(const EcKey *own, uint8_t ret[static SEV_CERT_SIZE]) {
        SevCert godh = {
                .usage = SEV_USAGE_PDH,
                .algorithm = SEV_ALGORITHM_ECDH_SHA256,
                .signatures = { { .usage = SEV_USAGE_NONE }, { .usage = SEV_USAGE_NONE } },
        };
        EcPoint p;
        int r = ec_key_point(own, &p);

        if (r < 0)
                return r;
        memcpy(godh.x, p.x, sizeof(godh.x));
        memcpy(godh.y, p.y, sizeof(godh.y));
        sev_cert_format(&godh);
        memcpy(ret, godh.raw, SEV_CERT_SIZE);
        return 0;
}

int sev_session_new(const SevCert *pdh, uint32_t policy, RandomFunction random, void *userdata,
                SevSession *ret, char **reterr) {
        _cleanup_ec_key_ EcKey *own = NULL, *peer = NULL;
        _cleanup_(secret_buf_done) SecretBuf shared = {};
        _cleanup_(sev_session_erase) SevSession s = {};
        uint8_t nonce[SEV_NONCE_SIZE], iv[AES128_BLOCK_SIZE];
        EcPoint p;
        int r;

        if (pdh->usage != SEV_USAGE_PDH)
                return error_set(reterr, -EINVAL,
                                "a session needs the platform's PDH, this certificate is a %s",
                                sev_usage_to_string(pdh->usage));
        memcpy(p.x, pdh->x, sizeof(p.x));
        memcpy(p.y, pdh->y, sizeof(p.y));
        r = ec_key_from_point(&p, &peer);
        if (r < 0)
                return error_set(reterr, r, "the PDH's public key is not a point of the curve");

        r = ec_key_generate(random, userdata, &own);
        if (r >= 0)
                r = random(userdata, nonce, sizeof(nonce));
        if (r >= 0)
                r = random(userdata, iv, sizeof(iv));
        if (r >= 0)
                r = random(userdata, s.keys.tek, sizeof(s.keys.tek));
        if (r >= 0)
                r = random(userdata, s.keys.tik, sizeof(s.keys.tik));
        if (r >= 0)
                r = make_godh(own, s.godh);
        if (r >= 0)
                r = ec_key_derive(own, peer, &shared);
        if (r >= 0)
                r = sev_session_wrap(shared.data, shared.size, nonce, iv, &s.keys, policy, s.blob);
        if (r < 0)
                return error_set(reterr, r, "cannot make a session");
        *ret = s;
        return 0;
}

void sev_session_erase(SevSession *s) {
        erase_memory(s, sizeof(*s));
}

static int try_policy(const uint8_t blob[static SEV_SESSION_SIZE], const uint8_t tik[static SEV_KEY_SIZE],
                uint32_t policy, bool *ret) {
        uint8_t mac[HMAC_SHA256_SIZE];
        int r = policy_mac(tik, policy, mac);

        if (r < 0)
                return r;
        *ret = constant_time_equal(mac, blob + POLICY_MAC_OFFSET, sizeof(mac));
        return 0;
}

/* All low 6 bits, with the minimum version of the given policy, without one, and with the usual ones 0.1 to 1.63. */
static int search_policy(const uint8_t blob[static SEV_SESSION_SIZE], const uint8_t tik[static SEV_KEY_SIZE],
                uint32_t policy, bool *ret_found, uint32_t *ret_policy) {
        for (uint32_t version = 0; version < 1 + 1 + 128; version++) {
                uint32_t high = version == 0   ? policy & 0xffff0000u
                                : version == 1 ? 0
                                               : ((version - 2) & 1) << 16 | ((version - 2) >> 1) << 24;

                for (uint32_t low = 0; low < 64; low++) {
                        int r = try_policy(blob, tik, high | low, ret_found);

                        if (r < 0)
                                return r;
                        if (*ret_found) {
                                *ret_policy = high | low;
                                return 0;
                        }
                }
        }
        return 0;
}

int sev_session_match(const uint8_t blob[static SEV_SESSION_SIZE], const SevKeys *keys, uint32_t policy,
                SessionMatch *ret, uint32_t *ret_policy) {
        uint32_t found_policy = policy;
        SessionMatch m = SESSION_OTHER_KEYS;
        bool found;
        int r;

        r = try_policy(blob, keys->tik, policy, &found);
        if (r < 0)
                return r;
        if (found)
                m = SESSION_MATCHES;
        else {
                r = search_policy(blob, keys->tik, policy, &found, &found_policy);
                if (r < 0)
                        return r;
                if (found)
                        m = SESSION_OTHER_POLICY;
        }
        if (m == SESSION_OTHER_KEYS) {
                r = search_policy(blob, keys->tek, policy, &found, &found_policy);
                if (r < 0)
                        return r;
                if (found)
                        m = SESSION_KEYS_SWAPPED;
        }
        *ret = m;
        *ret_policy = found_policy;
        return 0;
}

int sev_session_read(const void *data, size_t size, uint8_t ret[static SEV_SESSION_SIZE], bool *ret_binary,
                char **reterr) {
        _cleanup_free_ char *text = calloc(1, size + 1);
        _cleanup_free_ uint8_t *blob = NULL;
        const char *p = data;
        size_t n = 0, blob_size;

        if (!text)
                return -ENOMEM;
        /* Editors and base64(1) wrap lines; nothing else may be there. */
        for (size_t i = 0; i < size; i++)
                if (!isspace((unsigned char) p[i]))
                        text[n++] = p[i];
        if (base64_decode(text, n, &blob, &blob_size) >= 0 && blob_size == SEV_SESSION_SIZE) {
                memcpy(ret, blob, SEV_SESSION_SIZE);
                *ret_binary = false;
                return 0;
        }
        if (size == SEV_SESSION_SIZE) {
                memcpy(ret, data, SEV_SESSION_SIZE);
                *ret_binary = true;
                return 0;
        }
        return error_set(reterr, -EBADMSG,
                        "not a session: expected base64 text of %u bytes (or the bytes), got %zu bytes; a GODH certificate has 2084 bytes, TIK and TEK have 16",
                        SEV_SESSION_SIZE, size);
}
