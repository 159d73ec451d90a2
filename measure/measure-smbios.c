/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-smbios.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "strutil.h"

/* DMTF DSP0134. */
enum {
        TYPE_BIOS = 0,
        TYPE_END = 127,
        HEADER_SIZE = 4,
        TABLES_SIZE_MAX = 1024 * 1024,
};

typedef struct Field {
        uint8_t type, offset;
        uint8_t size; /* 0: a string */
} Field;

/* What edk2 filters: serial numbers, places, and what depends on the moment. */
static const Field filtered[] = {
        { 1, 7, 0 },
        { 1, 8, 16 },
        { 1, 0x18, 1 },
        { 2, 7, 0 },
        { 2, 0x0a, 0 },
        { 3, 7, 0 },
        { 3, 8, 0 },
        { 4, 0x20, 0 },
        { 4, 0x21, 0 },
        { 4, 0x22, 0 },
        { 4, 0x23, 1 },
        { 4, 0x24, 1 },
        { 4, 0x25, 1 },
        { 4, 0x2a, 2 },
        { 4, 0x2c, 2 },
        { 4, 0x2e, 2 },
        { 4, 0x11, 1 },
        { 4, 0x16, 2 },
        { 17, 0x18, 0 },
        { 17, 0x19, 0 },
        { 17, 0x1a, 0 },
        { 22, 0x10, 2 },
        { 22, 0x12, 1 },
        { 27, 0x0c, 1 },
        { 39, 8, 0 },
        { 39, 9, 0 },
        { 39, 0x0a, 0 },
};

/* Of these only the header is measured; and of manufacturers' own types. */
static bool hidden(uint8_t type) {
        return type == 11 || type == 15 || type == 18 || type == 31 || type == 33 || type >= 128;
}

/* Each character of string `n` becomes a blank. */
static void blank_string(uint8_t *strings, size_t size, uint8_t n) {
        size_t at = 0;

        for (uint8_t i = 1; i < n && at < size; i++)
                at += strnlen((const char *) strings + at, size - at) + 1;
        if (n > 0 && at < size)
                memset(strings + at, ' ', strnlen((const char *) strings + at, size - at));
}

static void filter(uint8_t *p, size_t length, size_t total) {
        if (hidden(p[0])) {
                memset(p + HEADER_SIZE, 0, total - HEADER_SIZE);
                return;
        }
        FOREACH_ARRAY(f, filtered, ELEMENTSOF(filtered)) {
                size_t n = f->size ?: 1u;

                if (f->type != p[0] || f->offset + n > length)
                        continue;
                if (f->size == 0)
                        blank_string(p + length, total - length, p[f->offset]);
                memset(p + f->offset, 0, n);
        }
}

/* The structure at p with its strings; 0: malformed. */
static size_t structure_size(const uint8_t *p, size_t left) {
        size_t at;

        if (left < HEADER_SIZE || p[1] < HEADER_SIZE || p[1] + (size_t) 2 > left)
                return 0;
        for (at = p[1]; at + 2 <= left; at++)
                if (p[at] == 0 && p[at + 1] == 0)
                        return at + 2;
        return 0;
}

/* OvmfPkg/SmbiosPlatformDxe: 26 bytes, then the three strings. */
static int feed_own_bios(Hash *hash, const char *bios, char **reterr) {
        static const uint8_t fixed[26] = {
                TYPE_BIOS, sizeof(fixed), 0, 0, 1, 2, 0x00, 0xe8, 3,
                0,                         /* vendor, version, segment, date, size */
                0x08, 0, 0, 0, 0, 0, 0, 0, /* characteristics: not supported */
                0x00, 0x1c, 0, 0, 0xff, 0xff, 0,
                0 /* content distribution, UEFI, virtual machine; releases */
        };
        _cleanup_strv_free_ char **words = NULL;
        int r;

        if (!bios)
                return error_set(reterr, -EINVAL,
                                "this edk2 measures its own vendor, version and date: pass --bios=VENDOR,VERSION,DATE as /sys/class/dmi/id/bios_* in any guest has them");
        r = strv_split(bios, ',', &words);
        if (r < 0)
                return r;
        if (strv_length(words) != 3)
                return error_set(reterr, -EINVAL, "--bios: expected VENDOR,VERSION,DATE, not '%s'", bios);
        r = hash_update(hash, fixed, sizeof(fixed));
        STRV_FOREACH(w, words)
                if (r >= 0)
                        r = hash_update(hash, *w, strlen(*w) + 1);
        return r < 0 ? r : hash_update(hash, "", 1);
}

int smbios_next(const uint8_t *tables, size_t size, size_t *at, const uint8_t **ret, size_t *ret_size,
                char **reterr) {
        size_t n;

        if (*at >= size)
                return 0;
        n = structure_size(tables + *at, size - *at);
        if (n == 0)
                return error_set(reterr, -EBADMSG, "SMBIOS tables: malformed structure at offset %zu", *at);
        if (tables[*at] == TYPE_END)
                return 0;
        *ret = tables + *at;
        *ret_size = n;
        *at += n;
        return 1;
}

static int feed_tables(Hash *hash, uint8_t *tables, size_t size, bool *ret_bios, char **reterr) {
        const uint8_t *found;
        size_t at = 0, n;
        int r;

        *ret_bios = false;
        while ((r = smbios_next(tables, size, &at, &found, &n, reterr)) > 0) {
                uint8_t *p = tables + (found - tables);

                *ret_bios = *ret_bios || p[0] == TYPE_BIOS;
                filter(p, p[1], n);
                r = hash_update(hash, p, n);
                if (r < 0)
                        return r;
        }
        return r;
}

int smbios_digest(const uint8_t *tables, size_t size, const char *bios, uint8_t ret[static SHA384_SIZE],
                char **reterr) {
        static const uint8_t end[] = { TYPE_END, 4, 0xff, 0xfe, 0, 0 };
        _cleanup_free_ uint8_t *copy = NULL;
        _cleanup_hash_ Hash *hash = NULL;
        bool has_bios;
        int r;

        if (size > TABLES_SIZE_MAX)
                return error_set(reterr, -EFBIG, "SMBIOS tables: %zu bytes are more than %u", size,
                                (unsigned) TABLES_SIZE_MAX);
        copy = malloc(size ?: 1);
        if (!copy)
                return -ENOMEM;
        memcpy(copy, tables, size);
        r = hash_new(HASH_SHA384, &hash);
        if (r >= 0)
                r = feed_tables(hash, copy, size, &has_bios, reterr);
        if (r >= 0 && !has_bios)
                r = feed_own_bios(hash, bios, reterr);
        if (r >= 0)
                r = hash_update(hash, end, sizeof(end));
        return r < 0 ? r : hash_final(hash, ret);
}
