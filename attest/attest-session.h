/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The guest owner's session (AMD 55766, LAUNCH_START): fresh keys TEK and TIK for one launch, wrapped so that only the
 * platform with this PDH can use them, and bound to a policy.
 *
 *      0x00 16  nonce
 *      0x10 32  AES-128-CTR(KEK, IV, TEK || TIK)
 *      0x30 16  IV
 *      0x40 32  HMAC-SHA256(KIK, the wrapped keys)
 *      0x60 32  HMAC-SHA256(TIK, policy u32)
 *
 *      master = KDF(ECDH(owner, PDH), "sev-master-secret", nonce), KEK = KDF(master, "sev-kek"), KIK = KDF(master, "sev-kik")
 *
 * The owner's half of the key exchange travels as a SEV certificate without signatures (GODH); its private half is
 * forgotten at once. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest-launch.h"
#include "crypto-random.h"
#include "macro.h"
#include "sev-cert.h"

#define SEV_SESSION_SIZE 128u

typedef struct SevSession {
        uint8_t blob[SEV_SESSION_SIZE];
        uint8_t godh[SEV_CERT_SIZE];
        SevKeys keys; /* secret */
} SevSession;

/* The platform's PDH must have been verified before. random gives, in this order, the private key, nonce, IV, TEK, TIK. */
_warn_unused_result_ int sev_session_new(const SevCert *pdh, uint32_t policy, RandomFunction random,
                void *userdata, SevSession *ret, char **reterr);
void sev_session_erase(SevSession *s);

/* Only the part after the key exchange, for vectors and for the platform's side of tests. */
_warn_unused_result_ int sev_session_wrap(const void *shared, size_t shared_size,
                const uint8_t nonce[static 16], const uint8_t iv[static 16], const SevKeys *keys,
                uint32_t policy, uint8_t ret[static SEV_SESSION_SIZE]);
/* The platform's side: checks and opens a session. -EKEYREJECTED: made for another PDH, damaged, or another policy. */
_warn_unused_result_ int sev_session_unwrap(const void *shared, size_t shared_size,
                const uint8_t blob[static SEV_SESSION_SIZE], uint32_t policy, SevKeys *ret, char **reterr);

/* What a session blob says about the keys and the policy that somebody wants to use with it. */
typedef enum SessionMatch {
        SESSION_UNCHECKED,
        SESSION_MATCHES,
        SESSION_KEYS_SWAPPED, /* the TEK is the session's TIK */
        SESSION_OTHER_POLICY, /* the keys are right; *ret_policy is what the session was made for */
        SESSION_OTHER_KEYS, /* none of the above: keys of another session, or a policy that was not tried */
        _SESSION_MATCH_MAX,
} SessionMatch;

/* Tries the policy, then swapped keys, then the policies that differ in the low 6 bits or in the minimum version. */
_warn_unused_result_ int sev_session_match(const uint8_t blob[static SEV_SESSION_SIZE], const SevKeys *keys,
                uint32_t policy, SessionMatch *ret, uint32_t *ret_policy);

/* A session as people hand it over: base64 text (what QEMU and libvirt want) or the 128 bytes themselves; *ret_binary
 * says which. -EBADMSG with an error message. */
_warn_unused_result_ int sev_session_read(const void *data, size_t size,
                uint8_t ret[static SEV_SESSION_SIZE], bool *ret_binary, char **reterr);
