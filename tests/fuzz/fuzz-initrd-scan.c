/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as an initrd. What must hold: parts lie inside of the input in rising order; the list ends as the scan does, with as
 * many members. */

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "fd.h"
#include "initrd-padding.h"
#include "initrd-scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count(const InitrdMember *m, void *userdata) {
        assert(m->path);
        (*(uint64_t *) userdata)++;
        return 0;
}

static uint64_t check_parts(const InitrdInfo *info, size_t size) {
        uint64_t end = 0, members = 0;

        FOREACH_ARRAY(p, info->parts, info->n_parts) {
                assert(p->offset >= end);
                assert(p->length > 0 && p->length <= size - p->offset);
                assert(p->compression != INITRD_COMPRESSION_NONE || p->content == p->length);
                end = p->offset + p->length;
                members += p->members;
        }
        return members;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *error = NULL;
        _cleanup_close_ int fd = memfd_new("fuzz");
        InitrdInfo info = {};
        uint64_t members = 0;
        int r, q;

        if (fd < 0 || fd_write_all(fd, data, size) < 0)
                return 0;

        r = initrd_scan(fd, 0, size, &info, &error);
        assert(r <= 0 && (r == 0 || r == -ENOMEM || error));
        (void) initrd_needs_lz4_end(fd, 0, size);
        q = initrd_list(fd, 0, size, count, &members, NULL);
        assert(q == r);
        assert(r < 0 || check_parts(&info, size) == members);

        initrd_info_done(&info);
        return 0;
}
