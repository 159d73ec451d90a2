/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Packets for a running guest: header, signature, payload. Once as they come, once with a signature that holds, so that mutations reach
 * what follows it. Nothing opens, but what was sealed to this key. */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "snp-packet.h"

#define PREFIX "cvmspawn-attest-v1 packet"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Guest {
        EcKey *signer;
        SecretBuf private_key;
        SnpBinding binding;
        uint8_t report_data[SNP_PACKET_DATA_SIZE];
} Guest;

static int counting(void *userdata, void *buf, size_t n) {
        uint8_t *next = userdata, *p = buf;

        for (size_t i = 0; i < n; i++)
                p[i] = (*next)++;
        return 0;
}

static const Guest *guest(void) {
        static const uint8_t scalar[P384_SIZE] = { 1, 2, 3 };
        static Guest g;
        uint8_t next = 1;

        if (!g.signer) {
                assert(ec_key_from_scalar(scalar, &g.signer) >= 0);
                assert(hpke_key_new(counting, &next, &g.private_key, g.binding.key) >= 0);
                assert(snp_binding_report_data(&g.binding, g.report_data) >= 0);
        }
        return &g;
}

static int open_packet(const Guest *g, const uint8_t *header, const uint8_t *signature,
                const uint8_t *payload, size_t size, SecretBuf *ret) {
        SnpPacket packet = { .payload = (uint8_t *) payload, .size = size };
        _cleanup_free_ char *error = NULL;
        int r;

        memcpy(packet.header, header, sizeof(packet.header));
        memcpy(packet.signature, signature, sizeof(packet.signature));
        r = snp_packet_open(&g->binding, g->signer, g->private_key.data, &packet, ret, &error);
        assert(r >= 0 || (error && ret->size == 0));
        return r;
}

static void sign(const Guest *g, const uint8_t *header, const uint8_t *payload, size_t size,
                uint8_t ret[static SNP_PACKET_SIGNATURE_SIZE]) {
        size_t n = sizeof(PREFIX) + SNP_PACKET_DATA_SIZE + SNP_PACKET_HEADER_SIZE + size;
        _cleanup_free_ uint8_t *message = malloc(n);
        EcSignature s;

        assert(message);
        memcpy(message, PREFIX, sizeof(PREFIX));
        memcpy(message + sizeof(PREFIX), g->report_data, SNP_PACKET_DATA_SIZE);
        memcpy(message + sizeof(PREFIX) + SNP_PACKET_DATA_SIZE, header, SNP_PACKET_HEADER_SIZE);
        memcpy(message + n - size, payload, size);
        assert(ec_key_sign(g->signer, HASH_SHA384, message, n, &s) >= 0);
        memcpy(ret, s.r, P384_SIZE);
        memcpy(ret + P384_SIZE, s.s, P384_SIZE);
}

static void as_plain(const Guest *g, const uint8_t *data, size_t size) {
        _cleanup_(secret_buf_done) SecretBuf plain = {}, same = {};
        _cleanup_(snp_packet_done) SnpPacket packet = {};
        uint8_t next = 7;

        assert(secret_buf_copy(&plain, data, size) >= 0);
        assert(snp_packet_seal(&g->binding, g->signer, &plain, counting, &next, &packet) >= 0);
        assert(open_packet(g, packet.header, packet.signature, packet.payload, packet.size, &same) >= 0);
        assert(same.size == size && memcmp(same.data, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const size_t head = SNP_PACKET_HEADER_SIZE + SNP_PACKET_SIGNATURE_SIZE;
        _cleanup_(secret_buf_done) SecretBuf once = {}, twice = {};
        uint8_t signature[SNP_PACKET_SIGNATURE_SIZE];
        const Guest *g = guest();

        if (size > 0 && size < head)
                as_plain(g, data, size);
        if (size < head)
                return 0;
        (void) open_packet(g, data, data + SNP_PACKET_HEADER_SIZE, data + head, size - head, &once);
        sign(g, data, data + head, size - head, signature);
        (void) open_packet(g, data, signature, data + head, size - head, &twice);
        return 0;
}
