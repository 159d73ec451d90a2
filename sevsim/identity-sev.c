/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The legacy chain (AMD 55766, appendices on certificate formats): ARK and ASK in the CA format with 4096-bit RSA,
 * CEK, OCA, PEK and PDH in the 2084-byte format with P-384 and SHA-256. */

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <string.h>

#include "identity.h"
#include "sim-bytes.h"
#include "sim-cert.h"

enum {
        CA_HEADER = 0x40,
        CA_RSA = 512,
        CA_SIGNED = CA_HEADER + 2 * CA_RSA,
        CA_SIZE = CA_SIGNED + CA_RSA,
        KEY_ID = 16,

        CERT_USAGE = 0x008,
        CERT_ALGO = 0x00c,
        CERT_KEY = 0x010,
        CERT_SIG_1 = 0x414,
        CERT_SIG_2 = 0x61c,
        API_MAJOR = 1,
        API_MINOR = 55,
};

static int pss_sign(EVP_PKEY *key, const uint8_t *data, size_t size, uint8_t ret_le[static CA_RSA]) {
        EVP_MD_CTX *ctx = identity_pss_begin(key);
        uint8_t sig[CA_RSA];
        size_t n = sizeof(sig);
        int r = -EIO;

        if (ctx && EVP_DigestSign(ctx, sig, &n, data, size) == 1 && n == sizeof(sig)) {
                for (size_t i = 0; i < CA_RSA; i++)
                        ret_le[i] = sig[CA_RSA - 1 - i];
                r = 0;
        }
        EVP_MD_CTX_free(ctx);
        return r;
}

static int write_ca(const Identity *identity, const char *name, EVP_PKEY *key, uint32_t usage,
                const uint8_t id[static KEY_ID], const uint8_t certifying_id[static KEY_ID]) {
        uint8_t cert[CA_SIZE] = {};
        BIGNUM *n = NULL, *e = NULL;
        int r = -EIO;

        put_le32(cert, 1);
        memcpy(cert + 0x04, id, KEY_ID);
        memcpy(cert + 0x14, certifying_id, KEY_ID);
        put_le32(cert + 0x24, usage);
        put_le32(cert + 0x38, CA_RSA * 8);
        put_le32(cert + 0x3c, CA_RSA * 8);

        if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
                        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 &&
                        BN_bn2lebinpad(e, cert + CA_HEADER, CA_RSA) == CA_RSA &&
                        BN_bn2lebinpad(n, cert + CA_HEADER + CA_RSA, CA_RSA) == CA_RSA)
                r = pss_sign(identity->ark, cert, CA_SIGNED, cert + CA_SIGNED);
        BN_free(n);
        BN_free(e);
        return r < 0 ? r : identity_write_file(identity, name, cert, sizeof(cert), 0644);
}

static int cert_begin(uint8_t cert[static CERT_SIZE], EVP_PKEY *key, uint32_t usage, uint32_t algo) {
        memset(cert, 0, CERT_SIZE);
        put_le32(cert, 1);
        cert[4] = API_MAJOR;
        cert[5] = API_MINOR;
        put_le32(cert + CERT_USAGE, usage);
        put_le32(cert + CERT_ALGO, algo);
        put_le32(cert + CERT_SIG_1, USAGE_EMPTY);
        put_le32(cert + CERT_SIG_2, USAGE_EMPTY);
        return ec_key_to_amd(key, cert + CERT_KEY);
}

static int cert_sign(uint8_t cert[static CERT_SIZE], size_t slot, EVP_PKEY *key, uint32_t usage) {
        put_le32(cert + slot, usage);
        put_le32(cert + slot + 4, ALGO_ECDSA_SHA256);
        return ec_sig_make(key, EVP_sha256(), cert, CERT_SIGNED_SIZE, cert + slot + 8);
}

/* The chip exports its CEK without AMD's signature; the key server hands out the same with it. */
static int write_cek(const Identity *identity, bool whole) {
        uint8_t cert[CERT_SIZE];
        int r;

        r = cert_begin(cert, identity->cek, USAGE_CEK, ALGO_ECDSA_SHA256);
        if (r >= 0)
                r = identity_write_file(identity, "cek.cert", cert, sizeof(cert), 0644);
        if (r < 0 || !whole)
                return r;
        put_le32(cert + CERT_SIG_1, USAGE_ASK);
        put_le32(cert + CERT_SIG_1 + 4, ALGO_RSA_SHA384);
        r = pss_sign(identity->ask, cert, CERT_SIGNED_SIZE, cert + CERT_SIG_1 + 8);
        return r < 0 ? r : identity_write_file(identity, "cek-signed.cert", cert, sizeof(cert), 0644);
}

int identity_write_sev(const Identity *identity, bool whole) {
        uint8_t ark_id[KEY_ID], ask_id[KEY_ID], cert[CERT_SIZE];
        int r = 0;

        if (RAND_bytes(ark_id, KEY_ID) != 1 || RAND_bytes(ask_id, KEY_ID) != 1)
                return -EIO;
        if (whole)
                r = write_ca(identity, "ark.cert", identity->ark, USAGE_ARK, ark_id, ark_id);
        if (whole && r >= 0)
                r = write_ca(identity, "ask.cert", identity->ask, USAGE_ASK, ask_id, ark_id);
        if (r >= 0)
                r = write_cek(identity, whole);
        if (r < 0)
                return r;

        if ((r = cert_begin(cert, identity->oca, USAGE_OCA, ALGO_ECDSA_SHA256)) < 0 ||
                        (r = cert_sign(cert, CERT_SIG_1, identity->oca, USAGE_OCA)) < 0 ||
                        (r = identity_write_file(identity, "oca.cert", cert, sizeof(cert), 0644)) < 0)
                return r;

        if ((r = cert_begin(cert, identity->pek, USAGE_PEK, ALGO_ECDSA_SHA256)) < 0 ||
                        (r = cert_sign(cert, CERT_SIG_1, identity->oca, USAGE_OCA)) < 0 ||
                        (r = cert_sign(cert, CERT_SIG_2, identity->cek, USAGE_CEK)) < 0 ||
                        (r = identity_write_file(identity, "pek.cert", cert, sizeof(cert), 0644)) < 0)
                return r;

        if ((r = cert_begin(cert, identity->pdh, USAGE_PDH, ALGO_ECDH_SHA256)) < 0 ||
                        (r = cert_sign(cert, CERT_SIG_1, identity->pek, USAGE_PEK)) < 0)
                return r;
        return identity_write_file(identity, "pdh.cert", cert, sizeof(cert), 0644);
}
