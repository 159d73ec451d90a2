/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cpio-merge.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "copy.h"
#include "cpio-pack.h"
#include "error.h"
#include "fd.h"
#include "initrd-padding.h"
#include "overflow.h"

/* --- packing ----------------------------------------------------------------------------------------------------- */

static int pack_into(const CredentialSet *credentials, int fd, uint64_t offset, size_t size, char **reterr) {
        const uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE);
        const uint64_t start = offset & ~(page - 1);
        const size_t mapped = (size_t) (offset - start) + size;
        uint8_t *p;
        int r;

        /* Now, as an error: a page that cannot be had when the mapping is written to would be a SIGBUS. */
        if (fallocate(fd, /* mode= */ 0, (off_t) start, (off_t) mapped) < 0)
                return -errno;
        p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t) start);
        if (p == MAP_FAILED)
                return -errno;
        r = cpio_credentials_write(credentials, p + (offset - start), size, reterr);
        /* Also because a writable mapping would stop the seal. */
        if (munmap(p, mapped) < 0 && r >= 0)
                r = -errno;
        return r;
}

/* --- where everything goes --------------------------------------------------------------------------------------- */

/* Lays the parts out; *ret_total is the size of the whole. */
static int plan(const InitrdSource *sources, size_t n, uint64_t packed, InitrdSegment *segments,
                uint64_t *ret_total) {
        uint64_t end = 0;
        bool lz4 = false;

        for (size_t i = 0; i < n + (packed > 0); i++) {
                uint64_t length = i < n ? sources[i].size : packed, offset;

                if (initrd_next_offset(end, lz4, &offset) < 0 || !add_u64(offset, length, &end) ||
                                end > (uint64_t) INT64_MAX)
                        return -EFBIG;
                segments[i] = (InitrdSegment) {
                        .offset = offset,
                        .length = length,
                        .source = i < n ? i : INITRD_SOURCE_CREDENTIALS,
                };
                lz4 = i < n && initrd_needs_lz4_end(sources[i].fd, sources[i].offset, sources[i].size);
        }
        *ret_total = end;
        return 0;
}

void initrd_merged_done(InitrdMerged *m) {
        m->memfd = fd_close(m->memfd);
        free(m->segments);
        *m = (InitrdMerged) { .memfd = -EBADF };
}

int initrd_layout(const InitrdSource *sources, size_t n, const CredentialSet *credentials, InitrdMerged *ret,
                char **reterr) {
        static const CredentialSet none = {};
        _cleanup_free_ InitrdSegment *segments = NULL;
        _cleanup_close_ int fd = -EBADF;
        uint64_t packed, total;
        int r;

        if (!credentials)
                credentials = &none;
        r = cpio_credentials_size(credentials, &packed);
        if (r < 0)
                return error_set(reterr, r, "the credentials do not fit a cpio archive: %s", strerror(-r));
        if (n == 0 && packed == 0)
                return error_set(reterr, -ENODATA, "there is neither an initrd nor a credential to merge");

        segments = calloc(n + 1, sizeof(*segments));
        if (!segments)
                return -ENOMEM;
        r = plan(sources, n, packed, segments, &total);
        if (r < 0)
                return error_set(reterr, r, "the initrds together are too large");

        fd = memfd_new("cvmspawn-initrd");
        if (fd < 0)
                return error_set(reterr, fd, "cannot create memory for the initrd: %s", strerror(-fd));
        if (ftruncate(fd, (off_t) total) < 0)
                return error_set(reterr, -errno, "cannot make the initrd's memory %ju bytes large: %m",
                                (uintmax_t) total);
        r = packed > 0 ? pack_into(credentials, fd, segments[n].offset, (size_t) packed, reterr) : 0;
        if (r < 0)
                return r;

        *ret = (InitrdMerged) {
                .memfd = TAKE_FD(fd),
                .segments = TAKE_PTR(segments),
                .n_segments = n + (packed > 0),
        };
        return 0;
}

static int copy_source(const InitrdSource *source, int to, uint64_t at, char **reterr) {
        _cleanup_free_ char *name = NULL;

        if (asprintf(&name, "initrd '%s'", source->path) < 0) {
                name = NULL;
                return -ENOMEM;
        }
        return copy_run(&(const CopyJob) { .name = name,
                                        .from = source->fd,
                                        .offset = source->offset,
                                        .size = source->size,
                                        .whole = !source->part,
                                        .to = to,
                                        .at = at },
                        /* stop= */ NULL, reterr);
}

int initrd_merge(const InitrdSource *sources, size_t n, const CredentialSet *credentials, InitrdMerged *ret,
                char **reterr) {
        _cleanup_(initrd_merged_done) InitrdMerged m = { .memfd = -EBADF };
        int r;

        r = initrd_layout(sources, n, credentials, &m, reterr);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = copy_source(sources + i, m.memfd, m.segments[i].offset, reterr);
        if (r < 0)
                return r;
        r = memfd_seal(m.memfd);
        if (r < 0)
                return error_set(reterr, r, "cannot seal the initrd's memory: %s", strerror(-r));
        *ret = TAKE_STRUCT(m, (InitrdMerged) { .memfd = -EBADF });
        return 0;
}
