/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Secrets for a running SNP guest, from the verifier of its report to the key that the report names (cvmspawn-attestation-protocol(7)):
 *
 *      report_data   SHA-512("cvmspawn-attest-v1" || 0x00 || nonce 32 || launch-id 16 || the guest's X25519 key 32)
 *      header        RFC 9180's encapsulated key
 *      payload       sealed in base mode, X25519, HKDF-SHA256, AES-256-GCM; info: the report data; aad: none
 *      signature     r || s of ECDSA P-384 with SHA-384 over
 *                    "cvmspawn-attest-v1 packet" || 0x00 || report_data || header || payload
 *
 * Anybody can seal to the guest's key, the host first of all: only the signature tells the guest that these are its owner's secrets. */

#include <stddef.h>
#include <stdint.h>

#include "crypto-ec.h"
#include "crypto-hpke.h"
#include "crypto-random.h"
#include "macro.h"
#include "secret.h"

#define SNP_PACKET_NONCE_SIZE     32u
#define SNP_PACKET_ID_SIZE        16u
#define SNP_PACKET_DATA_SIZE      64u
#define SNP_PACKET_HEADER_SIZE    HPKE_KEY_SIZE
#define SNP_PACKET_SIGNATURE_SIZE 96u
#define SNP_PACKET_SIGNER_SIZE    97u /* 0x04 || x || y, the uncompressed point of SEC 1 */

/* What ties a report to one conversation and one key. */
typedef struct SnpBinding {
        uint8_t nonce[SNP_PACKET_NONCE_SIZE];
        uint8_t launch_id[SNP_PACKET_ID_SIZE];
        uint8_t key[HPKE_KEY_SIZE]; /* the guest's, public */
} SnpBinding;

_warn_unused_result_ int snp_binding_report_data(
                const SnpBinding *b, uint8_t ret[static SNP_PACKET_DATA_SIZE]);

typedef struct SnpPacket {
        uint8_t header[SNP_PACKET_HEADER_SIZE];
        uint8_t *payload; /* owned */
        size_t size;
        uint8_t signature[SNP_PACKET_SIGNATURE_SIZE];
} SnpPacket;

static inline void snp_packet_done(SnpPacket *p) {
        free(p->payload);
        *p = (SnpPacket) {};
}

/* -EBADMSG: the guest's key is none. */
_warn_unused_result_ int snp_packet_seal(const SnpBinding *b, const EcKey *signer, const SecretBuf *plain,
                RandomFunction random, void *userdata, SnpPacket *ret);
/* -EKEYREJECTED with an error message: not signed by this signer for this conversation, or not sealed to this key. */
_warn_unused_result_ int snp_packet_open(const SnpBinding *b, const EcKey *signer,
                const uint8_t private_key[static HPKE_KEY_SIZE], const SnpPacket *packet, SecretBuf *ret,
                char **reterr);

/* A signer's public key as people pass it on: its point, in hexadecimal. -EBADMSG. */
_warn_unused_result_ int snp_packet_signer_parse(const char *text, EcKey **ret);
_warn_unused_result_ int snp_packet_signer_text(const EcKey *signer, char **ret);
