/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-tcb.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "strutil.h"

static const char *const part_names[] = {
        [SNP_TCB_FMC] = "fmc",
        [SNP_TCB_BOOTLOADER] = "bootloader",
        [SNP_TCB_TEE] = "tee",
        [SNP_TCB_SNP] = "snp",
        [SNP_TCB_MICROCODE] = "microcode",
};
static_assert(ELEMENTSOF(part_names) == _SNP_TCB_PART_MAX, "every part has a name");

const char *snp_tcb_part_to_string(SnpTcbPart p) {
        return p >= 0 && p < _SNP_TCB_PART_MAX ? part_names[p] : NULL;
}

bool snp_generation_has_tcb_part(SnpGeneration g, SnpTcbPart p) {
        return snp_generation_tcb_layout(g)[p] != SNP_TCB_UNUSED;
}

int snp_tcb_decode(const uint8_t raw[static SNP_TCB_SIZE], SnpGeneration g, SnpTcb *ret) {
        const uint8_t *layout = snp_generation_tcb_layout(g);
        uint8_t rest[SNP_TCB_SIZE];
        SnpTcb t = {};

        memcpy(rest, raw, SNP_TCB_SIZE);
        for (int p = 0; p < _SNP_TCB_PART_MAX; p++)
                if (layout[p] != SNP_TCB_UNUSED) {
                        t.part[p] = raw[layout[p]];
                        rest[layout[p]] = 0;
                }
        if (!bytes_are_zero(rest, sizeof(rest)))
                return -EBADMSG;
        *ret = t;
        return 0;
}

void snp_tcb_encode(const SnpTcb *t, SnpGeneration g, uint8_t ret[static SNP_TCB_SIZE]) {
        const uint8_t *layout = snp_generation_tcb_layout(g);

        memset(ret, 0, SNP_TCB_SIZE);
        for (int p = 0; p < _SNP_TCB_PART_MAX; p++)
                if (layout[p] != SNP_TCB_UNUSED)
                        ret[layout[p]] = t->part[p];
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
