/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cpio-merge.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bytes.h"
#include "cpio-pack.h"
#include "error.h"
#include "fd.h"
#include "overflow.h"

#define INITRD_ALIGNMENT 4u

#define LZ4_LEGACY_MAGIC 0x184c2102u
#define LZ4_END_SIZE     4u /* a block size of zero ends the stream for the kernel */

/* --- copying ----------------------------------------------------------------------------------------------------- */

static int check_end(const InitrdSource *source) {
        ssize_t k;
        char byte;

        do
                k = pread(source->fd, &byte, 1, (off_t) source->size);
        while (k < 0 && errno == EINTR);
        if (k < 0)
                return -errno;
        return k == 0 ? 0 : -EFBIG;
}

static int copy_source(const InitrdSource *source, int to, uint64_t offset, char **reterr) {
        int r;

        if (lseek(to, (off_t) offset, SEEK_SET) < 0)
                return -errno;
        r = fd_copy(source->fd, 0, to, source->size);
        if (r == 0)
                r = check_end(source);
        if (r == -ENODATA)
                return error_set(reterr, -ESTALE,
                                "initrd '%s' became shorter than %ju bytes while it was read", source->path,
                                (uintmax_t) source->size);
        if (r == -EFBIG)
                return error_set(reterr, -ESTALE, "initrd '%s' grew beyond %ju bytes while it was read",
                                source->path, (uintmax_t) source->size);
        if (r < 0)
                return error_set(reterr, r, "cannot copy initrd '%s' into memory: %s", source->path,
                                strerror(-r));
        return 0;
}

/* --- packing, beside the copying --------------------------------------------------------------------------------- */

typedef struct PackJob {
        const CredentialSet *credentials;
        int fd;
        uint64_t offset;
        size_t size;
        int result;
        char *error; /* owned */
} PackJob;

static int pack_into(const PackJob *job, char **reterr) {
        const uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE);
        const uint64_t start = job->offset & ~(page - 1);
        const size_t mapped = (size_t) (job->offset - start) + job->size;
        uint8_t *p;
        int r;

        /* Now, as an error: a page that cannot be had when the mapping is written to would be a SIGBUS. */
        if (fallocate(job->fd, /* mode= */ 0, (off_t) start, (off_t) mapped) < 0)
                return -errno;
        p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, job->fd, (off_t) start);
        if (p == MAP_FAILED)
                return -errno;
        r = cpio_credentials_write(job->credentials, p + (job->offset - start), job->size, reterr);
        /* Also because a writable mapping would stop the seal. */
        if (munmap(p, mapped) < 0 && r >= 0)
                r = -errno;
        return r;
}

static void *pack_main(void *userdata) {
        PackJob *job = userdata;

        job->result = pack_into(job, &job->error);
        return NULL;
}

static int pack_start(PackJob *job, pthread_t *ret) {
        sigset_t all, before;
        int r;

        /* The thread lives for milliseconds and must take no signal that the program waits for. */
        if (sigfillset(&all) < 0)
                return -errno;
        r = pthread_sigmask(SIG_SETMASK, &all, &before);
        if (r != 0)
                return -r;
        r = pthread_create(ret, NULL, pack_main, job);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        return -r;
}

static int fill(const InitrdSource *sources, size_t n, const InitrdSegment *segments, PackJob *job,
                char **reterr) {
        bool threaded = false;
        pthread_t thread;
        int r = 0;

        /* Loading libarchive takes about as long as copying 4 MiB: do both at once. With nothing to copy, or no thread
         * to be had, one after the other. */
        if (job->size > 0 && n > 0)
                threaded = pack_start(job, &thread) >= 0;

        for (size_t i = 0; i < n && r >= 0; i++)
                r = copy_source(sources + i, job->fd, segments[i].offset, reterr);

        if (threaded)
                (void) pthread_join(thread, NULL);
        else if (job->size > 0 && r >= 0)
                (void) pack_main(job);
        if (r < 0)
                return r;
        if (job->result < 0)
                return error_set(reterr, job->result, "%s", job->error ?: strerror(-job->result));
        return 0;
}

/* --- where everything goes --------------------------------------------------------------------------------------- */

static bool is_lz4_legacy(const InitrdSource *source) {
        uint8_t magic[4];

        /* A source that is too short or fails to be read is nothing special here; copying says what is wrong. */
        return source->size >= sizeof(magic) && fd_pread_exact(source->fd, magic, sizeof(magic), 0) >= 0 &&
                        le32_read(magic) == LZ4_LEGACY_MAGIC;
}

/* Lays the parts out; *ret_total is the size of the whole. */
static int plan(const InitrdSource *sources, size_t n, uint64_t packed, InitrdSegment *segments,
                uint64_t *ret_total) {
        uint64_t end = 0, gap = 0;

        for (size_t i = 0; i < n + (packed > 0); i++) {
                uint64_t length = i < n ? sources[i].size : packed, offset;

                if (!add_u64(end, gap, &offset) || !align_u64(offset, INITRD_ALIGNMENT, &offset) ||
                                !add_u64(offset, length, &end) || end > (uint64_t) INT64_MAX)
                        return -EFBIG;
                segments[i] = (InitrdSegment) {
                        .offset = offset,
                        .length = length,
                        .source = i < n ? i : INITRD_SOURCE_CREDENTIALS,
                };
                gap = i < n && is_lz4_legacy(sources + i) ? LZ4_END_SIZE : 0;
        }
        *ret_total = end;
        return 0;
}

int initrd_merge(const InitrdSource *sources, size_t n, const CredentialSet *credentials, int *ret_memfd,
                InitrdSegment **ret_segments, size_t *ret_n, char **reterr) {
        static const CredentialSet none = {};
        _cleanup_free_ InitrdSegment *segments = NULL;
        _cleanup_free_ char *pack_error = NULL;
        _cleanup_close_ int fd = -EBADF;
        uint64_t packed, total;
        PackJob job;
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

        job = (PackJob) {
                .credentials = credentials,
                .fd = fd,
                .offset = packed > 0 ? segments[n].offset : 0,
                .size = (size_t) packed,
        };
        r = fill(sources, n, segments, &job, reterr);
        pack_error = job.error;
        if (r < 0)
                return r;
        r = memfd_seal(fd);
        if (r < 0)
                return error_set(reterr, r, "cannot seal the initrd's memory: %s", strerror(-r));

        *ret_memfd = TAKE_FD(fd);
        *ret_segments = TAKE_PTR(segments);
        *ret_n = n + (packed > 0);
        return 0;
}
