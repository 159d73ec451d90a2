/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Constants of the SEV interfaces, each once, with the document that defines it.
 *
 *   AMD 55766  SEV API, rev. 3.24              AMD 24593  APM volume 2, appendix B (VMSA layout)
 *   AMD 56860  SEV-SNP firmware ABI, rev. 1.58
 *   QEMU       target/i386/sev.c (kernel hashes table)
 */

#include "encode.h"

#define SEV_PAGE_SIZE 4096u

/* AMD 56860, SNP_LAUNCH_UPDATE: PAGE_TYPE. */
typedef enum SnpPageType {
        SNP_PAGE_NORMAL = 1,
        SNP_PAGE_VMSA = 2,
        SNP_PAGE_ZERO = 3,
        SNP_PAGE_UNMEASURED = 4,
        SNP_PAGE_SECRETS = 5,
        SNP_PAGE_CPUID = 6,
} SnpPageType;

/* QEMU sev_add_kernel_loader_hashes(), edk2 OvmfPkg/AmdSev/BlobVerifierLibSevHashes: a header, three entries of GUID, u16
 * length and SHA-256, in this order, padded to a multiple of 16. */
#define GUID_SEV_HASH_TABLE_HEADER                                                                          \
        GUID_INIT(0x9438d606, 0x4f22, 0x4cc9, 0xb4, 0x79, 0xa7, 0x93, 0xd4, 0x11, 0xfd, 0x21)
#define GUID_SEV_CMDLINE_ENTRY                                                                              \
        GUID_INIT(0x97d02dd8, 0xbd20, 0x4c94, 0xaa, 0x78, 0xe7, 0x71, 0x4d, 0x36, 0xab, 0x2a)
#define GUID_SEV_INITRD_ENTRY                                                                               \
        GUID_INIT(0x44baf731, 0x3a2f, 0x4bd7, 0x9a, 0xf1, 0x41, 0xe2, 0x91, 0x69, 0x78, 0x1d)
#define GUID_SEV_KERNEL_ENTRY                                                                               \
        GUID_INIT(0x4de79437, 0xabd2, 0x427f, 0xb8, 0x35, 0xd5, 0xb1, 0x72, 0xd2, 0x04, 0x5b)
#define SEV_HASH_TABLE_LENGTH 168u /* as the header's length field says */
#define SEV_HASH_TABLE_SIZE   176u /* with the padding that is measured and written, too */
