/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* bench-merge [ROUNDS]: initrd_merge() beside a plain copy of the same file into a sealed memfd, in turns and in the same run,
 * for 8 and 64 MiB, with and without credentials. One line per case: medians in milliseconds, the ratio, and the processor time more. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <time.h>
#include <unistd.h>

#include "cpio-merge.h"
#include "fd.h"
#include "strutil.h"

#define ROUNDS_MAX 1000u

static double now_ms(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

/* Of this process and of its children that ended. */
static double cpu_ms(void) {
        double sum = 0;

        for (int who = RUSAGE_CHILDREN; who <= RUSAGE_SELF; who++) {
                struct rusage u;

                if (getrusage(who, &u) < 0)
                        return 0;
                sum += (double) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3;
                sum += (double) (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
        }
        return sum;
}

static int compare(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;

        return x < y ? -1 : x > y;
}

static double median(double *v, size_t n) {
        qsort(v, n, sizeof(*v), compare);
        return v[n / 2];
}

/* On a disk as initrds are, but in the page cache: it has just been written. */
static int make_source(uint64_t size) {
        static uint8_t block[1024 * 1024];
        char path[] = "/var/tmp/bench-merge-XXXXXX";
        int fd = mkostemp(path, O_CLOEXEC);

        if (fd < 0)
                return -errno;
        (void) unlink(path);
        for (uint64_t done = 0; done < size; done += sizeof(block))
                if (getrandom(block, 256, 0) < 0 || fd_write_all(fd, block, sizeof(block)) < 0)
                        return -EIO;
        return fd;
}

/* The simplest thing that gives QEMU a sealed copy. */
static int plain_copy(int from, uint64_t size) {
        _cleanup_close_ int fd = memfd_new("plain");
        off_t done = 0;

        if (fd < 0)
                return fd;
        while ((uint64_t) done < size)
                if (sendfile(fd, from, &done, size - (uint64_t) done) <= 0)
                        return -errno;
        return memfd_seal(fd);
}

static int merge(int from, uint64_t size, const CredentialSet *set) {
        const InitrdSource source = { .path = "source", .fd = from, .size = size };
        _cleanup_(initrd_merged_done) InitrdMerged merged = { .memfd = -EBADF };

        return initrd_merge(&source, 1, set, &merged, NULL);
}

static int run(uint64_t size, const CredentialSet *set, size_t rounds) {
        static double plain[ROUNDS_MAX], merged[ROUNDS_MAX], cpu[ROUNDS_MAX];
        _cleanup_close_ int from = make_source(size);
        int r;

        if (from < 0)
                return from;
        for (size_t i = 0; i < rounds; i++) {
                double start = now_ms(), begin = cpu_ms();

                r = plain_copy(from, size);
                if (r < 0)
                        return r;
                plain[i] = now_ms() - start;
                cpu[i] = begin - cpu_ms();

                begin = cpu_ms();
                start = now_ms();
                r = merge(from, size, set);
                if (r < 0)
                        return r;
                merged[i] = now_ms() - start;
                cpu[i] += cpu_ms() - begin;
        }

        double p = median(plain, rounds), m = median(merged, rounds);

        (void) printf("%3" PRIu64
                      " MiB, %zu credentials: plain copy %6.2f ms, initrd_merge %6.2f ms, ratio %.2f; %+.2f ms of processor time\n",
                        size >> 20, set->n_items, p, m, m / p, median(cpu, rounds));
        return 0;
}

static int make_credentials(CredentialSet *ret) {
        for (char id[] = "credential-0"; id[11] <= '4'; id[11]++) {
                _cleanup_(secret_buf_done) SecretBuf value = {};
                int r;

                r = secret_buf_alloc(&value, 4096);
                if (r < 0)
                        return r;
                r = credential_set_add(ret, id, &value, NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

int main(int argc, char **argv) {
        static const uint64_t sizes[] = { 8 << 20, 64 << 20 };
        _cleanup_(credential_set_done) CredentialSet set = {};
        static const CredentialSet none = {};
        uint64_t rounds = 21;

        if (argc > 1 && (parse_u64_max(argv[1], ROUNDS_MAX, &rounds) < 0 || rounds == 0)) {
                (void) fprintf(stderr, "usage: bench-merge [ROUNDS]\n");
                return 1;
        }
        if (make_credentials(&set) < 0)
                return 1;
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
                if (run(sizes[i], &none, rounds) < 0 || run(sizes[i], &set, rounds) < 0)
                        return 1;
        return 0;
}
