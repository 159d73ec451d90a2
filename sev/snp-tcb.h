/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The TCB version (AMD publication 56860, TCB_VERSION): eight bytes whose meaning depends on the processor generation. Component by component: one being newer never makes up for another being older, so there is no order
 * between two versions as numbers. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"
#include "snp-generation.h"

#define SNP_TCB_SIZE 8u

typedef enum SnpTcbPart {
        SNP_TCB_FMC, /* Turin and later; 0 before */
        SNP_TCB_BOOTLOADER,
        SNP_TCB_TEE,
        SNP_TCB_SNP,
        SNP_TCB_MICROCODE,
        _SNP_TCB_PART_MAX,
        _SNP_TCB_PART_INVALID = -22,
} SnpTcbPart;

const char *snp_tcb_part_to_string(SnpTcbPart p); /* "fmc", "bootloader", "tee", "snp", "microcode" */

typedef struct SnpTcb {
        uint8_t part[_SNP_TCB_PART_MAX];
} SnpTcb;

bool snp_generation_has_tcb_part(SnpGeneration g, SnpTcbPart p);

/* -EBADMSG if a byte that the generation does not use is not zero. */
_warn_unused_result_ int snp_tcb_decode(
                const uint8_t raw[static SNP_TCB_SIZE], SnpGeneration g, SnpTcb *ret);
void snp_tcb_encode(const SnpTcb *t, SnpGeneration g, uint8_t ret[static SNP_TCB_SIZE]);
bool snp_tcb_equal(const SnpTcb *a, const SnpTcb *b);
/* Every part of a is at least that of b. */
bool snp_tcb_at_least(const SnpTcb *a, const SnpTcb *b);
/* "bootloader 4, tee 0, snp 24, microcode 219", owned; NULL: out of memory. */
char *snp_tcb_text(const SnpTcb *t, SnpGeneration g);
