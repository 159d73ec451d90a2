/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One message to the holder of a public key: RFC 9180 (HPKE) in base mode, single shot (its section 6), with the suite
 * DHKEM(X25519, HKDF-SHA256) 0x0020, HKDF-SHA256 0x0001, AES-256-GCM 0x0002. Made of X25519, HMAC and AES-GCM, since OpenSSL has an
 * interface for HPKE from 3.2 on only. Base mode says nothing about who has sealed: that is the caller's to prove. */

#include <stddef.h>
#include <stdint.h>

#include "crypto-random.h"
#include "macro.h"
#include "secret.h"

#define HPKE_KEY_SIZE 32u /* private, public and encapsulated keys */
#define HPKE_OVERHEAD 16u /* the tag after the sealed bytes */

typedef struct HpkeText {
        const void *data;
        size_t size;
} HpkeText;

/* A fresh pair. The private half is HPKE_KEY_SIZE bytes. */
_warn_unused_result_ int hpke_key_new(RandomFunction random, void *userdata, SecretBuf *ret_private,
                uint8_t ret_public[static HPKE_KEY_SIZE]);

/* Stores the encapsulated key and plain->size + HPKE_OVERHEAD bytes. -EBADMSG: the recipient's key is none (a point of small order). */
_warn_unused_result_ int hpke_seal(const uint8_t recipient[static HPKE_KEY_SIZE], HpkeText info,
                HpkeText aad, HpkeText plain, RandomFunction random, void *userdata,
                uint8_t ret_enc[static HPKE_KEY_SIZE], uint8_t *ret);
/* -EKEYREJECTED: sealed to another key, for another purpose (info, aad), or changed. */
_warn_unused_result_ int hpke_open(const uint8_t private_key[static HPKE_KEY_SIZE],
                const uint8_t enc[static HPKE_KEY_SIZE], HpkeText info, HpkeText aad, HpkeText sealed,
                SecretBuf *ret);
