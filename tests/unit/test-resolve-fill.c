/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The second step of a launch's preparation: copies into memory files that QEMU has already. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#include "fd.h"
#include "ovmf-image.h"
#include "resolve.h"
#include "strutil.h"

#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

static int file_of(const void *p, size_t n) {
        int fd = memfd_new("source");

        assert_true(fd >= 0);
        assert_ok(fd_write_all(fd, p, n));
        return fd;
}

static void add(LaunchInputs *in, LaunchFd to, uint64_t at, const char *text, uint64_t size) {
        assert_ok(launch_inputs_add_copy(in,
                        (LaunchCopy) { .to = to,
                                        .at = at,
                                        .from = file_of(text, strlen(text)),
                                        .name = strdup(text),
                                        .size = size,
                                        .whole = true }));
}

static void assert_content(int fd, const char *text, size_t n) {
        char buf[64] = {};

        assert_true(n < sizeof(buf));
        assert_ok(fd_pread_exact(fd, buf, n, 0));
        assert_memory_equal(buf, text, n);
        assert_int_equal(fcntl(fd, F_GET_SEALS), SEALS);
}

static void test_fill(_unused_ void **state) {
        _cleanup_(launch_inputs_done) LaunchInputs in = {};
        const VmConfig config = {};
        atomic_bool stop = true;
        char *error = NULL;

        assert_ok(launch_inputs_new_file(&in, 4, LAUNCH_FD_KERNEL, &in.kernel));
        assert_string_equal(in.kernel, "/proc/self/fd/112");
        assert_ok(launch_inputs_new_file(&in, 12, LAUNCH_FD_INITRD, &in.initrd));
        add(&in, LAUNCH_FD_KERNEL, 0, "vmlinuz", 7 - 3);
        in.copies[0].whole = false;
        add(&in, LAUNCH_FD_INITRD, 0, "abc", 3);
        add(&in, LAUNCH_FD_INITRD, 4, "defg", 4);

        assert_error(resolve_fill(&config, &in, &stop, &error), ECANCELED);
        assert_null(error);
        assert_int_equal(in.n_copies, 3);

        /* Sealed in turn, and not done again: the last one fails at first. */
        in.copies[2].size = 5;
        stop = false;
        assert_error(resolve_fill(&config, &in, &stop, &error), ESTALE);
        assert_non_null(strstr(error, "defg became shorter"));
        free(error);
        error = NULL;
        assert_content(LAUNCH_FD_KERNEL, "vmli", 4);
        assert_int_equal(fcntl(LAUNCH_FD_INITRD, F_GET_SEALS), 0);

        in.copies[2].size = 4;
        assert_ok(resolve_fill(&config, &in, &stop, NULL));
        assert_content(LAUNCH_FD_INITRD, "abc\0defg\0\0\0\0", 12);
        assert_int_equal(in.n_copies, 0);
        assert_ok(resolve_fill(&config, &in, NULL, NULL));
}

/* A file of 64 KiB, which ends as the image does. */
static void write_image(const char *path, const ImageSpec *spec) {
        static uint8_t bytes[65536];
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        image_build(spec, bytes + sizeof(bytes) - IMAGE_SIZE);
        assert_true(fd >= 0);
        assert_ok(fd_write_all(fd, bytes, sizeof(bytes)));
}

/* What is handed over is what was looked at: the tables of the copy are read again. */
static void test_firmware(_unused_ void **state) {
        char path[] = "/tmp/test-resolve-fill-XXXXXX";
        const ResolveOptions options = { .for_launch = true };
        VmConfig config = {};
        ImageSpec other = image_amdsev;
        int fd = mkostemp(path, O_CLOEXEC);

        assert_true(fd >= 0);
        (void) fd_close(fd);
        vm_config_init(&config);
        config.coco = COCO_SEV_SNP;
        config.firmware = FIRMWARE_PATH;
        config.firmware_path = path;
        other.hash_base += 0x1000;

        for (int change = 0; change < 3; change++) {
                _cleanup_(launch_inputs_done) LaunchInputs in = {};
                _cleanup_free_ char *error = NULL;

                write_image(path, &image_amdsev);
                assert_ok(resolve_firmware_for(&config, &options, &in, &error));
                assert_int_equal(in.n_copies, 1);
                assert_int_equal(in.table_gpa, image_amdsev.hash_base);
                if (change == 1)
                        write_image(path, &other);
                if (change == 2)
                        assert_int_equal(truncate(path, 4096), 0);
                if (change == 0) {
                        assert_ok(resolve_fill(&config, &in, NULL, &error));
                        assert_int_equal(fcntl(LAUNCH_FD_FIRMWARE, F_GET_SEALS), SEALS);
                } else {
                        assert_error(resolve_fill(&config, &in, NULL, &error), ESTALE);
                        assert_non_null(strstr(error,
                                        change == 1 ? "changed while it was read" : "became shorter"));
                }
        }
        config.firmware_path = NULL;
        vm_config_done(&config);
        assert_int_equal(unlink(path), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_fill), cmocka_unit_test(test_firmware) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
