/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a launch may need of an OVMF image (edk2 OvmfPkg/ResetVector). */
typedef enum OvmfNeed {
        OVMF_NEED_RESET = 1 << 0,        /* SEV-ES, SEV-SNP: start address of application processors */
        OVMF_NEED_HASH_TABLE = 1 << 1,   /* kernel hashes: a place for the table */
        OVMF_NEED_METADATA = 1 << 2,     /* SEV-SNP: sections */
        OVMF_NEED_HASH_PAGE = 1 << 3,    /* SEV-SNP with kernel hashes: a section for the table */
        OVMF_NEED_TDX_METADATA = 1 << 4, /* TDX: sections */
} OvmfNeed;
