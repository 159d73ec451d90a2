/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Processor generations with SEV-SNP: one row each. Names for options, messages and completion come from the list, facts from
 * the row in snp-generation.c. */

#include <stddef.h>
#include <stdint.h>

/* X(enumerator, name in options and policies, name in AMD's certificates and key service) */
#define SNP_GENERATIONS(X)                                                                                  \
        X(SNP_MILAN, "milan", "Milan")                                                                      \
        X(SNP_GENOA, "genoa", "Genoa")                                                                      \
        X(SNP_TURIN, "turin", "Turin")                                                                      \
        X(SNP_VENICE, "venice", "Venice")

#define SNP_GENERATION_ENUMERATOR(id, name, product) id,
typedef enum SnpGeneration {
        SNP_GENERATIONS(SNP_GENERATION_ENUMERATOR) _SNP_GENERATION_MAX,
        _SNP_GENERATION_INVALID = -22,
} SnpGeneration;

/* All names, separated by blanks: for completion, and with values_text() for messages. */
#define SNP_GENERATION_NAME(id, name, product) name " "
#define SNP_GENERATION_NAMES                   SNP_GENERATIONS(SNP_GENERATION_NAME)
/* Products that are sold under another name and belong to one of the generations. */
#define SNP_GENERATION_ALIASES "bergamo siena"

const char *snp_generation_to_string(SnpGeneration g);   /* "milan"... */
SnpGeneration snp_generation_from_string(const char *s); /* any case; an alias stands for its generation */
/* As AMD's key service and certificates spell it: "Milan"... */
const char *snp_generation_product(SnpGeneration g);
/* From the combined CPUID family and model of a report; _INVALID if not known. */
SnpGeneration snp_generation_from_cpuid(uint8_t family, uint8_t model);
/* Bytes of CHIP_ID that identify the chip; the rest is zero. */
size_t snp_generation_chip_id_size(SnpGeneration g);

/* Where the parts of a TCB version lie in its eight bytes: SnpTcbPart is the index, SNP_TCB_UNUSED a part that the generation
 * does not have. */
#define SNP_TCB_UNUSED 0xff
const uint8_t *snp_generation_tcb_layout(SnpGeneration g);
