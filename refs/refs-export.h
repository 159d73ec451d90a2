/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A bundle in the formats of those who import reference values.
 *
 *   rvps      Trustee's RVPS: a message of type "sample" with the names that its default CPU policy asks for (11 for SNP)
 *   in-toto   Statement v1: its subjects are the inputs, its predicate is the bundle
 *   csv, markdown, table   one row for each digest, for people and scripts
 *   corim     CBOR: an unsigned CoRIM with the digests in one reference triple
 *   corim-veraison   the same for Veraison's SEV-SNP scheme, a triple for each digest
 *   rego      a policy for Trustee and other engines of Rego v1
 *   cel       one expression for an engine of CEL
 *   contrast  reference values of Contrast's manifest, an entry for each digest
 *   contrast-family  the same, an entry for each family: the digest of one vCPU, from which Contrast derives those of more
 *   c8s       the measurements file of c8s, an entry for each digest of SNP or of TDX
 *   tinfoil   what Tinfoil's verifier compares of its predicate: one SNP digest, RTMR1 and RTMR2 of one TD
 *   id-blocks the ID block and its authentication of each row, as JSON lines */

#include "refs-bundle.h"

/* X(enumerator, name): the row is in refs-export.c. */
#define REFS_EXPORTS(X)                                                                                     \
        X(REFS_EXPORT_RVPS, "rvps")                                                                         \
        X(REFS_EXPORT_IN_TOTO, "in-toto")                                                                   \
        X(REFS_EXPORT_CSV, "csv")                                                                           \
        X(REFS_EXPORT_MARKDOWN, "markdown")                                                                 \
        X(REFS_EXPORT_TABLE, "table")                                                                       \
        X(REFS_EXPORT_ID_BLOCKS, "id-blocks")                                                               \
        X(REFS_EXPORT_CORIM, "corim")                                                                       \
        X(REFS_EXPORT_VERAISON, "corim-veraison")                                                           \
        X(REFS_EXPORT_REGO, "rego")                                                                         \
        X(REFS_EXPORT_CEL, "cel")                                                                           \
        X(REFS_EXPORT_CONTRAST, "contrast")                                                                 \
        X(REFS_EXPORT_CONTRAST_FAMILY, "contrast-family")                                                   \
        X(REFS_EXPORT_C8S, "c8s")                                                                           \
        X(REFS_EXPORT_TINFOIL, "tinfoil")

#define REFS_EXPORT_ENUMERATOR(id, name) id,
typedef enum RefsExport {
        REFS_EXPORTS(REFS_EXPORT_ENUMERATOR) _REFS_EXPORT_MAX,
        _REFS_EXPORT_INVALID = -22,
} RefsExport;

#define REFS_EXPORT_NAME(id, name) name " "
#define REFS_EXPORT_NAMES          REFS_EXPORTS(REFS_EXPORT_NAME)

RefsExport refs_export_from_string(const char *s);

typedef struct RefsExportOptions {
        /* rvps: names become URIs, "PREFIX/name:TAG", as rvps/docs/reference-value-uri.md of Trustee recommends; NULL: bare names */
        const char *uri, *tag;
} RefsExportOptions;

/* *ret is owned, with a NUL after its last byte; all but CBOR is text and ends in a newline. -EINVAL with an error message if the bundle lacks what the format needs. */
_warn_unused_result_ int refs_export(const RefsBundle *b, RefsExport format,
                const RefsExportOptions *options, char **ret, size_t *ret_size, char **reterr);
