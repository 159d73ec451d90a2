/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attest-launch.h"

#include "bytes.h"
#include "crypto-hmac.h"
#include "secret.h"

#define CONTEXT_MEASURE 0x04u /* tells this HMAC from the one of LAUNCH_SECRET, 0x01 */

static_assert(SEV_MEASURE_SIZE == HMAC_SHA256_SIZE, "the measurement is a whole HMAC");

size_t sev_measurement_message(const SevMeasurement *m, uint8_t ret[static SEV_MEASURE_MESSAGE_SIZE]) {
        ByteWriter w = byte_writer(ret, SEV_MEASURE_MESSAGE_SIZE);

        assert(m->nonce_size <= SEV_NONCE_SIZE);
        byte_writer_u8(&w, CONTEXT_MEASURE);
        byte_writer_u8(&w, m->api_major);
        byte_writer_u8(&w, m->api_minor);
        byte_writer_u8(&w, m->build);
        byte_writer_le32(&w, m->policy);
        byte_writer_put(&w, m->digest, sizeof(m->digest));
        byte_writer_put(&w, m->nonce, m->nonce_size);
        assert(w.error == 0);
        return w.pos;
}

int sev_measurement_compute(const uint8_t tik[static SEV_KEY_SIZE], const SevMeasurement *m,
                uint8_t ret[static SEV_MEASURE_SIZE]) {
        uint8_t message[SEV_MEASURE_MESSAGE_SIZE];
        struct iovec range = HMAC_RANGE(message, sev_measurement_message(m, message));

        return crypto_hmac_sha256(tik, SEV_KEY_SIZE, &range, 1, ret);
}

int sev_measurement_verify(const uint8_t tik[static SEV_KEY_SIZE], const SevMeasurement *m,
                const uint8_t reported[static SEV_MEASURE_SIZE], Verdict *ret) {
        uint8_t computed[SEV_MEASURE_SIZE];
        int r = sev_measurement_compute(tik, m, computed);

        if (r < 0)
                return r;
        *ret = constant_time_equal(computed, reported, SEV_MEASURE_SIZE) ? VERDICT_AUTHENTIC
                                                                         : VERDICT_NOT_AUTHENTIC;
        return 0;
}
