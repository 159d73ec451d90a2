/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-tail.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "measure-input.h"

/* Credentials are 1 MiB at most; their archive adds a header each. */
#define TAIL_MAX (3u * 1024u * 1024u)
#define HEADER   110u

/* The archive begins with a newc header for the directory ".extra". */
static bool is_start(const uint8_t *p, size_t left) {
        static const char name[] = ".extra";

        return left >= HEADER + sizeof(name) && memcmp(p, "070701", 6) == 0 &&
                        memcmp(p + HEADER, name, sizeof(name)) == 0;
}

static bool ends_with_trailer(const uint8_t *p, size_t size) {
        static const char trailer[] = "TRAILER!!!";

        while (size > 0 && p[size - 1] == 0)
                size--;
        return size >= sizeof(trailer) - 1 &&
                        memcmp(p + size - (sizeof(trailer) - 1), trailer, sizeof(trailer) - 1) == 0;
}

/* The offset in the file where the appended archive begins, or -ENOENT. */
static int find_archive(const PlanPart *part, uint64_t *ret, uint8_t before[static 4]) {
        uint64_t first = part->length > TAIL_MAX ? (part->length - TAIL_MAX) / 4 * 4 : 0;
        size_t size = (size_t) (part->length - first);
        _cleanup_free_ uint8_t *tail = malloc(size ?: 1);
        int r;

        if (!tail)
                return -ENOMEM;
        r = fd_pread_exact(part->fd, tail, size, part->offset + first);
        if (r < 0)
                return r;
        if (!ends_with_trailer(tail, size))
                return -ENOENT;
        for (size_t i = size / 4 * 4 + 4; i > 0; i -= 4)
                if (i - 4 < size && is_start(tail + i - 4, size - (i - 4)) && first + i - 4 >= 4) {
                        *ret = first + i - 4;
                        return fd_pread_exact(part->fd, before, 4, part->offset + *ret - 4);
                }
        return -ENOENT;
}

int initrd_without_credentials(const PlanPart *part, uint8_t ret[static SHA256_SIZE], char **reterr) {
        _cleanup_(input_digest_done) InputDigest d = {};
        _cleanup_(plan_input_done) PlanInput in = {};
        uint8_t before[4];
        uint64_t at;
        int r;

        if (part->fd < 0)
                return 0;
        r = find_archive(part, &at, before);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return error_set(reterr, r, "initrd: cannot read '%s': %s", part->label, strerror(-r));
        /* Up to three NULs align the archive; an initrd that ends with NULs itself is rare. */
        for (int i = 3; i > 0 && before[i] == 0; i--)
                at--;
        r = plan_input_add(&in, part->label, part->fd, part->offset, at);
        if (r >= 0)
                r = input_digest(&in, "initrd", &d, reterr);
        if (r < 0)
                return r;
        memcpy(ret, d.sha256, SHA256_SIZE);
        return 1;
}
