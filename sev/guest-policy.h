/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The guest policies of SEV and SEV-SNP, bit by bit.
 *
 *   SEV, SEV-ES  AMD 55766 rev. 3.24, chapter 2, "Guest policy": 32 bits
 *   SEV-SNP      AMD 56860 rev. 1.58, section 4.3, "Guest policy": 64 bits */

#include <stdint.h>

#define SEV_POLICY_NODBG         (UINT64_C(1) << 0) /* set: the host must not debug the guest */
#define SEV_POLICY_NOKS          (UINT64_C(1) << 1)
#define SEV_POLICY_ES            (UINT64_C(1) << 2)
#define SEV_POLICY_NOSEND        (UINT64_C(1) << 3)
#define SEV_POLICY_DOMAIN        (UINT64_C(1) << 4)
#define SEV_POLICY_SEV           (UINT64_C(1) << 5)
#define SEV_POLICY_RESERVED_ZERO UINT64_C(0xffc0)
#define SEV_POLICY_MAX           UINT64_C(0xffffffff) /* bits 16 to 31: minimum API version */

#define SEV_POLICY_DEFAULT    (SEV_POLICY_NODBG | SEV_POLICY_NOKS)
#define SEV_ES_POLICY_DEFAULT (SEV_POLICY_DEFAULT | SEV_POLICY_ES)

#define SNP_POLICY_SMT               (UINT64_C(1) << 16) /* bits 0 to 15: minimum ABI version */
#define SNP_POLICY_RESERVED_ONE      (UINT64_C(1) << 17)
#define SNP_POLICY_MIGRATE_MA        (UINT64_C(1) << 18)
#define SNP_POLICY_DEBUG             (UINT64_C(1) << 19)
#define SNP_POLICY_SINGLE_SOCKET     (UINT64_C(1) << 20)
#define SNP_POLICY_CXL               (UINT64_C(1) << 21)
#define SNP_POLICY_AES_256_XTS       (UINT64_C(1) << 22)
#define SNP_POLICY_RAPL_DISABLED     (UINT64_C(1) << 23)
#define SNP_POLICY_CIPHERTEXT_HIDING (UINT64_C(1) << 24)
#define SNP_POLICY_PAGE_SWAP_DISABLE (UINT64_C(1) << 25)
#define SNP_POLICY_RESERVED_ZERO     (~((UINT64_C(1) << 26) - 1))

#define SNP_POLICY_DEFAULT (SNP_POLICY_SMT | SNP_POLICY_RESERVED_ONE)
