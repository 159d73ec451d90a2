/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What differs between the processor generations that a platform can be made as: names in certificates, the layout of a TCB
 * version, CPUID in reports, the size of a chip's number. A platform's folder has the name in its file `generation`. */

#include <stddef.h>
#include <stdint.h>

typedef struct SimGeneration {
        const char *name;
        const char *product; /* in names and addresses of certificates */
        const char *vcek;    /* productName of a VCEK; a VLEK has the product */
        uint8_t family, model, stepping;
        uint8_t struct_version; /* of the VCEK's extensions */
        uint8_t tcb[8];         /* TCB_VERSION, byte by byte */
        const char *spl[8];     /* the extension for each of these bytes, below AMD's arc */
        size_t chip_id_size;    /* the rest of the 64 bytes is zero */
} SimGeneration;

const SimGeneration *generation_by_name(const char *name); /* NULL: not known */
/* The platform's; Genoa where the folder is NULL or does not say. */
const SimGeneration *generation_of(const char *platform);
uint64_t generation_tcb(const SimGeneration *generation);
