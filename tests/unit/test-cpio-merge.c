/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sys/stat.h>

#include "test.h"

#include "bytes.h"
#include "cpio-merge.h"
#include "cpio-pack.h"
#include "crypto-hash.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "initrd-image.h"

static InitrdSource source_new(const char *bytes, size_t n) {
        int fd = memfd_new("source");

        assert_true(fd >= 0);
        assert_ok(fd_write_all(fd, bytes, n));
        return (InitrdSource) { .path = "test.img", .fd = fd, .size = n };
}

static void sources_done(InitrdSource *sources, size_t n) {
        FOREACH_ARRAY(s, sources, n)
                s->fd = fd_close(s->fd);
}

static void add_credential(CredentialSet *set, const char *id, const void *data, size_t size) {
        SecretBuf value = {};

        assert_ok(secret_buf_copy(&value, data, size));
        assert_ok(credential_set_add(set, id, &value, NULL));
}

static void golden_set(CredentialSet *set) {
        add_credential(set, "foo", "hello", 5);
        add_credential(set, "bar", "abc\0def", 7);
}

typedef struct Merged {
        int fd;
        InitrdSegment *segments;
        size_t n_segments;
        uint8_t *data;
        size_t size;
} Merged;

static void merged_done(Merged *m) {
        if (m->data)
                (void) munmap(m->data, m->size);
        free(m->segments);
        m->fd = fd_close(m->fd);
}

static void merge(const InitrdSource *sources, size_t n, const CredentialSet *set, Merged *ret) {
        const int seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
        InitrdMerged merged;
        char *error = NULL;

        if (initrd_merge(sources, n, set, &merged, &error) < 0)
                fail_msg("%s", error);
        *ret = (Merged) { .fd = merged.memfd, .segments = merged.segments, .n_segments = merged.n_segments };
        assert_int_equal(fcntl(ret->fd, F_GET_SEALS) & seals, seals);
        ret->size = (size_t) lseek(ret->fd, 0, SEEK_END);
        if (ret->size > 0) {
                ret->data = mmap(NULL, ret->size, PROT_READ, MAP_PRIVATE, ret->fd, 0);
                assert_true(ret->data != MAP_FAILED);
        }
}

static void assert_sha256(const void *p, size_t n, const char *expected) {
        _cleanup_free_ char *hex = NULL;
        uint8_t digest[SHA256_SIZE];

        assert_ok(hash_digest(HASH_SHA256, p, n, digest));
        hex = hex_encode(digest, sizeof(digest));
        assert_string_equal(hex, expected);
}

#define GOLDEN_SIZE   692
#define GOLDEN_SHA256 "d6d140e8563cede051be09c73d81680e31427fa24db9d5fb076c073b00921b1f"

/* systemd-vmspawn 262.1 made 97 + 3 + 692 bytes of this. */
static void test_with_credentials(_unused_ void **state) {
        _cleanup_(credential_set_done) CredentialSet set = {};
        _cleanup_(merged_done) Merged m = {};
        char bytes[97];
        InitrdSource source;

        memset(bytes, 'i', sizeof(bytes));
        source = source_new(bytes, sizeof(bytes));
        golden_set(&set);
        merge(&source, 1, &set, &m);

        assert_int_equal(m.size, 792);
        assert_memory_equal(m.data, bytes, sizeof(bytes));
        assert_true(bytes_are_zero(m.data + 97, 3));
        assert_sha256(m.data + 100, GOLDEN_SIZE, GOLDEN_SHA256);
        assert_int_equal(m.n_segments, 2);
        assert_int_equal(m.segments[0].offset, 0);
        assert_int_equal(m.segments[0].length, 97);
        assert_int_equal(m.segments[0].source, 0);
        assert_int_equal(m.segments[1].offset, 100);
        assert_int_equal(m.segments[1].length, GOLDEN_SIZE);
        assert_true(m.segments[1].source == INITRD_SOURCE_CREDENTIALS);
        sources_done(&source, 1);
}

static void test_credentials_only(_unused_ void **state) {
        _cleanup_(credential_set_done) CredentialSet set = {};
        _cleanup_(merged_done) Merged m = {};

        golden_set(&set);
        merge(NULL, 0, &set, &m);
        assert_int_equal(m.size, GOLDEN_SIZE);
        assert_int_equal(m.n_segments, 1);
        assert_sha256(m.data, m.size, GOLDEN_SHA256);
}

static void test_plain(_unused_ void **state) {
        _cleanup_(merged_done) Merged m = {};
        InitrdSource sources[] = { source_new("abcde", 5), source_new("", 0), source_new("wxyz", 4),
                source_new("12", 2) };

        merge(sources, ELEMENTSOF(sources), NULL, &m);
        assert_int_equal(m.size, 14); /* nothing after the last one */
        assert_memory_equal(m.data, "abcde\0\0\0wxyz12", 14);
        assert_int_equal(m.n_segments, 4);
        assert_int_equal(m.segments[1].offset, 8);
        assert_int_equal(m.segments[1].length, 0);
        assert_int_equal(m.segments[3].offset, 12);
        assert_int_equal(m.segments[3].source, 3);
        sources_done(sources, ELEMENTSOF(sources));
}

/* The kernel takes what follows lz4's blocks for the next block's size: it must be zero. */
static void test_lz4_legacy_gap(_unused_ void **state) {
        static const char lz4[] = "\x02\x21\x4c\x18"
                                  "1234";
        _cleanup_(merged_done) Merged m = {};
        InitrdSource sources[] = { source_new(lz4, 8), source_new(lz4, 7), source_new("0707", 4) };

        merge(sources, ELEMENTSOF(sources), NULL, &m);
        assert_int_equal(m.segments[1].offset, 12);
        assert_int_equal(m.segments[2].offset, 24);
        assert_true(bytes_are_zero(m.data + 8, 4));
        assert_true(bytes_are_zero(m.data + 19, 5));
        sources_done(sources, ELEMENTSOF(sources));
}

/* An early cpio and lz4 in one file, as Ubuntu and dracut write it; nothing is added where the file ends lz4 itself. */
static void test_early_lz4_gap(_unused_ void **state) {
        static const char *const last[] = { "\x02\x21\x4c\x18\4\0\0\0wxyz", "\x02\x21\x4c\x18\3\0\0\0xyz",
                "\x02\x21\x4c\x18\4\0\0\0wxyz\0\0\0\0", "\x02\x21\x4c\x18\1\0\0\0z\0" };
        static const size_t sizes[] = { 12, 11, 16, 10 }, gaps[] = { 4, 5, 0, 6 };

        for (size_t k = 0; k < ELEMENTSOF(sizes); k++) {
                _cleanup_image_ Image early = {};
                _cleanup_(merged_done) Merged m = {};
                InitrdSource sources[2];

                image_member(&early, "early", S_IFREG | 0644, "data", 4);
                image_trailer(&early);
                image_pad(&early, 512);
                image_put(&early, last[k], sizes[k]);
                sources[0] = source_new((const char *) early.data, early.size);
                sources[1] = source_new("0707", 4);
                merge(sources, 2, NULL, &m);
                assert_int_equal(m.segments[1].offset, early.size + gaps[k]);
                assert_true(bytes_are_zero(m.data + early.size, gaps[k]));
                sources_done(sources, 2);
        }
}

static void test_large(_unused_ void **state) {
        enum { SIZE = 3 * 1024 * 1024 + 4097 };
        _cleanup_(credential_set_done) CredentialSet set = {};
        _cleanup_(merged_done) Merged m = {};
        InitrdSource sources[2];
        char *bytes = malloc(SIZE);

        assert_non_null(bytes);
        for (size_t i = 0; i < SIZE; i++)
                bytes[i] = (char) (i * 2654435761u >> 13);
        sources[0] = source_new(bytes, SIZE);
        sources[1] = source_new(bytes, SIZE - 3);
        golden_set(&set);
        merge(sources, 2, &set, &m);
        assert_int_equal(m.segments[1].offset, SIZE + 3);
        assert_memory_equal(m.data, bytes, SIZE);
        assert_memory_equal(m.data + m.segments[1].offset, bytes, SIZE - 3);
        assert_sha256(m.data + m.segments[2].offset, GOLDEN_SIZE, GOLDEN_SHA256);
        free(bytes);
        sources_done(sources, 2);
}

/* The merge leaves the position of the caller's descriptor where it was. */
static void test_position(_unused_ void **state) {
        _cleanup_(merged_done) Merged m = {};
        InitrdSource source = source_new("abcdefgh", 8);

        assert_int_equal(lseek(source.fd, 3, SEEK_SET), 3);
        merge(&source, 1, NULL, &m);
        assert_memory_equal(m.data, "abcdefgh", 8);
        assert_int_equal(lseek(source.fd, 0, SEEK_CUR), 3);
        sources_done(&source, 1);
}

static void assert_refused(const InitrdSource *source, const CredentialSet *set, const char *word) {
        InitrdMerged merged = { .memfd = -EBADF, .n_segments = 17 };
        char *error = NULL;

        assert_true(initrd_merge(source, source ? 1 : 0, set, &merged, &error) < 0);
        assert_non_null(error);
        assert_non_null(strstr(error, word));
        assert_int_equal(merged.memfd, -EBADF);
        assert_null(merged.segments);
        assert_int_equal(merged.n_segments, 17);
        free(error);
}

static void test_changing_source(_unused_ void **state) {
        _cleanup_(credential_set_done) CredentialSet set = {};
        InitrdSource source = source_new("abcdefgh", 8);

        golden_set(&set);
        source.size = 9;
        assert_refused(&source, &set, "became shorter");
        source.size = 7;
        assert_refused(&source, NULL, "grew");
        sources_done(&source, 1);
        assert_refused(&source, NULL, "cannot copy initrd 'test.img'");
        assert_refused(NULL, NULL, "neither an initrd nor a credential");
}

/* A source that sendfile() refuses is copied all the same. */
static void test_without_sendfile(_unused_ void **state) {
        _cleanup_(merged_done) Merged m = {};
        InitrdSource source = { .path = "/proc/self/auxv", .fd = fd_open("/proc/self/auxv", O_RDONLY, 0) };
        _cleanup_free_ char *expected = NULL;
        size_t size;

        assert_true(source.fd >= 0);
        assert_ok(fd_read_all(source.fd, 65536, &expected, &size));
        source.size = size;
        merge(&source, 1, NULL, &m);
        assert_int_equal(m.size, size);
        assert_memory_equal(m.data, expected, size);
        sources_done(&source, 1);
}

/* How often the bytes stand in the memory that this process can write. */
static size_t count_in_memory(const uint8_t *masked, size_t n) {
        _cleanup_close_ int fd = fd_open("/proc/self/mem", O_RDONLY, 0);
        FILE *maps = fopen("/proc/self/maps", "re");
        char line[512], access[5];
        unsigned long from, to;
        size_t found = 0;

        assert_true(fd >= 0);
        assert_non_null(maps);
        while (fgets(line, sizeof(line), maps)) {
                uint8_t *copy;

                if (sscanf(line, "%lx-%lx %4s", &from, &to, access) != 3 || access[1] != 'w')
                        continue;
                /* A mapping of our own, so that neither the heap nor this search changes what is searched. */
                copy = mmap(NULL, to - from, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                assert_true(copy != MAP_FAILED);
                if (fd_pread_exact(fd, copy, to - from, from) >= 0)
                        for (size_t i = 0; i + n <= to - from; i++) {
                                size_t k = 0;

                                while (k < n && (copy[i + k] ^ masked[k]) == 0xff)
                                        k++;
                                found += k == n;
                        }
                (void) munmap(copy, to - from);
        }
        (void) fclose(maps);
        return found;
}

/* When the set is gone and the archive handed over, no copy of a value is left: not in libarchive's buffers either. */
static void test_no_residue(_unused_ void **state) {
        enum { SIZE = 24 };
        _cleanup_(credential_set_done) CredentialSet set = {};
        InitrdSource source = source_new("abcdefgh", 8);
        InitrdMerged merged;
        uint8_t masked[SIZE];
        SecretBuf value = {};

#ifdef __SANITIZE_ADDRESS__
        /* AddressSanitizer keeps what is freed, and its own memory is too large to search. */
        sources_done(&source, 1);
        skip();
#endif
        assert_ok(secret_buf_alloc(&value, SIZE));
        for (size_t i = 0; i < SIZE; i++) {
                masked[i] = (uint8_t) (i * 7 + 3);
                value.data[i] = (uint8_t) (0xff ^ masked[i]);
        }
        assert_ok(credential_set_add(&set, "secret", &value, NULL));
        assert_int_equal(count_in_memory(masked, SIZE), 1); /* the set's: the search does find it */

        assert_ok(initrd_merge(&source, 1, &set, &merged, NULL));
        assert_int_equal(count_in_memory(masked, SIZE), 1);
        credential_set_done(&set);
        assert_int_equal(count_in_memory(masked, SIZE), 0);
        initrd_merged_done(&merged);
        sources_done(&source, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_with_credentials),
                cmocka_unit_test(test_credentials_only),
                cmocka_unit_test(test_plain),
                cmocka_unit_test(test_lz4_legacy_gap),
                cmocka_unit_test(test_early_lz4_gap),
                cmocka_unit_test(test_large),
                cmocka_unit_test(test_position),
                cmocka_unit_test(test_changing_source),
                cmocka_unit_test(test_without_sendfile),
                cmocka_unit_test(test_no_residue),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
