/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The certificate table of an extended report (AMD publication 56421, GHCB, "SNP Extended Guest Request"): entries {GUID, offset,
 * length} from the start of the buffer, ended by a zero entry; GUIDs in the byte order of their text. All of it
 * comes from the host: hints, never trust. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

#define SNP_CERT_TABLE_SIZE_MAX (1024u * 1024u) /* the kernel's own limit is 16 KiB */
#define SNP_CERT_ENTRIES_MAX    32u             /* six kinds are known */

typedef enum SnpCertKind {
        SNP_CERT_VCEK,
        SNP_CERT_VLEK,
        SNP_CERT_ASK, /* ASVK in VLEK tables */
        SNP_CERT_ARK,
        SNP_CERT_CRL,
        SNP_CERT_OTHER, /* a GUID not known here */
        _SNP_CERT_KIND_MAX,
        _SNP_CERT_KIND_INVALID = -22,
} SnpCertKind;

const char *snp_cert_kind_to_string(SnpCertKind k); /* "vcek"... */

typedef struct SnpCertEntry {
        SnpCertKind kind;
        uint8_t guid[16];    /* as stored */
        const uint8_t *data; /* borrowed from the table */
        size_t size;
} SnpCertEntry;

typedef struct SnpCertTable {
        SnpCertEntry entries[SNP_CERT_ENTRIES_MAX];
        size_t n_entries;
} SnpCertTable;

/* -EBADMSG with an error message: no terminator, an entry outside the buffer or inside the header, overlapping entries. An empty
 * table (all zeros) is fine. */
_warn_unused_result_ int snp_cert_table_decode(const void *p, size_t n, SnpCertTable *ret, char **reterr);
/* Writes a table; sizes are padded to 4096. *ret is owned. */
_warn_unused_result_ int snp_cert_table_encode(const SnpCertTable *t, uint8_t **ret, size_t *ret_size);
