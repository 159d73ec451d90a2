/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The measurement of a SEV or SEV-ES launch (AMD 55766, LAUNCH_MEASURE): what the secure processor reports, and whether it
 * was made with the guest owner's TIK over the expected launch digest.
 *
 *      HMAC-SHA256(TIK, 0x04 || API major || API minor || build || policy u32 || digest 32 || nonce 16)
 *
 * The launch digest comes from measure/, as 32 bytes. */

#include <stddef.h>
#include <stdint.h>

#include "attest-verdict.h"
#include "macro.h"

#define SEV_KEY_SIZE             16u /* TIK, TEK */
#define SEV_DIGEST_SIZE          32u
#define SEV_NONCE_SIZE           16u
#define SEV_MEASURE_SIZE         32u
#define SEV_MEASURE_MESSAGE_SIZE 56u /* with a whole nonce */

/* The two keys of a session; hold it in a SecretBuf or on the stack, and erase it. */
typedef struct SevKeys {
        uint8_t tek[SEV_KEY_SIZE], tik[SEV_KEY_SIZE];
} SevKeys;

typedef struct SevMeasurement {
        uint8_t api_major, api_minor, build;
        uint32_t policy;
        uint8_t digest[SEV_DIGEST_SIZE]; /* the expected launch digest */
        uint8_t nonce[SEV_NONCE_SIZE];
        size_t nonce_size; /* normally SEV_NONCE_SIZE */
} SevMeasurement;

/* The bytes under the HMAC; returns how many. */
size_t sev_measurement_message(const SevMeasurement *m, uint8_t ret[static SEV_MEASURE_MESSAGE_SIZE]);
_warn_unused_result_ int sev_measurement_compute(const uint8_t tik[static SEV_KEY_SIZE],
                const SevMeasurement *m, uint8_t ret[static SEV_MEASURE_SIZE]);
/* Compares in constant time: VERDICT_AUTHENTIC or VERDICT_NOT_AUTHENTIC. */
_warn_unused_result_ int sev_measurement_verify(const uint8_t tik[static SEV_KEY_SIZE],
                const SevMeasurement *m, const uint8_t reported[static SEV_MEASURE_SIZE], Verdict *ret);
