/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tdx-hob.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#include "bytes.h"
#include "error.h"
#include "tdx-abi.h"

#define FOUR_GIB (UINT64_C(1) << 32)
/* QEMU hw/i386/pc_q35.c: all RAM is below 4 GiB if it is less than the first, otherwise as much as the second. */
#define BELOW_4G_ALL  UINT64_C(0xb0000000)
#define BELOW_4G_PART UINT64_C(0x80000000)

enum {
        HOB_HANDOFF = 1,
        HOB_RESOURCE = 3,
        HOB_END = 0xffff,
        HOB_VERSION = 9,
        RESOURCE_SYSTEM_MEMORY = 0,
        RESOURCE_UNACCEPTED = 7,
        RESOURCE_ATTRIBUTES = 7, /* present, initialized, tested */
        HANDOFF_SIZE = 56,
        RESOURCE_SIZE = 48,
        END_SIZE = 8,
};

typedef struct Range {
        uint64_t begin, end;
        bool accepted;
} Range;

typedef struct Ranges {
        Range items[TDX_HOB_RANGES_MAX];
        size_t n;
} Ranges;

static int range_compare(const void *a, const void *b) {
        const Range *x = a, *y = b;

        return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* Cuts a piece out of the range that contains it. */
static bool cut(Ranges *l, uint64_t begin, uint64_t end) {
        FOREACH_ARRAY(r, l->items, l->n) {
                Range old = *r;

                if (old.accepted || begin < old.begin || end > old.end)
                        continue;
                *r = (Range) { begin, end, true };
                if (old.begin < begin)
                        l->items[l->n++] = (Range) { old.begin, begin, false };
                if (end < old.end)
                        l->items[l->n++] = (Range) { end, old.end, false };
                return true;
        }
        return false;
}

static int make_ranges(const TdvfInfo *info, uint64_t ram, Ranges *l, char **reterr) {
        uint64_t low = ram < BELOW_4G_ALL ? ram : BELOW_4G_PART;

        l->items[l->n++] = (Range) { 0, low, false };
        if (ram > low)
                l->items[l->n++] = (Range) { FOUR_GIB, FOUR_GIB + (ram - low), false };
        FOREACH_ARRAY(s, info->sections, info->n_sections) {
                if (s->type != TDVF_TD_HOB && s->type != TDVF_TEMP_MEM)
                        continue;
                if (!cut(l, s->gpa, s->gpa + s->size))
                        return error_set(reterr, -EINVAL,
                                        "%" PRIu64
                                        " MiB of RAM do not hold the firmware's section %s at 0x%" PRIx64
                                        ": QEMU refuses this launch; use more memory",
                                        ram >> 20, tdvf_type_to_string(s->type), s->gpa);
        }
        qsort(l->items, l->n, sizeof(Range), range_compare);
        return 0;
}

static void put_header(ByteWriter *w, uint16_t type, uint16_t size) {
        byte_writer_le16(w, type);
        byte_writer_le16(w, size);
        byte_writer_le32(w, 0);
}

int tdx_hob_build(const TdvfInfo *info, uint64_t ram, TdxHob *ret, char **reterr) {
        const TdvfSection *place = tdvf_find(info, TDVF_TD_HOB);
        Ranges ranges = {};
        TdxHob hob = {};
        ByteWriter w = byte_writer(hob.bytes, sizeof(hob.bytes));
        int r;

        if (!place)
                return error_set(reterr, -EINVAL, "the firmware has no TD_HOB section");
        if (ram == 0 || ram % TDX_PAGE_SIZE != 0 || ram > TDX_RAM_MAX)
                return error_set(reterr, -EINVAL,
                                "%" PRIu64 " bytes of RAM: expected whole pages, at most %" PRIu64 " TiB",
                                ram, TDX_RAM_MAX >> 40);
        r = make_ranges(info, ram, &ranges, reterr);
        if (r < 0)
                return r;
        hob.measured = HANDOFF_SIZE + RESOURCE_SIZE * ranges.n;
        hob.size = hob.measured + END_SIZE;
        if (hob.size > place->size)
                return error_set(reterr, -EINVAL,
                                "the firmware's TD_HOB section is too small for %zu ranges", ranges.n);

        put_header(&w, HOB_HANDOFF, HANDOFF_SIZE);
        byte_writer_le32(&w, HOB_VERSION);
        byte_writer_le32(&w, 0); /* boot mode: with full configuration */
        byte_writer_zero(&w, sizeof(uint64_t) * 4);
        byte_writer_le64(&w, place->gpa + hob.size);
        FOREACH_ARRAY(range, ranges.items, ranges.n) {
                put_header(&w, HOB_RESOURCE, RESOURCE_SIZE);
                byte_writer_zero(&w, 16); /* owner */
                byte_writer_le32(&w, range->accepted ? RESOURCE_SYSTEM_MEMORY : RESOURCE_UNACCEPTED);
                byte_writer_le32(&w, RESOURCE_ATTRIBUTES);
                byte_writer_le64(&w, range->begin);
                byte_writer_le64(&w, range->end - range->begin);
        }
        put_header(&w, HOB_END, END_SIZE);
        r = byte_writer_finish(&w, hob.size);
        if (r < 0)
                return r;
        *ret = hob;
        return 0;
}
