/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "copy.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "overflow.h"
#include "progress.h"

#define PIECE (UINT64_C(4) << 20) /* some milliseconds */

static int check_end(const CopyJob *job) {
        ssize_t k;
        char byte;

        do
                k = pread(job->from, &byte, 1, (off_t) (job->offset + job->size));
        while (k < 0 && errno == EINTR);
        if (k < 0)
                return -errno;
        return k == 0 ? 0 : -EFBIG;
}

static int copy_pieces(const CopyJob *job, const atomic_bool *stop) {
        uint64_t end;

        if (!add_u64(job->offset, job->size, &end) || end > INT64_MAX || job->at > INT64_MAX)
                return -EOVERFLOW;
        if (lseek(job->to, (off_t) job->at, SEEK_SET) < 0)
                return -errno;
        for (uint64_t done = 0; done < job->size;) {
                uint64_t n = MIN(PIECE, job->size - done);
                int r;

                if (stop && atomic_load(stop))
                        return -ECANCELED;
                r = fd_copy(job->from, job->offset + done, job->to, n);
                if (r < 0)
                        return r;
                done += n;
                progress_note();
        }
        return job->whole ? check_end(job) : 0;
}

int copy_run(const CopyJob *job, const atomic_bool *stop, char **reterr) {
        int r = copy_pieces(job, stop);

        if (r == -ENODATA)
                return error_set(reterr, -ESTALE, "%s became shorter than %ju bytes while it was read",
                                job->name, (uintmax_t) job->size);
        if (r == -EFBIG)
                return error_set(reterr, -ESTALE, "%s grew beyond %ju bytes while it was read", job->name,
                                (uintmax_t) job->size);
        if (r < 0 && r != -ECANCELED)
                return error_set(reterr, r, "cannot copy %s into memory: %s", job->name, strerror(-r));
        return r;
}
