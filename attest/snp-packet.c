/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-packet.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "encode.h"
#include "error.h"
#include "overflow.h"

#define POINT_UNCOMPRESSED 0x04

static const char bind_context[] = "cvmspawn-attest-v1", sign_context[] = "cvmspawn-attest-v1 packet";

int snp_binding_report_data(const SnpBinding *b, uint8_t ret[static SNP_PACKET_DATA_SIZE]) {
        uint8_t message[sizeof(bind_context) + SNP_PACKET_NONCE_SIZE + SNP_PACKET_ID_SIZE + HPKE_KEY_SIZE];
        ByteWriter w = byte_writer(message, sizeof(message));
        int r;

        byte_writer_put(&w, bind_context, sizeof(bind_context)); /* with the zero byte */
        byte_writer_put(&w, b->nonce, sizeof(b->nonce));
        byte_writer_put(&w, b->launch_id, sizeof(b->launch_id));
        byte_writer_put(&w, b->key, sizeof(b->key));
        r = byte_writer_finish(&w, sizeof(message));
        static_assert(SHA512_SIZE == SNP_PACKET_DATA_SIZE, "REPORT_DATA takes a whole SHA-512");
        return r < 0 ? r : hash_digest(HASH_SHA512, message, sizeof(message), ret);
}

/* What is signed, owned. */
static int signed_bytes(const uint8_t data[static SNP_PACKET_DATA_SIZE], const SnpPacket *p, uint8_t **ret,
                size_t *ret_size) {
        _cleanup_free_ uint8_t *message = NULL;
        ByteWriter w;
        uint64_t n;
        int r;

        if (!add_u64(sizeof(sign_context) + SNP_PACKET_DATA_SIZE + SNP_PACKET_HEADER_SIZE, p->size, &n))
                return -E2BIG;
        message = malloc(n);
        if (!message)
                return -ENOMEM;
        w = byte_writer(message, n);
        byte_writer_put(&w, sign_context, sizeof(sign_context));
        byte_writer_put(&w, data, SNP_PACKET_DATA_SIZE);
        byte_writer_put(&w, p->header, SNP_PACKET_HEADER_SIZE);
        byte_writer_put(&w, p->payload, p->size);
        r = byte_writer_finish(&w, n);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(message);
        *ret_size = n;
        return 0;
}

int snp_packet_seal(const SnpBinding *b, const EcKey *signer, const SecretBuf *plain, RandomFunction random,
                void *userdata, SnpPacket *ret) {
        _cleanup_(snp_packet_done) SnpPacket p = {};
        _cleanup_free_ uint8_t *message = NULL;
        uint8_t data[SNP_PACKET_DATA_SIZE];
        EcSignature sig;
        uint64_t size;
        size_t n = 0;
        int r;

        if (!add_u64(plain->size, HPKE_OVERHEAD, &size))
                return -E2BIG;
        p.size = size;
        p.payload = malloc(size);
        if (!p.payload)
                return -ENOMEM;
        r = snp_binding_report_data(b, data);
        if (r >= 0)
                r = hpke_seal(b->key, (HpkeText) { data, sizeof(data) }, (HpkeText) {},
                                (HpkeText) { plain->data, plain->size }, random, userdata, p.header,
                                p.payload);
        if (r >= 0)
                r = signed_bytes(data, &p, &message, &n);
        if (r >= 0)
                r = ec_key_sign(signer, HASH_SHA384, message, n, &sig);
        if (r < 0)
                return r;
        memcpy(p.signature, sig.r, P384_SIZE);
        memcpy(p.signature + P384_SIZE, sig.s, P384_SIZE);
        *ret = TAKE_STRUCT(p, (SnpPacket) {});
        return 0;
}

int snp_packet_open(const SnpBinding *b, const EcKey *signer,
                const uint8_t private_key[static HPKE_KEY_SIZE], const SnpPacket *packet, SecretBuf *ret,
                char **reterr) {
        _cleanup_free_ uint8_t *message = NULL;
        uint8_t data[SNP_PACKET_DATA_SIZE];
        EcSignature sig;
        size_t n = 0;
        int r;

        memcpy(sig.r, packet->signature, P384_SIZE);
        memcpy(sig.s, packet->signature + P384_SIZE, P384_SIZE);
        r = snp_binding_report_data(b, data);
        if (r >= 0)
                r = signed_bytes(data, packet, &message, &n);
        if (r >= 0)
                r = ec_key_verify(signer, HASH_SHA384, message, n, &sig);
        if (r == -EKEYREJECTED)
                return error_set(reterr, r,
                                "the answer is not signed with the service key that this guest trusts: it was forged on the way, or the service has a different key");
        if (r < 0)
                return r;
        r = hpke_open(private_key, packet->header, (HpkeText) { data, sizeof(data) }, (HpkeText) {},
                        (HpkeText) { packet->payload, packet->size }, ret);
        return r == -EKEYREJECTED ? error_set(reterr, r, "the secrets are not sealed to this guest's key")
                                  : r;
}

int snp_packet_signer_parse(const char *text, EcKey **ret) {
        uint8_t point[SNP_PACKET_SIGNER_SIZE];
        EcPoint p;

        if (hex_decode_exact(text, point, sizeof(point)) < 0 || point[0] != POINT_UNCOMPRESSED)
                return -EBADMSG;
        memcpy(p.x, point + 1, P384_SIZE);
        memcpy(p.y, point + 1 + P384_SIZE, P384_SIZE);
        return ec_key_from_point(&p, ret);
}

int snp_packet_signer_text(const EcKey *signer, char **ret) {
        uint8_t point[SNP_PACKET_SIGNER_SIZE] = { POINT_UNCOMPRESSED };
        EcPoint p;
        int r = ec_key_point(signer, &p);

        if (r < 0)
                return r;
        memcpy(point + 1, p.x, P384_SIZE);
        memcpy(point + 1 + P384_SIZE, p.y, P384_SIZE);
        *ret = hex_encode(point, sizeof(point));
        return *ret ? 0 : -ENOMEM;
}
