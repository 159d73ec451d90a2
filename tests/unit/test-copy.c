/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"

#include "copy.h"
#include "fd.h"

#define SIZE (9u << 20) /* three pieces, the last of which is a small one */

typedef struct Files {
        int from, to;
        uint8_t *bytes;
} Files;

static int set_up(void **state) {
        static Files f;

        f.from = memfd_new("from");
        f.to = memfd_new("to");
        f.bytes = malloc(SIZE);
        assert_true(f.from >= 0 && f.to >= 0);
        assert_non_null(f.bytes);
        for (size_t i = 0; i < SIZE; i++)
                f.bytes[i] = (uint8_t) (i * 7 + i / 4093);
        assert_ok(fd_write_all(f.from, f.bytes, SIZE));
        *state = &f;
        return 0;
}

static int tear_down(void **state) {
        Files *f = *state;

        (void) fd_close(f->from);
        (void) fd_close(f->to);
        free(f->bytes);
        return 0;
}

static CopyJob job(const Files *f) {
        return (CopyJob) {
                .name = "--test: 'it'", .from = f->from, .size = SIZE, .whole = true, .to = f->to
        };
}

static void assert_there(const Files *f, uint64_t at, uint64_t offset, size_t size) {
        uint8_t *p = mmap(NULL, (size_t) at + size, PROT_READ, MAP_SHARED, f->to, 0);

        assert_true(p != MAP_FAILED);
        assert_memory_equal(p + at, f->bytes + offset, size);
        assert_int_equal(munmap(p, (size_t) at + size), 0);
}

static void test_copy(void **state) {
        const Files *f = *state;
        CopyJob j = job(f);
        atomic_bool stop = false;

        assert_ok(copy_run(&j, &stop, NULL));
        assert_there(f, 0, 0, SIZE);

        j = (CopyJob) {
                .name = "x", .from = f->from, .offset = 5, .size = SIZE - 6, .to = f->to, .at = 4099
        };
        assert_ok(copy_run(&j, NULL, NULL));
        assert_there(f, 4099, 5, SIZE - 6);
        assert_int_equal(lseek(f->from, 0, SEEK_CUR), SIZE);

        j.size = 0;
        assert_ok(copy_run(&j, NULL, NULL));
}

static void assert_refused(const CopyJob *j, int error, const char *message) {
        char *text = NULL;

        assert_int_equal(copy_run(j, NULL, &text), -error);
        assert_non_null(text);
        assert_string_equal(text, message);
        free(text);
}

static void test_changes(void **state) {
        const Files *f = *state;
        CopyJob j = job(f);

        j.size = SIZE + 1;
        assert_refused(&j, ESTALE, "--test: 'it' became shorter than 9437185 bytes while it was read");
        j.size = SIZE - 1;
        assert_refused(&j, ESTALE, "--test: 'it' grew beyond 9437183 bytes while it was read");
        j.whole = false;
        assert_ok(copy_run(&j, NULL, NULL));
        j.from = -EBADF;
        assert_refused(&j, EBADF, "cannot copy --test: 'it' into memory: Bad file descriptor");
        j = job(f);
        j.at = UINT64_MAX;
        assert_refused(&j, EOVERFLOW,
                        "cannot copy --test: 'it' into memory: Value too large for defined data type");
        j = job(f);
        assert_ok(memfd_seal(f->to));
        assert_refused(&j, EPERM, "cannot copy --test: 'it' into memory: Operation not permitted");
}

static void test_stop(void **state) {
        CopyJob j = job(*state);
        atomic_bool stop = true;
        char *text = NULL;

        assert_int_equal(copy_run(&j, &stop, &text), -ECANCELED);
        assert_null(text);
        assert_int_equal(lseek(j.to, 0, SEEK_END), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_copy, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_changes, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_stop, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
