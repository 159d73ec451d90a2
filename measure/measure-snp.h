/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The SEV-SNP launch digest: a chain of SHA-384 over one PAGE_INFO record per page, in the order in which the pages are given to the
 * firmware (AMD 56860, SNP_LAUNCH_UPDATE, table "PAGE_INFO").
 *
 *   LD := SHA-384( LD | CONTENTS 48 | length 0x70 u16 | type u8 | imi 0 u8 | VMPL permissions 0 u32 | GPA u64 ), LD starts as zeros
 *
 * CONTENTS is the SHA-384 of the page for NORMAL and VMSA pages and zero for all others. QEMU's order: firmware image, sections of
 * the SEV metadata in table order, one VMSA a vCPU. */

#include <stdbool.h>
#include <stdint.h>

#include "crypto-hash.h"
#include "firmware-ovmf.h"
#include "sev-abi.h"
#include "sev-vmsa.h"

const char *snp_page_type_to_string(SnpPageType t); /* "normal", ... */

/* Linux arch/x86/kvm/svm/sev.c: the highest page of a 48 bit address space, for every vCPU. */
#define SNP_VMSA_GPA UINT64_C(0xfffffffff000)

/* One record as it was chained. */
typedef struct SnpPage {
        uint64_t index, gpa;
        SnpPageType type;
        const char *source; /* borrowed for the call: "firmware", "SNP_SEC_MEM", "vCPU 0" ... */
        const uint8_t *contents,
                        *digest; /* 48 bytes each; borrowed for the call; the chain after this page */
} SnpPage;

typedef int (*SnpTrace)(void *userdata, const SnpPage *page);

typedef struct SnpChain {
        uint8_t digest[SHA384_SIZE];
        uint64_t index;
        Hash *hash;     /* owned; scratch */
        SnpTrace trace; /* NULL: none. A negative return ends the work */
        void *userdata;
} SnpChain;

/* seed: 48 bytes to continue from, or NULL. */
_warn_unused_result_ int snp_chain_init(SnpChain *c, const uint8_t *seed);
void snp_chain_done(SnpChain *c);

/* n pages from gpa on with the same contents (NULL: zeros). */
_warn_unused_result_ int snp_chain_pages(SnpChain *c, SnpPageType type, uint64_t gpa, uint64_t n,
                const uint8_t *contents, const char *source);
/* size bytes, a multiple of 4096, as NORMAL pages from gpa on. */
_warn_unused_result_ int snp_chain_image(
                SnpChain *c, const uint8_t *data, uint64_t size, uint64_t gpa, const char *source);
/* The sections of the SEV metadata from number `first` on (0 but after snp_chain_sections()); table: the kernel hashes,
 * or NULL. The profile says which page types, in which order. */
_warn_unused_result_ int snp_chain_metadata(SnpChain *c, const OvmfInfo *info, size_t first,
                const uint8_t *table, const VmmRow *vmm, char **reterr);
/* The sections first to end - 1 in QEMU's way; none of them may hold the kernel hashes. */
_warn_unused_result_ int snp_chain_sections(SnpChain *c, const OvmfInfo *info, size_t first, size_t end);
/* What the VMSA pages of a launch contain. */
typedef struct VmsaDigests {
        uint8_t boot[SHA384_SIZE], application[SHA384_SIZE];
} VmsaDigests;

_warn_unused_result_ int vmsa_digests(const VmsaSpec *spec, VmsaDigests *ret);
/* The VMSAs of the vCPUs first to end - 1. */
_warn_unused_result_ int snp_chain_vmsas(
                SnpChain *c, const VmsaDigests *digests, unsigned first, unsigned end);
