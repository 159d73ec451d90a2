/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Theory of operation: the launch digest starts as 48 zero bytes; each 4 KiB page that is handed in replaces it
 * by SHA-384 over a 0x70-byte PAGE_INFO structure that holds the old digest, the page's own SHA-384 (only for
 * page types whose content counts), its type and its guest address (AMD 56860, SNP_LAUNCH_UPDATE, table
 * "Layout of the PAGE_INFO structure"). */

#include <openssl/evp.h>
#include <string.h>

#include "sim-bytes.h"
#include "sim-psp.h"

/* AMD 56860, table "Guest Policy Structure" */
#define POLICY_ABI_MINOR(p)      ((p) &0xff)
#define POLICY_ABI_MAJOR(p)      ((p) >> 8 & 0xff)
#define POLICY_SMT               (1ULL << 16)
#define POLICY_MUST_BE_ONE       (1ULL << 17)
#define POLICY_RAPL_DIS          (1ULL << 23)
#define POLICY_CIPHERTEXT_HIDING (1ULL << 24)
#define POLICY_MUST_BE_ZERO      (~0ULL << 26)

const char *guest_state_to_string(GuestState state) {
        static const char *const table[] = {
                [GUEST_UNINIT] = "uninit",
                [GUEST_LAUNCH_UPDATE] = "launch-update",
                [GUEST_LAUNCH_SECRET] = "launch-secret",
                [GUEST_RUNNING] = "running",
        };
        return table[state];
}

const char *snp_page_type_to_string(SnpPageType type) {
        static const char *const table[_SNP_PAGE_MAX] = {
                [SNP_PAGE_NORMAL] = "NORMAL",
                [SNP_PAGE_VMSA] = "VMSA",
                [SNP_PAGE_ZERO] = "ZERO",
                [SNP_PAGE_UNMEASURED] = "UNMEASURED",
                [SNP_PAGE_SECRETS] = "SECRETS",
                [SNP_PAGE_CPUID] = "CPUID",
        };
        return type < _SNP_PAGE_MAX && table[type] ? table[type] : "unknown";
}

void psp_guest_done(PspGuest *guest) {
        EVP_MD_CTX_free(guest->running);
        *guest = (PspGuest) {};
}

/* The simulated platform runs with SMT on, RAPL on and ciphertext hiding off, as most machines do. */
PspError psp_snp_launch_start(PspGuest *guest, uint64_t policy) {
        unsigned wanted = (unsigned) (POLICY_ABI_MAJOR(policy) << 8 | POLICY_ABI_MINOR(policy));

        if (guest->state != GUEST_UNINIT)
                return PSP_INVALID_GUEST_STATE;
        if (!(policy & POLICY_MUST_BE_ONE) || (policy & POLICY_MUST_BE_ZERO))
                return PSP_INVALID_PARAM;
        if (wanted > (PSP_API_MAJOR << 8 | PSP_API_MINOR))
                return PSP_POLICY_FAILURE;
        if (!(policy & POLICY_SMT))
                return PSP_POLICY_FAILURE;
        if (policy & (POLICY_RAPL_DIS | POLICY_CIPHERTEXT_HIDING))
                return PSP_POLICY_FAILURE;

        guest->policy = policy;
        guest->state = GUEST_LAUNCH_UPDATE;
        return PSP_SUCCESS;
}

PspError psp_snp_launch_update(PspGuest *guest, SnpPageType type, uint64_t gpa, const uint8_t *page) {
        uint8_t info[0x70] = {};

        if (guest->state != GUEST_LAUNCH_UPDATE)
                return PSP_INVALID_GUEST_STATE;
        if (type < SNP_PAGE_NORMAL || type >= _SNP_PAGE_MAX)
                return PSP_INVALID_PARAM;
        if (gpa % 4096 != 0)
                return PSP_INVALID_ADDRESS;

        memcpy(info, guest->digest, 48);
        if (type == SNP_PAGE_NORMAL || type == SNP_PAGE_VMSA)
                if (!EVP_Digest(page, 4096, info + 0x30, NULL, EVP_sha384(), NULL))
                        return PSP_RESOURCE_LIMIT;
        put_le16(info + 0x60, sizeof(info));
        info[0x62] = (uint8_t) type;
        /* 0x63 is_imi, 0x64..0x67 VMPL permissions: KVM passes zeros for both. */
        put_le64(info + 0x68, gpa);

        if (!EVP_Digest(info, sizeof(info), guest->digest, NULL, EVP_sha384(), NULL))
                return PSP_RESOURCE_LIMIT;
        return PSP_SUCCESS;
}

PspError psp_snp_launch_finish(PspGuest *guest, const SnpFinish *finish) {
        if (guest->state != GUEST_LAUNCH_UPDATE)
                return PSP_INVALID_GUEST_STATE;

        if (finish->id_block) {
                PspError e = psp_check_id_block(guest, finish);
                if (e != PSP_SUCCESS)
                        return e;
        }
        memcpy(guest->host_data, finish->host_data, sizeof(guest->host_data));
        guest->state = GUEST_RUNNING;
        return PSP_SUCCESS;
}
