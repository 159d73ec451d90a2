/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "secret.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define SECRET_PAGE 4096u

static size_t page_round(size_t n) {
        return (n + SECRET_PAGE - 1) & ~(size_t) (SECRET_PAGE - 1);
}

void erase_memory(void *p, size_t n) {
        if (n > 0)
                explicit_bzero(p, n);
}

void erase_string_free(char *s) {
        if (!s)
                return;
        erase_memory(s, strlen(s));
        free(s);
}

bool constant_time_equal(const void *a, const void *b, size_t n) {
        const volatile uint8_t *x = a, *y = b;
        uint8_t d = 0;

        for (size_t i = 0; i < n; i++)
                d |= (uint8_t) (x[i] ^ y[i]);
        return d == 0;
}

int secret_buf_alloc(SecretBuf *s, size_t size) {
        size_t mapped;
        void *p;

        *s = (SecretBuf) {};
        if (size == 0)
                return 0;
        if (size > SIZE_MAX - SECRET_PAGE)
                return -ENOMEM;

        mapped = page_round(size);
        p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
                return -ENOMEM;

        /* Locking is best effort: RLIMIT_MEMLOCK may be small, and the data would be handed to an unencrypted
         * guest anyway. Keeping it out of core dumps always works. */
        (void) mlock(p, mapped);
        (void) madvise(p, mapped, MADV_DONTDUMP);

        *s = (SecretBuf) { .data = p, .size = size, .mapped = mapped };
        return 0;
}

int secret_buf_copy(SecretBuf *s, const void *data, size_t size) {
        int r = secret_buf_alloc(s, size);

        if (r < 0)
                return r;
        if (size > 0)
                memcpy(s->data, data, size);
        return 0;
}

void secret_buf_shrink(SecretBuf *s, size_t size) {
        assert(size <= s->size);

        if (size == s->size)
                return;
        erase_memory(s->data + size, s->size - size);
        s->size = size;
}

void secret_buf_done(SecretBuf *s) {
        if (!s || !s->data)
                return;
        erase_memory(s->data, s->mapped);
        (void) munmap(s->data, s->mapped);
        *s = (SecretBuf) {};
}

int secret_buf_read_fd(SecretBuf *s, int fd, size_t max) {
        _cleanup_(secret_buf_done) SecretBuf b = {};
        size_t have = 0, capacity = MIN(max, (size_t) (16 * 1024)) + 1;
        int r = secret_buf_alloc(&b, capacity);

        if (r < 0)
                return r;

        for (;;) {
                ssize_t n;

                if (have == capacity) {
                        SecretBuf larger;

                        if (have > max)
                                return -E2BIG;
                        capacity = MIN(capacity * 4, max + 1);
                        r = secret_buf_alloc(&larger, capacity);
                        if (r < 0)
                                return r;
                        memcpy(larger.data, b.data, have);
                        secret_buf_done(&b);
                        b = larger;
                }

                n = read(fd, b.data + have, capacity - have);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                have += (size_t) n;
                if (have > max)
                        return -E2BIG;
        }

        secret_buf_shrink(&b, have);
        if (have == 0)
                secret_buf_done(&b);
        *s = b;
        b = (SecretBuf) {};
        return 0;
}

void secret_forbid_core(void) {
        /* A limit of 1 byte stops cores in files, which have pages, and those for a program behind a pipe, which the
         * kernel stops at exactly this limit (core(5)). Where even that is too much, /proc/self gets less accessible. */
        const struct rlimit one = { 1, 1 };

        if (setrlimit(RLIMIT_CORE, &one) < 0)
                (void) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
