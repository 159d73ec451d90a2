/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-snp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "error.h"

#define PAGE_INFO_SIZE 0x70u

/* Offsets in PAGE_INFO. */
enum {
        PAGE_INFO_DIGEST_CUR = 0x00,
        PAGE_INFO_CONTENTS = 0x30,
        PAGE_INFO_LENGTH = 0x60,
        PAGE_INFO_PAGE_TYPE = 0x62,
        PAGE_INFO_GPA = 0x68,
};
static_assert(PAGE_INFO_GPA + 8 == PAGE_INFO_SIZE, "GPA is the last field");

static const char *const type_names[] = {
        [SNP_PAGE_NORMAL] = "normal",
        [SNP_PAGE_VMSA] = "vmsa",
        [SNP_PAGE_ZERO] = "zero",
        [SNP_PAGE_UNMEASURED] = "unmeasured",
        [SNP_PAGE_SECRETS] = "secrets",
        [SNP_PAGE_CPUID] = "cpuid",
};

const char *snp_page_type_to_string(SnpPageType t) {
        return t >= SNP_PAGE_NORMAL && t <= SNP_PAGE_CPUID ? type_names[t] : NULL;
}

int snp_chain_init(SnpChain *c, const uint8_t *seed) {
        *c = (SnpChain) {};
        if (seed)
                memcpy(c->digest, seed, sizeof(c->digest));
        return hash_new(HASH_SHA384, &c->hash);
}

void snp_chain_done(SnpChain *c) {
        c->hash = hash_free(c->hash);
}

int snp_chain_pages(SnpChain *c, SnpPageType type, uint64_t gpa, uint64_t n, const uint8_t *contents,
                const char *source) {
        static const uint8_t zeros[SHA384_SIZE];
        uint8_t info[PAGE_INFO_SIZE] = {};

        memcpy(info + PAGE_INFO_CONTENTS, contents ?: zeros, SHA384_SIZE);
        le16_write(info + PAGE_INFO_LENGTH, PAGE_INFO_SIZE);
        info[PAGE_INFO_PAGE_TYPE] = (uint8_t) type;
        for (; n > 0; n--, gpa += SEV_PAGE_SIZE) {
                int r;

                memcpy(info + PAGE_INFO_DIGEST_CUR, c->digest, SHA384_SIZE);
                le64_write(info + PAGE_INFO_GPA, gpa);
                r = hash_update(c->hash, info, sizeof(info));
                if (r >= 0)
                        r = hash_final(c->hash, c->digest);
                if (r < 0)
                        return r;
                if (c->trace) {
                        r = c->trace(c->userdata,
                                        &(SnpPage) { c->index, gpa, type, source, contents ?: zeros,
                                                        c->digest });
                        if (r < 0)
                                return r;
                }
                c->index++;
        }
        return 0;
}

int snp_chain_image(SnpChain *c, const uint8_t *data, uint64_t size, uint64_t gpa, const char *source) {
        uint8_t contents[SHA384_SIZE] = {};

        assert(size % SEV_PAGE_SIZE == 0);
        for (uint64_t at = 0; at < size; at += SEV_PAGE_SIZE) {
                const uint8_t *page = data + at;
                int r = 0;

                /* Four fifths of a real image are free space: the page before is often the same. */
                if (at == 0 || memcmp(page, page - SEV_PAGE_SIZE, SEV_PAGE_SIZE) != 0) {
                        r = hash_update(c->hash, page, SEV_PAGE_SIZE);
                        if (r >= 0)
                                r = hash_final(c->hash, contents);
                }
                if (r >= 0)
                        r = snp_chain_pages(c, SNP_PAGE_NORMAL, gpa + at, 1, contents, source);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* A page of zeros with the table where the firmware looks for it. */
static int chain_hashes_page(SnpChain *c, const OvmfInfo *info, const OvmfSection *s, const uint8_t *table,
                char **reterr) {
        uint8_t page[SEV_PAGE_SIZE] = {}, contents[SHA384_SIZE];
        uint32_t offset = info->hash_table.base % SEV_PAGE_SIZE;
        int r;

        if (offset > SEV_PAGE_SIZE - SEV_HASH_TABLE_SIZE)
                return error_set(reterr, -EOPNOTSUPP,
                                "the firmware's area for kernel hashes at 0x%x crosses the end of a page",
                                info->hash_table.base);
        memcpy(page + offset, table, SEV_HASH_TABLE_SIZE);
        r = hash_update(c->hash, page, sizeof(page));
        if (r >= 0)
                r = hash_final(c->hash, contents);
        return r < 0 ? r
                     : snp_chain_pages(c, SNP_PAGE_NORMAL, s->gpa, 1, contents,
                                       ovmf_section_type_to_string(s->type));
}

static int chain_section(SnpChain *c, const OvmfInfo *info, const OvmfSection *s, const uint8_t *table,
                const VmmRow *vmm, char **reterr) {
        SnpPageType type = SNP_PAGE_ZERO;

        switch (s->type) {
        case OVMF_SECTION_SEC_MEM:
                type = vmm->sec_mem;
                break;
        case OVMF_SECTION_SECRETS:
                type = SNP_PAGE_SECRETS;
                break;
        case OVMF_SECTION_CPUID:
                type = SNP_PAGE_CPUID;
                break;
        case OVMF_SECTION_KERNEL_HASHES:
                if (table)
                        return chain_hashes_page(c, info, s, table, reterr);
                break;
        default: /* SVSM_CAA; others were refused when the image was read */
                break;
        }
        return snp_chain_pages(c, type, s->gpa, s->size / SEV_PAGE_SIZE, NULL,
                        ovmf_section_type_to_string(s->type));
}

int snp_chain_sections(SnpChain *c, const OvmfInfo *info, size_t first, size_t end) {
        for (size_t i = first; i < end; i++) {
                int r = chain_section(c, info, info->sections + i, NULL, vmm_row(VMM_QEMU), NULL);

                if (r < 0)
                        return r;
        }
        return 0;
}

int snp_chain_metadata(SnpChain *c, const OvmfInfo *info, size_t first, const uint8_t *table,
                const VmmRow *vmm, char **reterr) {
        bool cpuid_last = vmm->cpuid_last;
        int r;

        assert(first == 0 || !cpuid_last);
        FOREACH_ARRAY(s, info->sections + first, info->n_sections - first) {
                if (cpuid_last && s->type == OVMF_SECTION_CPUID)
                        continue;
                r = chain_section(c, info, s, table, vmm, reterr);
                if (r < 0)
                        return r;
        }
        FOREACH_ARRAY(s, info->sections, info->n_sections) {
                if (!cpuid_last || s->type != OVMF_SECTION_CPUID)
                        continue;
                r = chain_section(c, info, s, table, vmm, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

int vmsa_digests(const VmsaSpec *spec, VmsaDigests *ret) {
        VmsaSpec s = *spec;
        uint8_t page[SEV_PAGE_SIZE];
        int r;

        s.application = false;
        vmsa_build(&s, page);
        r = hash_digest(HASH_SHA384, page, sizeof(page), ret->boot);
        if (r < 0)
                return r;
        s.application = true;
        vmsa_build(&s, page);
        return hash_digest(HASH_SHA384, page, sizeof(page), ret->application);
}

int snp_chain_vmsas(SnpChain *c, const VmsaDigests *digests, unsigned first, unsigned end) {
        for (unsigned i = first; i < end; i++) {
                char source[32] = "";
                int r;

                if (c->trace)
                        (void) snprintf(source, sizeof(source), "vCPU %u", i);
                r = snp_chain_pages(c, SNP_PAGE_VMSA, SNP_VMSA_GPA, 1,
                                i == 0 ? digests->boot : digests->application, source);
                if (r < 0)
                        return r;
        }
        return 0;
}
