/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-generation.h"

#include <strings.h>

#include "macro.h"
#include "snp-tcb.h"
#include "strutil.h"

#define CPUID_RANGES_MAX 4u

typedef struct Generation {
        uint8_t layout[_SNP_TCB_PART_MAX];
        size_t chip_id_size;
        struct {
                uint8_t family, first, last; /* CPUID family and models */
        } cpuid[CPUID_RANGES_MAX];           /* family 0 ends the list */
        const char *aliases;                 /* separated by blanks, or NULL */
} Generation;

/* AMD 56860, table of TCB_VERSION: the layout changed with Turin. */
#define TCB_LAYOUT_MILAN                                                                                    \
        {                                                                                                   \
                [SNP_TCB_FMC] = SNP_TCB_UNUSED, [SNP_TCB_BOOTLOADER] = 0, [SNP_TCB_TEE] = 1,                \
                [SNP_TCB_SNP] = 6, [SNP_TCB_MICROCODE] = 7                                                  \
        }
#define TCB_LAYOUT_TURIN                                                                                    \
        {                                                                                                   \
                [SNP_TCB_FMC] = 0, [SNP_TCB_BOOTLOADER] = 1, [SNP_TCB_TEE] = 2, [SNP_TCB_SNP] = 3,          \
                [SNP_TCB_MICROCODE] = 7                                                                     \
        }

static const Generation generations[] = {
        [SNP_MILAN] = {
                .layout = TCB_LAYOUT_MILAN,
                .chip_id_size = 64,
                .cpuid = { { 0x19, 0x00, 0x0f } },
        },
        [SNP_GENOA] = {
                .layout = TCB_LAYOUT_MILAN,
                .chip_id_size = 64,
                .cpuid = { { 0x19, 0x10, 0x1f }, { 0x19, 0xa0, 0xaf } },
                .aliases = SNP_GENERATION_ALIASES,
        },
        [SNP_TURIN] = {
                .layout = TCB_LAYOUT_TURIN,
                .chip_id_size = 8,
                .cpuid = { { 0x1a, 0x00, 0x11 } },
        },
        [SNP_VENICE] = {
                .layout = TCB_LAYOUT_TURIN,
                .chip_id_size = 8,
                .cpuid = { { 0x1a, 0x50, 0x57 }, { 0x1a, 0x90, 0x9f }, { 0x1a, 0xa0, 0xaf }, { 0x1a, 0xc0, 0xc7 } },
        },
};
static_assert(ELEMENTSOF(generations) == _SNP_GENERATION_MAX, "every generation has a row");

#define NAMES(id, name, product) { name, product },
static const struct { const char *name, *product; } names[] = { SNP_GENERATIONS(NAMES) };

static const Generation *row(SnpGeneration g) {
        assert(g >= 0 && g < _SNP_GENERATION_MAX);
        return generations + g;
}

const char *snp_generation_to_string(SnpGeneration g) {
        return g >= 0 && g < _SNP_GENERATION_MAX ? names[g].name : NULL;
}

const char *snp_generation_product(SnpGeneration g) {
        return g >= 0 && g < _SNP_GENERATION_MAX ? names[g].product : NULL;
}

size_t snp_generation_chip_id_size(SnpGeneration g) {
        return row(g)->chip_id_size;
}

const uint8_t *snp_generation_tcb_layout(SnpGeneration g) {
        return row(g)->layout;
}

static bool has_alias(const char *aliases, const char *s) {
        size_t n = strlen(s);

        for (const char *a = aliases; a && *a; a += strcspn(a, " "), a += strspn(a, " "))
                if (strcspn(a, " ") == n && strncasecmp(a, s, n) == 0)
                        return true;
        return false;
}

SnpGeneration snp_generation_from_string(const char *s) {
        for (int g = 0; g < _SNP_GENERATION_MAX; g++)
                if (strcasecmp(s, names[g].name) == 0 || has_alias(generations[g].aliases, s))
                        return (SnpGeneration) g;
        return _SNP_GENERATION_INVALID;
}

SnpGeneration snp_generation_from_cpuid(uint8_t family, uint8_t model) {
        for (int g = 0; g < _SNP_GENERATION_MAX; g++)
                FOREACH_ARRAY(c, generations[g].cpuid, CPUID_RANGES_MAX)
                        if (c->family != 0 && c->family == family && model >= c->first && model <= c->last)
                                return (SnpGeneration) g;
        return _SNP_GENERATION_INVALID;
}
