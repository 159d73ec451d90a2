/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Packets for the secure processor. The input as a packet: header and payload, whose table is read if the packet is authentic. The input as
 * a table: sealed, it opens to the same bytes, and not with any bit changed. */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "attest-secret.h"

#define ALIGNED   16u
#define PLAIN_MAX 1024u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int counting(void *userdata, void *buf, size_t n) {
        uint8_t *next = userdata, *p = buf;

        for (size_t i = 0; i < n; i++)
                p[i] = (*next)++;
        return 0;
}

static Verdict open_packet(const uint8_t *header, const uint8_t *payload, size_t size, SecretBuf *ret) {
        static const SevKeys keys = { .tek = { 1, 2, 3 }, .tik = { 4, 5, 6 } };
        static const uint8_t measure[SEV_MEASURE_SIZE] = { 7, 8, 9 };
        Verdict v = VERDICT_UNVERIFIED;

        if (secret_packet_open(&keys, measure, header, payload, size, ret, &v) < 0)
                assert(v == VERDICT_UNVERIFIED);
        assert(v == VERDICT_AUTHENTIC || ret->size == 0);
        return v;
}

static void as_table(const uint8_t *data, size_t size) {
        static const SevKeys keys = { .tek = { 1, 2, 3 }, .tik = { 4, 5, 6 } };
        static const uint8_t measure[SEV_MEASURE_SIZE] = { 7, 8, 9 };
        _cleanup_(secret_buf_done) SecretBuf table = {}, same = {}, none = {};
        uint8_t header[SECRET_HEADER_SIZE], payload[PLAIN_MAX], next = 0;
        size_t n = (size > PLAIN_MAX ? PLAIN_MAX : size) / ALIGNED * ALIGNED;

        if (n == 0)
                return;
        assert(secret_buf_copy(&table, data, n) >= 0);
        assert(secret_packet_seal(&keys, measure, &table, counting, &next, header, payload) >= 0);
        assert(open_packet(header, payload, n, &same) == VERDICT_AUTHENTIC);
        assert(same.size == n && memcmp(same.data, data, n) == 0);
        payload[data[0] % n] ^= (uint8_t) (1 << data[0] % 8);
        assert(open_packet(header, payload, n, &none) != VERDICT_AUTHENTIC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(secret_buf_done) SecretBuf table = {};
        _cleanup_(secret_table_done) SecretTable t = {};

        if (size >= SECRET_HEADER_SIZE &&
                        open_packet(data, data + SECRET_HEADER_SIZE, size - SECRET_HEADER_SIZE, &table) ==
                                        VERDICT_AUTHENTIC)
                (void) (secret_table_parse(table.data, table.size, &t, NULL) < 0);
        as_table(data, size);
        return 0;
}
