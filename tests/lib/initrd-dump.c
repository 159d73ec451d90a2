/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* initrd-dump FILE [OFFSET [LENGTH]]: what initrd_scan() and initrd_list() say, as text for the tests. */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "error.h"
#include "fd.h"
#include "initrd-scan.h"
#include "strutil.h"

static int print_member(const InitrdMember *m, _unused_ void *userdata) {
        (void) printf("member %zu %06o %u %s\n", m->part, m->mode, m->size, m->path);
        return 0;
}

static int dump(int fd, uint64_t offset, uint64_t length, char **reterr) {
        InitrdInfo info = {};
        int r;

        r = initrd_scan(fd, offset, length, &info, reterr);
        if (r < 0)
                return r;
        FOREACH_ARRAY(p, info.parts, info.n_parts)
                (void) printf("part %" PRIu64 " %" PRIu64 " %s content=%" PRIu64 " members=%" PRIu64 "\n",
                                p->offset, p->length, initrd_compression_to_string(p->compression),
                                p->content, p->members);
        (void) printf("release=%d version=%u sh=%d init=%d\n", info.initrd_release, info.systemd_version,
                        info.has_sh, info.has_init);
        initrd_info_done(&info);
        return initrd_list(fd, offset, length, print_member, NULL, reterr);
}

int main(int argc, char **argv) {
        _cleanup_free_ char *error = NULL;
        _cleanup_close_ int fd = -EBADF;
        uint64_t size, offset = 0, length;
        int r;

        if (argc < 2)
                return 2;
        fd = fd_open_regular(argv[1], &size);
        if (fd < 0)
                return 2;
        if (argc > 2 && parse_u64(argv[2], &offset) < 0)
                return 2;
        length = size - offset;
        if (argc > 3 && parse_u64(argv[3], &length) < 0)
                return 2;
        r = dump(fd, offset, length, &error);
        if (r < 0) {
                (void) fprintf(stderr, "%s: %s\n", strerror(-r), error ?: "no sentence");
                return 1;
        }
        return 0;
}
