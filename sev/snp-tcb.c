/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-tcb.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "bytes.h"
#include "strutil.h"

#define UNUSED 0xff

/* Where each part lies in the eight bytes. AMD 56860, table of TCB_VERSION: the layout changed with Turin. */
static const uint8_t layout_milan[_SNP_TCB_PART_MAX] = {
        [SNP_TCB_FMC] = UNUSED,
        [SNP_TCB_BOOTLOADER] = 0,
        [SNP_TCB_TEE] = 1,
        [SNP_TCB_SNP] = 6,
        [SNP_TCB_MICROCODE] = 7,
};
static const uint8_t layout_turin[_SNP_TCB_PART_MAX] = {
        [SNP_TCB_FMC] = 0,
        [SNP_TCB_BOOTLOADER] = 1,
        [SNP_TCB_TEE] = 2,
        [SNP_TCB_SNP] = 3,
        [SNP_TCB_MICROCODE] = 7,
};

static const struct {
        const char *name, *product;
        const uint8_t *layout;
        size_t chip_id_size;
} generations[] = {
        [SNP_MILAN] = { "milan", "Milan", layout_milan, 64 },
        [SNP_GENOA] = { "genoa", "Genoa", layout_milan, 64 },
        [SNP_TURIN] = { "turin", "Turin", layout_turin, 8 },
        [SNP_VENICE] = { "venice", "Venice", layout_turin, 8 },
};
static_assert(ELEMENTSOF(generations) == _SNP_GENERATION_MAX, "every generation has a row");

static const char *const part_names[] = {
        [SNP_TCB_FMC] = "fmc",
        [SNP_TCB_BOOTLOADER] = "bootloader",
        [SNP_TCB_TEE] = "tee",
        [SNP_TCB_SNP] = "snp",
        [SNP_TCB_MICROCODE] = "microcode",
};
static_assert(ELEMENTSOF(part_names) == _SNP_TCB_PART_MAX, "every part has a name");

static bool known(SnpGeneration g) {
        return g >= 0 && g < _SNP_GENERATION_MAX;
}

const char *snp_generation_to_string(SnpGeneration g) {
        return known(g) ? generations[g].name : NULL;
}

const char *snp_generation_product(SnpGeneration g) {
        return known(g) ? generations[g].product : NULL;
}

size_t snp_generation_chip_id_size(SnpGeneration g) {
        assert(known(g));
        return generations[g].chip_id_size;
}

SnpGeneration snp_generation_from_string(const char *s) {
        if (strcasecmp(s, "bergamo") == 0 || strcasecmp(s, "siena") == 0)
                return SNP_GENOA;
        for (int g = 0; g < _SNP_GENERATION_MAX; g++)
                if (strcasecmp(s, generations[g].name) == 0)
                        return (SnpGeneration) g;
        return _SNP_GENERATION_INVALID;
}

SnpGeneration snp_generation_from_cpuid(uint8_t family, uint8_t model) {
        static const struct {
                uint8_t family, first, last;
                SnpGeneration generation;
        } rows[] = {
                { 0x19, 0x00, 0x0f, SNP_MILAN },
                { 0x19, 0x10, 0x1f, SNP_GENOA },
                { 0x19, 0xa0, 0xaf, SNP_GENOA },
                { 0x1a, 0x00, 0x11, SNP_TURIN },
                { 0x1a, 0x50, 0x57, SNP_VENICE },
                { 0x1a, 0x90, 0x9f, SNP_VENICE },
                { 0x1a, 0xa0, 0xaf, SNP_VENICE },
                { 0x1a, 0xc0, 0xc7, SNP_VENICE },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (rows[i].family == family && model >= rows[i].first && model <= rows[i].last)
                        return rows[i].generation;
        return _SNP_GENERATION_INVALID;
}

const char *snp_tcb_part_to_string(SnpTcbPart p) {
        return p >= 0 && p < _SNP_TCB_PART_MAX ? part_names[p] : NULL;
}

bool snp_generation_has_tcb_part(SnpGeneration g, SnpTcbPart p) {
        assert(known(g));
        return generations[g].layout[p] != UNUSED;
}

int snp_tcb_decode(const uint8_t raw[static SNP_TCB_SIZE], SnpGeneration g, SnpTcb *ret) {
        uint8_t rest[SNP_TCB_SIZE];
        SnpTcb t = {};

        assert(known(g));
        memcpy(rest, raw, SNP_TCB_SIZE);
        for (int p = 0; p < _SNP_TCB_PART_MAX; p++)
                if (generations[g].layout[p] != UNUSED) {
                        t.part[p] = raw[generations[g].layout[p]];
                        rest[generations[g].layout[p]] = 0;
                }
        if (!bytes_are_zero(rest, sizeof(rest)))
                return -EBADMSG;
        *ret = t;
        return 0;
}

void snp_tcb_encode(const SnpTcb *t, SnpGeneration g, uint8_t ret[static SNP_TCB_SIZE]) {
        assert(known(g));
        memset(ret, 0, SNP_TCB_SIZE);
        for (int p = 0; p < _SNP_TCB_PART_MAX; p++)
                if (generations[g].layout[p] != UNUSED)
                        ret[generations[g].layout[p]] = t->part[p];
}

bool snp_tcb_equal(const SnpTcb *a, const SnpTcb *b) {
        return memcmp(a->part, b->part, sizeof(a->part)) == 0;
}

bool snp_tcb_at_least(const SnpTcb *a, const SnpTcb *b) {
        for (int p = 0; p < _SNP_TCB_PART_MAX; p++)
                if (a->part[p] < b->part[p])
                        return false;
        return true;
}

char *snp_tcb_text(const SnpTcb *t, SnpGeneration g) {
        _cleanup_(text_done) Text text = {};
        const char *comma = "";
        char *s = NULL;

        for (int p = 0; p < _SNP_TCB_PART_MAX; p++)
                if (snp_generation_has_tcb_part(g, (SnpTcbPart) p)) {
                        text_putf(&text, "%s%s %u", comma, part_names[p], t->part[p]);
                        comma = ", ";
                }
        return text_finish(&text, &s) < 0 ? NULL : s;
}
