/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The simulated secure processor: what its firmware keeps of one guest and how it answers launch commands.
 *
 * Theory of operation: the kernel's side (sim-sev.c, sim-snp.c) looks at addresses and alignment and then calls
 * here with bytes; this side is a state machine over bytes and knows no memory of the caller. It is written
 * from AMD 55766 and 56860 only and shares nothing with the project's measure/: where both agree on a digest,
 * two people read the specification the same way. */

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim-generation.h"

/* AMD 55766 table "Status codes"; QEMU and the kernel call them fw_error. */
typedef enum PspError {
        PSP_SUCCESS = 0,
        PSP_INVALID_PLATFORM_STATE = 1,
        PSP_INVALID_GUEST_STATE = 2,
        PSP_INVALID_LENGTH = 4,
        PSP_INVALID_CERTIFICATE = 6,
        PSP_POLICY_FAILURE = 7,
        PSP_INVALID_ADDRESS = 9,
        PSP_BAD_SIGNATURE = 10,
        PSP_BAD_MEASUREMENT = 11,
        PSP_INVALID_ASID = 13,
        PSP_INVALID_GUEST = 16,
        PSP_INVALID_COMMAND = 17,
        PSP_UNSUPPORTED = 21,
        PSP_INVALID_PARAM = 22,
        PSP_RESOURCE_LIMIT = 23,
} PspError;

typedef enum GuestState {
        GUEST_UNINIT = 0,
        GUEST_LAUNCH_UPDATE = 1,
        GUEST_LAUNCH_SECRET = 2,
        GUEST_RUNNING = 3,
} GuestState;

/* AMD 56860 table "PAGE_TYPE" */
typedef enum SnpPageType {
        SNP_PAGE_NORMAL = 1,
        SNP_PAGE_VMSA = 2,
        SNP_PAGE_ZERO = 3,
        SNP_PAGE_UNMEASURED = 4,
        SNP_PAGE_SECRETS = 5,
        SNP_PAGE_CPUID = 6,
        _SNP_PAGE_MAX,
} SnpPageType;

/* The simulated firmware's version: it enters the SEV measurement and bounds what a policy may ask for. */
enum { PSP_API_MAJOR = 1, PSP_API_MINOR = 55, PSP_BUILD = 21 };

enum {
        PSP_SESSION_SIZE = 128,
        PSP_CERT_SIZE = 2084,
        PSP_MEASURE_SIZE = 48,
        PSP_SECRET_HEADER_SIZE = 52,
        PSP_SECRET_MAX = 16384,
        PSP_ID_BLOCK_SIZE = 96,
        PSP_ID_AUTH_SIZE = 4096,
        PSP_REPORT_SIZE = 0xd0,
        PSP_SNP_REPORT_SIZE = 0x4a0,
};

typedef struct PspGuest {
        GuestState state;
        uint64_t policy;
        uint8_t digest[48];  /* SNP: the running launch digest; SEV: filled by LAUNCH_MEASURE, 32 bytes */
        EVP_MD_CTX *running; /* owned; SEV and SEV-ES: SHA-256 over everything handed in */
        uint8_t tek[16];
        uint8_t tik[16];
        uint8_t measure[32]; /* the HMAC of LAUNCH_MEASURE */
        uint8_t nonce[16];
        uint8_t host_data[32];
        uint8_t id_key_digest[48];
        uint8_t author_key_digest[48];
        bool id_block;
        bool author_key;
        uint8_t family_id[16];
        uint8_t image_id[16];
        uint32_t guest_svn;
} PspGuest;

/* What SNP_LAUNCH_FINISH carries besides the digest. Pointers are borrowed for the call. */
typedef struct SnpFinish {
        const uint8_t *id_block; /* PSP_ID_BLOCK_SIZE bytes, or NULL */
        const uint8_t *id_auth;  /* PSP_ID_AUTH_SIZE bytes, or NULL */
        bool author_key;
        uint8_t host_data[32];
} SnpFinish;

void psp_guest_done(PspGuest *guest);

/* SEV and SEV-ES (sim-psp-sev.c). `platform` is the folder with the simulated identity or NULL. */
PspError psp_launch_start(PspGuest *guest, const char *platform, uint32_t handle, uint32_t policy,
                const uint8_t *cert, size_t cert_len, const uint8_t *session, size_t session_len);
PspError psp_launch_update(PspGuest *guest, const void *data, size_t size);
PspError psp_launch_measure(PspGuest *guest, uint8_t *ret, size_t *size);
PspError psp_launch_secret(PspGuest *guest, const uint8_t *header, size_t header_len, const uint8_t *packet,
                size_t size, size_t guest_len, uint8_t *ret_plain);
PspError psp_launch_finish(PspGuest *guest);
PspError psp_attestation(PspGuest *guest, const char *platform, const uint8_t nonce[static 16], uint8_t *ret,
                size_t *size);

/* SNP (sim-psp-snp.c) */
PspError psp_snp_launch_start(PspGuest *guest, uint64_t policy);
PspError psp_snp_launch_update(PspGuest *guest, SnpPageType type, uint64_t gpa, const uint8_t *page);
PspError psp_snp_launch_finish(PspGuest *guest, const SnpFinish *finish);

/* sim-psp-report.c: the report that the guest would get, without what the guest and the key add to it */
PspError psp_snp_report(const PspGuest *guest, const SimGeneration *generation,
                uint8_t ret[static PSP_SNP_REPORT_SIZE]);

/* sim-psp-id.c: the ID block against the guest's digest and policy */
PspError psp_check_id_block(PspGuest *guest, const SnpFinish *finish);

const char *guest_state_to_string(GuestState state);
const char *snp_page_type_to_string(SnpPageType type);
