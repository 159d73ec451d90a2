/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Numbers of Intel's TDX that more than one file needs.
 *
 * Sources: Intel TDX Module Base Architecture Specification (348549) and ABI Reference (348551): TDH.MEM.PAGE.ADD, TDH.MR.EXTEND,
 * ATTRIBUTES, TDINFO_STRUCT. */

#include <stdint.h>

#define TDX_PAGE_SIZE   4096u
#define TDX_CHUNK_SIZE  256u /* TDH.MR.EXTEND */
#define TDX_RECORD_SIZE 128u /* what each of both calls adds to MRTD in front of a chunk's bytes */
#define TDX_DIGEST_SIZE 48u  /* SHA-384 throughout */
#define TDX_RTMRS       4u

/* ATTRIBUTES of a TD. Bits 0 to 7 make it untrusted. */
#define TDX_ATTRIBUTE_DEBUG           (UINT64_C(1) << 0)
#define TDX_ATTRIBUTES_UNTRUSTED      UINT64_C(0xff)
#define TDX_ATTRIBUTE_SEPT_VE_DISABLE (UINT64_C(1) << 28)
#define TDX_ATTRIBUTE_PKS             (UINT64_C(1) << 30)
#define TDX_ATTRIBUTE_PERFMON         (UINT64_C(1) << 63)
/* What QEMU (target/i386/kvm/tdx.c) can ask for; and debugging, which it refuses and other monitors do not. */
#define TDX_ATTRIBUTES_KNOWN                                                                                \
        (TDX_ATTRIBUTE_DEBUG | TDX_ATTRIBUTE_SEPT_VE_DISABLE | TDX_ATTRIBUTE_PKS | TDX_ATTRIBUTE_PERFMON)
/* QEMU's default: without it a host could make Linux take an exception on any page. */
#define TDX_ATTRIBUTES_DEFAULT TDX_ATTRIBUTE_SEPT_VE_DISABLE
