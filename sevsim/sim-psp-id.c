/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ID block of SNP_LAUNCH_FINISH (AMD 56860, tables "ID Block" and "ID Authentication Information
 * Structure"): 96 bytes that say what the owner meant to launch, signed by the ID key, whose public part may be
 * signed by an author key. Which cause wins when several are there: digest, policy, signatures. */

#include <openssl/evp.h>
#include <string.h>

#include "sim-bytes.h"
#include "sim-cert.h"
#include "sim-psp.h"

enum {
        BLOCK_FAMILY = 0x30,
        BLOCK_IMAGE = 0x40,
        BLOCK_VERSION = 0x50,
        BLOCK_SVN = 0x54,
        BLOCK_POLICY = 0x58,

        AUTH_ID_ALGO = 0x000,
        AUTH_AUTHOR_ALGO = 0x004,
        AUTH_RESERVED_1 = 0x008,
        AUTH_BLOCK_SIG = 0x040,
        AUTH_ID_KEY = 0x240,
        AUTH_RESERVED_2 = 0x644,
        AUTH_ID_KEY_SIG = 0x680,
        AUTH_AUTHOR_KEY = 0x880,
        AUTH_RESERVED_3 = 0xc84,

        ALGO_P384_SHA384 = 1,
};

static bool all_zero(const uint8_t *p, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (p[i] != 0)
                        return false;
        return true;
}

static PspError check_signature(const uint8_t *key, const uint8_t *data, size_t size, const uint8_t *sig,
                uint8_t ret_digest[static 48]) {
        EVP_PKEY *pkey = ec_key_from_amd(key);
        bool ok = pkey && ec_sig_verify(pkey, EVP_sha384(), data, size, sig) &&
                        EVP_Digest(key, EC_KEY_SIZE, ret_digest, NULL, EVP_sha384(), NULL);

        EVP_PKEY_free(pkey);
        return ok ? PSP_SUCCESS : PSP_BAD_SIGNATURE;
}

PspError psp_check_id_block(PspGuest *guest, const SnpFinish *finish) {
        const uint8_t *block = finish->id_block, *auth = finish->id_auth;
        uint8_t id_digest[48], author_digest[48] = {};
        PspError e;

        if (get_le32(block + BLOCK_VERSION) != 1 || get_le32(auth + AUTH_ID_ALGO) != ALGO_P384_SHA384)
                return PSP_INVALID_PARAM;
        if (finish->author_key && get_le32(auth + AUTH_AUTHOR_ALGO) != ALGO_P384_SHA384)
                return PSP_INVALID_PARAM;
        if (!all_zero(auth + AUTH_RESERVED_1, AUTH_BLOCK_SIG - AUTH_RESERVED_1) ||
                        !all_zero(auth + AUTH_RESERVED_2, AUTH_ID_KEY_SIG - AUTH_RESERVED_2) ||
                        !all_zero(auth + AUTH_RESERVED_3, PSP_ID_AUTH_SIZE - AUTH_RESERVED_3))
                return PSP_INVALID_PARAM;

        if (memcmp(block, guest->digest, sizeof(guest->digest)) != 0)
                return PSP_BAD_MEASUREMENT;
        if (get_le64(block + BLOCK_POLICY) != guest->policy)
                return PSP_POLICY_FAILURE;

        e = check_signature(auth + AUTH_ID_KEY, block, PSP_ID_BLOCK_SIZE, auth + AUTH_BLOCK_SIG, id_digest);
        if (e == PSP_SUCCESS && finish->author_key)
                e = check_signature(auth + AUTH_AUTHOR_KEY, auth + AUTH_ID_KEY, EC_KEY_SIZE,
                                auth + AUTH_ID_KEY_SIG, author_digest);
        if (e != PSP_SUCCESS)
                return e;

        guest->id_block = true;
        guest->author_key = finish->author_key;
        memcpy(guest->id_key_digest, id_digest, sizeof(id_digest));
        memcpy(guest->author_key_digest, author_digest, sizeof(author_digest));
        memcpy(guest->family_id, block + BLOCK_FAMILY, sizeof(guest->family_id));
        memcpy(guest->image_id, block + BLOCK_IMAGE, sizeof(guest->image_id));
        guest->guest_svn = get_le32(block + BLOCK_SVN);
        return PSP_SUCCESS;
}
