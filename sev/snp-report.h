/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The SNP attestation report: AMD publication 56860 (SEV-SNP firmware ABI), table ATTESTATION_REPORT, versions 2 to 5. Theory: a
 * report is 1184 bytes of one fixed layout; later versions give meaning to bytes that were reserved. Its first 672
 * bytes are signed. A verifier uses the bytes as received; the decoded form is for reading.
 *
 * Newer versions than 5 decode by the layout of version 5, without looking at what is reserved there; `version` tells
 * the caller. Version 1 never left AMD. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "macro.h"
#include "snp-tcb.h"

#define SNP_REPORT_SIZE        0x4a0u
#define SNP_REPORT_SIGNED_SIZE 0x2a0u
#define SNP_REPORT_VERSION_MIN 2u
#define SNP_REPORT_VERSION_MAX 5u /* the newest whose layout is known here */

#define SNP_SIGNATURE_ALGORITHM_P384 1u /* ECDSA P-384 with SHA-384 */

/* The signature structure that reports, ID blocks and platform certificates share (56860, SIGNATURE of ECDSA). */
typedef struct _packed_ SnpSignatureAbi {
        uint8_t r[72]; /* little endian */
        uint8_t s[72];
        uint8_t reserved[368];
} SnpSignatureAbi;
static_assert(sizeof(SnpSignatureAbi) == 512, "ABI");

typedef struct _packed_ SnpReportAbi {
        uint8_t version[4];
        uint8_t guest_svn[4];
        uint8_t policy[8];
        uint8_t family_id[16];
        uint8_t image_id[16];
        uint8_t vmpl[4];
        uint8_t signature_algorithm[4];
        uint8_t current_tcb[8];
        uint8_t platform_info[8];
        uint8_t key_info[4];
        uint8_t reserved_4c[4];
        uint8_t report_data[64];
        uint8_t measurement[48];
        uint8_t host_data[32];
        uint8_t id_key_digest[48];
        uint8_t author_key_digest[48];
        uint8_t report_id[32];
        uint8_t report_id_ma[32];
        uint8_t reported_tcb[8];
        uint8_t cpuid_family; /* from here to stepping: version 3 */
        uint8_t cpuid_model;
        uint8_t cpuid_stepping;
        uint8_t reserved_18b[21];
        uint8_t chip_id[64];
        uint8_t committed_tcb[8];
        uint8_t current_version[3]; /* build, minor, major */
        uint8_t reserved_1eb;
        uint8_t committed_version[3];
        uint8_t reserved_1ef;
        uint8_t launch_tcb[8];
        uint8_t launch_mit_vector[8]; /* version 5 */
        uint8_t current_mit_vector[8];
        uint8_t reserved_208[152];
        SnpSignatureAbi signature;
} SnpReportAbi;
static_assert(sizeof(SnpReportAbi) == SNP_REPORT_SIZE, "ABI");
static_assert(offsetof(SnpReportAbi, policy) == 0x008, "ABI");
static_assert(offsetof(SnpReportAbi, vmpl) == 0x030, "ABI");
static_assert(offsetof(SnpReportAbi, key_info) == 0x048, "ABI");
static_assert(offsetof(SnpReportAbi, report_data) == 0x050, "ABI");
static_assert(offsetof(SnpReportAbi, measurement) == 0x090, "ABI");
static_assert(offsetof(SnpReportAbi, host_data) == 0x0c0, "ABI");
static_assert(offsetof(SnpReportAbi, report_id) == 0x140, "ABI");
static_assert(offsetof(SnpReportAbi, reported_tcb) == 0x180, "ABI");
static_assert(offsetof(SnpReportAbi, chip_id) == 0x1a0, "ABI");
static_assert(offsetof(SnpReportAbi, committed_tcb) == 0x1e0, "ABI");
static_assert(offsetof(SnpReportAbi, launch_tcb) == 0x1f0, "ABI");
static_assert(offsetof(SnpReportAbi, current_mit_vector) == 0x200, "ABI");
static_assert(offsetof(SnpReportAbi, signature) == SNP_REPORT_SIGNED_SIZE, "ABI");

#define SNP_VMPL_HOST 0xffffffffu /* the host asked for the report, not the guest */

typedef enum SnpSigningKey {
        SNP_SIGNING_KEY_VCEK = 0,
        SNP_SIGNING_KEY_VLEK = 1,
        SNP_SIGNING_KEY_NONE = 7,
} SnpSigningKey;

typedef struct SnpVersion {
        uint8_t major, minor, build;
} SnpVersion;

typedef struct SnpReport {
        uint32_t version, guest_svn;
        uint64_t policy;
        uint8_t family_id[16], image_id[16];
        uint32_t vmpl, signature_algorithm;
        uint8_t current_tcb[SNP_TCB_SIZE];
        uint64_t platform_info;
        bool author_key_enabled, mask_chip_key;
        unsigned signing_key; /* SnpSigningKey, or a value not known here */
        uint8_t report_data[64], measurement[48], host_data[32];
        uint8_t id_key_digest[48], author_key_digest[48];
        uint8_t report_id[32], report_id_ma[32];
        uint8_t reported_tcb[SNP_TCB_SIZE];
        uint8_t cpuid_family, cpuid_model, cpuid_stepping; /* 0 before version 3 */
        uint8_t chip_id[64];
        uint8_t committed_tcb[SNP_TCB_SIZE];
        SnpVersion current_version, committed_version;
        uint8_t launch_tcb[SNP_TCB_SIZE];
        uint64_t launch_mit_vector, current_mit_vector; /* 0 before version 5 */
        uint8_t signature_r[48], signature_s[48];       /* big endian */
} SnpReport;

/* -EBADMSG with an error message that names the offset: wrong length, version under 2, reserved bytes of a known version not zero, or
 * anything but zero after r and s. */
_warn_unused_result_ int snp_report_decode(const void *p, size_t n, SnpReport *ret, char **reterr);
void snp_report_encode(const SnpReport *r, uint8_t ret[static SNP_REPORT_SIZE]);
/* From CPUID; _INVALID for version 2 reports and for processors not known here. */
SnpGeneration snp_report_generation(const SnpReport *r);
/* A generation with the TCB layout of this report: g if it is known, else by the form of a version 2 report's CHIP_ID, which is 8 bytes
 * since Turin and 64 before; _INVALID if CHIP_ID is masked, too. Not for saying which generation it is: two share each layout. */
SnpGeneration snp_report_tcb_layout(const SnpReport *r, SnpGeneration g);

/* r and s of a signature structure: -EBADMSG unless everything above 48 bytes is zero. */
_warn_unused_result_ int snp_signature_decode(
                const SnpSignatureAbi *sig, uint8_t ret_r[static 48], uint8_t ret_s[static 48]);
void snp_signature_encode(const uint8_t r[static 48], const uint8_t s[static 48], SnpSignatureAbi *ret);

/* Every field as text, one per line. The generation may be _INVALID: the layout is that of snp_report_tcb_layout(), else the TCB versions
 * are bytes. Owned texts. */
_warn_unused_result_ int snp_report_text(const SnpReport *r, SnpGeneration g, char **ret);
/* The layout of `snpguest display report`. */
_warn_unused_result_ int snp_report_text_snpguest(const SnpReport *r, SnpGeneration g, char **ret);
_warn_unused_result_ int snp_report_json(const SnpReport *r, SnpGeneration g, Json **ret);
/* One field by its JSON name, bare: bytes as hex. -ENOENT. */
_warn_unused_result_ int snp_report_field(const SnpReport *r, const char *name, char **ret);
/* The names that snp_report_field() takes, as one text separated by ", "; owned. */
char *snp_report_field_names(void);
/* "smt, debug" for a POLICY or PLATFORM_INFO; "none"; unknown bits as "bit 40". Owned. */
char *snp_policy_bits_text(uint64_t policy);
char *snp_platform_bits_text(uint64_t platform_info);
