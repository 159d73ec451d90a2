/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The attestation report of a running SNP guest (AMD 56860, table "ATTESTATION_REPORT structure"), version 3, without
 * what the guest asks for (REPORT_DATA, VMPL) and what depends on the key (KEY_INFO, CHIP_ID, signature):
 * sevsim-attest fills these in. */

#include <openssl/rand.h>
#include <string.h>

#include "sim-bytes.h"
#include "sim-psp.h"

enum {
        VERSION = 3,
        ECDSA_P384_SHA384 = 1,
        PLATFORM_INFO = 0x1 | 0x4 | 0x20, /* SMT on, error correcting memory, alias check complete */
};

static void put_version(uint8_t *p) {
        p[0] = PSP_BUILD;
        p[1] = PSP_API_MINOR;
        p[2] = PSP_API_MAJOR;
}

PspError psp_snp_report(const PspGuest *guest, const SimGeneration *generation,
                uint8_t ret[static PSP_SNP_REPORT_SIZE]) {
        static const size_t tcbs[] = { 0x038, 0x180, 0x1e0,
                0x1f0 }; /* current, reported, committed, launch */

        if (guest->state != GUEST_RUNNING)
                return PSP_INVALID_GUEST_STATE;

        memset(ret, 0, PSP_SNP_REPORT_SIZE);
        put_le32(ret, VERSION);
        put_le32(ret + 0x004, guest->guest_svn);
        put_le64(ret + 0x008, guest->policy);
        memcpy(ret + 0x010, guest->family_id, sizeof(guest->family_id));
        memcpy(ret + 0x020, guest->image_id, sizeof(guest->image_id));
        put_le32(ret + 0x034, ECDSA_P384_SHA384);
        put_le64(ret + 0x040, PLATFORM_INFO);
        put_le32(ret + 0x048, guest->author_key ? 1 : 0);
        memcpy(ret + 0x090, guest->digest, sizeof(guest->digest));
        memcpy(ret + 0x0c0, guest->host_data, sizeof(guest->host_data));
        memcpy(ret + 0x0e0, guest->id_key_digest, sizeof(guest->id_key_digest));
        memcpy(ret + 0x110, guest->author_key_digest, sizeof(guest->author_key_digest));
        memset(ret + 0x160, 0xff, 32); /* no migration agent */
        for (size_t i = 0; i < sizeof(tcbs) / sizeof(tcbs[0]); i++)
                put_le64(ret + tcbs[i], generation_tcb(generation));
        ret[0x188] = generation->family;
        ret[0x189] = generation->model;
        ret[0x18a] = generation->stepping;
        put_version(ret + 0x1e8);
        put_version(ret + 0x1ec);
        return RAND_bytes(ret + 0x140, 32) == 1 ? PSP_SUCCESS : PSP_RESOURCE_LIMIT;
}
