/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The guest's program against a kernel that the test plays: ioctl(2) on /dev/sev-guest, and a directory that fills like configfs when an
 * entry is made in it. The linker's --wrap puts the test in between. */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#include "crypto-hash.h"
#include "fd.h"
#include "guest-abi.h"
#include "guest-device.h"
#include "guest-sha512.h"
#include "strutil.h"

int __real_ioctl(int fd, unsigned long number, void *p);
int __wrap_ioctl(int fd, unsigned long number, void *p);
int __real_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode);
int __real_rmdir(const char *path);
int __wrap_rmdir(const char *path);
int __real_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...);

static struct {
        size_t certs;         /* bytes that the host has; 0: none */
        uint32_t vmm_error;   /* every request fails so */
        uint32_t status;      /* the firmware's answer */
        uint32_t report_size; /* as the answer says */
        unsigned n_requests, n_entries;
        bool old_kernel; /* knows no extended request */
        bool growing;    /* the host has more certificates each time */
        uint32_t vmpl;   /* the guest's own */
        uint8_t change;  /* of the report data, by a device that is not honest */
        unsigned generation, races, busy;
        const char *provider;
        SevGuestKeyRequest key;
        uint8_t key_version;
} kernel;

static int answer_report(const SevGuestRequest *q, const uint8_t *data, uint32_t vmpl) {
        uint8_t *response = (uint8_t *) (uintptr_t) q->response;
        uint32_t status = kernel.status ?: vmpl < kernel.vmpl ? 0x16 : 0;

        memset(response, 0, SEV_GUEST_RESPONSE_SIZE);
        memcpy(response, &status, 4);
        memcpy(response + 4, &kernel.report_size, 4);
        memset(response + 32, 0x77, 1184);
        response[32 + 0x30] = (uint8_t) vmpl;
        memcpy(response + 32 + 0x50, data, 64);
        response[32 + 0x50] ^= kernel.change;
        return 0;
}

static int fail_with(int code) {
        errno = code;
        return -1;
}

int __wrap_ioctl(int fd, unsigned long number, void *p) {
        const void *body;
        SevGuestRequest *q = p;

        (void) fd;
        kernel.n_requests++;
        body = (const void *) (uintptr_t) q->request;
        if (kernel.vmm_error) {
                q->vmm_error = kernel.vmm_error;
                return fail_with(EIO);
        }
        if (number == SEV_GUEST_GET_EXTENDED_REPORT) {
                SevGuestExtendedRequest *e = (SevGuestExtendedRequest *) (uintptr_t) q->request;

                if (kernel.old_kernel)
                        return fail_with(ENOTTY);
                if (e->certs_size > 16384)
                        return fail_with(EINVAL); /* before anything is sent */
                if (kernel.growing)
                        kernel.certs = e->certs_size + 1;
                if (e->certs_size < kernel.certs) {
                        e->certs_size = (uint32_t) kernel.certs;
                        q->vmm_error = SEV_GUEST_VMM_INVALID_LEN;
                        return fail_with(EIO);
                }
                if (kernel.certs > 0)
                        memset((void *) (uintptr_t) e->certs_address, 0x55, kernel.certs);
                return answer_report(q, e->report.data, e->report.vmpl);
        }
        if (number == SEV_GUEST_GET_REPORT) {
                const SevGuestReportRequest *r = body;

                return answer_report(q, r->data, r->vmpl);
        }
        assert_int_equal(number, SEV_GUEST_GET_DERIVED_KEY);
        kernel.key = *(const SevGuestKeyRequest *) body;
        kernel.key_version = q->message_version;
        memset((void *) (uintptr_t) q->response, 0, 64);
        memcpy((void *) (uintptr_t) q->response, &kernel.status, 4);
        memset((uint8_t *) (uintptr_t) q->response + 32, 0x66, 32);
        return 0;
}

static void put_file(const char *dir, const char *name, const void *p, size_t n) {
        _cleanup_close_ int fd = -EBADF;
        char path[4096];

        (void) snprintf(path, sizeof(path), "%.4000s/%s", dir, name);
        fd = fd_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_true(fd >= 0);
        assert_ok(fd_write_all(fd, p, n));
}

/* What configfs makes of an entry, with an answer prepared. */
int __wrap_mkdir(const char *path, mode_t mode) {
        int r = __real_mkdir(path, mode);

        if (r == 0 && strstr(path, "/cvmspawn-")) {
                char floor[16];

                kernel.n_entries++;
                (void) snprintf(floor, sizeof(floor), "%u\n", kernel.vmpl);
                put_file(path, "inblob", "", 0);
                put_file(path, "privlevel", "", 0);
                put_file(path, "privlevel_floor", floor, strlen(floor));
                put_file(path, "generation", "", 0);
                put_file(path, "provider", kernel.provider, strlen(kernel.provider));
                put_file(path, "outblob", "", 0);
                put_file(path, "auxblob", "table", kernel.certs > 0 ? 5 : 0);
        }
        return r;
}

static void put_at(int dir, const char *name, const void *p, size_t n) {
        _cleanup_close_ int fd = __real_openat64(dir, name, O_WRONLY | O_TRUNC | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_ok(fd_write_all(fd, p, n));
}

/* openat() as the compiler names it with _FILE_OFFSET_BITS=64. An attribute is filled when it is opened, and each opening for writing counts as a write. */
int __wrap_openat64(int dir, const char *name, int flags, ...) {
        if ((flags & O_ACCMODE) == O_WRONLY)
                kernel.generation++;
        else if (streq(name, "generation")) {
                char number[16];

                (void) snprintf(number, sizeof(number), "%u\n", kernel.generation);
                put_at(dir, name, number, strlen(number));
        } else if (streq(name, "outblob")) {
                _cleanup_close_ int fd = __real_openat64(dir, "inblob", O_RDONLY | O_CLOEXEC);
                uint8_t report[1184];

                if (kernel.busy > 0) {
                        kernel.busy--;
                        return fail_with(EBUSY);
                }
                if (kernel.races > 0) {
                        kernel.races--;
                        kernel.generation++;
                }
                memset(report, 0x33, sizeof(report));
                assert_ok(fd_read_exact(fd, report + 0x50, 64));
                put_at(dir, name, report, kernel.report_size);
        }
        return __real_openat64(dir, name, flags);
}

int __wrap_rmdir(const char *path) {
        static const char *const names[] = { "inblob", "privlevel", "privlevel_floor", "generation",
                "provider", "outblob", "auxblob" };
        char file[4096];

        for (size_t i = 0; i < ELEMENTSOF(names) && strstr(path, "/cvmspawn-"); i++) {
                (void) snprintf(file, sizeof(file), "%.4000s/%s", path, names[i]);
                (void) unlink(file);
        }
        return __real_rmdir(path);
}

static int reset(_unused_ void **state) {
        memset(&kernel, 0, sizeof(kernel));
        kernel.report_size = 1184;
        kernel.provider = "sev_guest\n";
        return 0;
}

static void ask(uint32_t vmpl, GuestReport *ret) {
        uint8_t data[GUEST_REPORT_DATA];
        char *error = NULL;

        memset(data, 0x11, sizeof(data));
        if (guest_report_by_device("/dev/null", data, vmpl, ret, &error) < 0)
                fail_msg("%s", error);
        assert_int_equal(ret->report_size, 1184);
        assert_int_equal(ret->report[0x50], 0x11);
}

static void reports_come_with_what_the_host_has(_unused_ void **state) {
        GuestReport r = {};

        ask(2, &r);
        assert_null(r.certs);
        assert_int_equal(r.report[0x30], 2);
        assert_int_equal(kernel.n_requests, 1);
        guest_report_done(&r);

        kernel.certs = 5000;
        ask(GUEST_VMPL_ANY, &r);
        assert_int_equal(r.certs_size, 8192);
        assert_int_equal(r.certs[4999], 0x55);
        assert_int_equal(kernel.n_requests, 3);
        guest_report_done(&r);

        kernel.old_kernel = true;
        ask(0, &r);
        assert_null(r.certs);
        guest_report_done(&r);
}

static void expect_refusal(const char *sentence) {
        uint8_t data[GUEST_REPORT_DATA] = {};
        char *error = NULL;
        GuestReport r = {};

        assert_true(guest_report_by_device("/dev/null", data, 0, &r, &error) < 0);
        assert_non_null(error);
        if (!strstr(error, sentence))
                fail_msg("'%s' lacks '%s'", error, sentence);
        assert_null(r.report);
        free(error);
}

static void refusals_are_explained(_unused_ void **state) {
        kernel.vmm_error = SEV_GUEST_VMM_BUSY;
        expect_refusal("limits the rate");
        kernel.vmm_error = 0;
        kernel.status = 0x16;
        expect_refusal("status 0x16");
        kernel.status = 0;
        kernel.report_size = 5000; /* more than the answer holds */
        expect_refusal("5000 bytes");
        kernel.report_size = 1000;
        expect_refusal("has 1000 bytes, but an SNP report has 1184");
        kernel.report_size = 1184;
        kernel.change = 1;
        expect_refusal("differs from the requested data");
}

/* The certificates can be had elsewhere: a report without them is still one. */
static void certificates_out_of_reach_cost_no_report(_unused_ void **state) {
        static const struct {
                size_t certs;
                bool growing;
                const char *note;
        } rows[] = {
                { 10u * 1024 * 1024, false, "declares 10485760 bytes" },
                { 20000, false, "has 20480 bytes of certificates, which is more than this kernel accepts" },
                { 1, true, "more certificates with each request" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                GuestReport r = {};

                kernel.certs = rows[i].certs;
                kernel.growing = rows[i].growing;
                ask(0, &r);
                assert_null(r.certs);
                assert_int_equal(r.certs_size, 0);
                if (!strstr(r.note, rows[i].note))
                        fail_msg("'%s' lacks '%s'", r.note, rows[i].note);
                guest_report_done(&r);
        }
}

static void the_own_level_is_found(_unused_ void **state) {
        GuestReport r = {};

        kernel.vmpl = 2;
        ask(GUEST_VMPL_ANY, &r);
        assert_int_equal(r.report[0x30], 2);
        assert_int_equal(kernel.n_requests, 3);
        guest_report_done(&r);
        expect_refusal("status 0x16"); /* who names a level gets that one or none */
        kernel.status = 0x16;          /* refused for another reason: not asked for ever */
        kernel.n_requests = 0;
        expect_refusal("status 0x16");
        assert_int_equal(kernel.n_requests, 1);
}

static void keys_carry_every_field(_unused_ void **state) {
        GuestKeyRequest q = {
                .root_key = 1, .fields = 0x3f, .vmpl = 2, .guest_svn = 7, .tcb = 0xdb18000000000004
        };
        uint8_t key[GUEST_KEY_SIZE];

        assert_ok(guest_derive_key("/dev/null", &q, key, NULL));
        assert_int_equal(key[0], 0x66);
        assert_int_equal(kernel.key_version, 1);
        assert_int_equal(kernel.key.root_key_select, 1);
        assert_int_equal(kernel.key.field_select, 0x3f);
        assert_int_equal(kernel.key.vmpl, 2);
        assert_int_equal(kernel.key.guest_svn, 7);
        assert_true(kernel.key.tcb_version == q.tcb);

        q.fields |= GUEST_KEY_LAUNCH_MIT;
        q.launch_mit_vector = 0xb;
        assert_ok(guest_derive_key("/dev/null", &q, key, NULL));
        assert_int_equal(kernel.key_version, 2);
        assert_int_equal(kernel.key.launch_mit_vector, 0xb);
        kernel.status = 0x27;
        assert_error(guest_derive_key("/dev/null", &q, key, NULL), EIO);
}

static char tree[] = "/tmp/test-guest-XXXXXX";

static int make_tree(void **state) {
        strcpy(tree + sizeof(tree) - 7, "XXXXXX");
        return mkdtemp(tree) ? reset(state) : -1;
}

/* Every test leaves it empty. */
static int remove_tree(_unused_ void **state) {
        return rmdir(tree);
}

static const uint8_t wanted[GUEST_REPORT_DATA] = { 1, 2, 3 };

static void ask_tree(uint32_t vmpl, GuestReport *ret) {
        char *error = NULL;

        if (guest_report_by_tsm(tree, wanted, vmpl, ret, &error) < 0)
                fail_msg("%s", error);
        assert_int_equal(ret->report_size, 1184);
        assert_memory_equal(ret->report + 0x50, wanted, sizeof(wanted));
        assert_string_equal(ret->interface, "tsm: sev_guest");
}

static void refused_by_tree(uint32_t vmpl, int number, const char *sentence) {
        char *error = NULL;
        GuestReport r = {};

        assert_error(guest_report_by_tsm(tree, wanted, vmpl, &r, &error), number);
        if (!strstr(error, sentence))
                fail_msg("'%s' lacks '%s'", error, sentence);
        assert_null(r.report);
        free(error);
}

static void the_tree_answers_and_is_left_clean(_unused_ void **state) {
        GuestReport r = {};

        kernel.certs = kernel.vmpl = 1;
        ask_tree(1, &r);
        assert_int_equal(r.certs_size, 5);
        assert_int_equal(kernel.n_entries, 1);
        assert_int_equal(kernel.generation, 2);
        guest_report_done(&r);
        ask_tree(GUEST_VMPL_ANY, &r); /* the floor is set */
        assert_int_equal(kernel.generation, 4);
        guest_report_done(&r);
        refused_by_tree(0, EINVAL, "runs at VMPL 1");
        kernel.report_size = 1000;
        refused_by_tree(1, EBADMSG, "has 1000 bytes");
}

static void others_at_the_entry_are_waited_out(_unused_ void **state) {
        GuestReport r = {};

        kernel.races = 3;
        ask_tree(GUEST_VMPL_ANY, &r);
        guest_report_done(&r);
        kernel.busy = 3;
        ask_tree(GUEST_VMPL_ANY, &r);
        guest_report_done(&r);
        kernel.races = UINT32_MAX;
        refused_by_tree(GUEST_VMPL_ANY, EAGAIN,
                        "another process wrote to our TSM entry in each of 8 attempts");
        kernel.busy = UINT32_MAX;
        refused_by_tree(GUEST_VMPL_ANY, EAGAIN, "was busy 8 times");
}

static void trees_of_others_are_refused(_unused_ void **state) {
        char name[4096];

        kernel.provider = "tdx_guest\n";
        refused_by_tree(GUEST_VMPL_ANY, EBADMSG, "is not a quote");
        refused_by_tree(1, EINVAL, "a TD has no privilege levels");
        kernel.provider = "other_guest\n";
        refused_by_tree(GUEST_VMPL_ANY, EOPNOTSUPP,
                        "from 'other_guest' here, not from sev_guest or tdx_guest");
        /* Names of ours that somebody left. */
        kernel.provider = "sev_guest\n";
        for (unsigned i = 0; i < 8; i++) {
                GuestReport r = {};

                ask_tree(GUEST_VMPL_ANY, &r);
                guest_report_done(&r);
                (void) snprintf(name, sizeof(name), "%s/cvmspawn-%d-%u", tree, getpid(), i);
                assert_int_equal(__real_mkdir(name, 0700), 0);
        }
        refused_by_tree(GUEST_VMPL_ANY, EEXIST, "too many entries");
        for (unsigned i = 0; i < 8; i++) {
                (void) snprintf(name, sizeof(name), "%s/cvmspawn-%d-%u", tree, getpid(), i);
                assert_int_equal(__real_rmdir(name), 0);
        }
        /* No tree at all. */
        assert_int_equal(rmdir(tree), 0);
        refused_by_tree(GUEST_VMPL_ANY, ENOENT, "configfs is not mounted");
        assert_int_equal(mkdir(tree, 0700), 0);
}

static void sha512_is_sha512(_unused_ void **state) {
        uint8_t data[600], ours[GUEST_SHA512_SIZE], theirs[SHA512_SIZE];

        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (uint8_t) (i * 7);
        for (size_t n = 0; n <= sizeof(data); n++) {
                guest_sha512(data, n, ours);
                assert_ok(hash_digest(HASH_SHA512, data, n, theirs));
                assert_memory_equal(ours, theirs, sizeof(ours));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(reports_come_with_what_the_host_has, reset),
                cmocka_unit_test_setup(refusals_are_explained, reset),
                cmocka_unit_test_setup(keys_carry_every_field, reset),
                cmocka_unit_test_setup(certificates_out_of_reach_cost_no_report, reset),
                cmocka_unit_test_setup(the_own_level_is_found, reset),
                cmocka_unit_test_setup_teardown(the_tree_answers_and_is_left_clean, make_tree, remove_tree),
                cmocka_unit_test_setup_teardown(others_at_the_entry_are_waited_out, make_tree, remove_tree),
                cmocka_unit_test_setup_teardown(trees_of_others_are_refused, make_tree, remove_tree),
                cmocka_unit_test(sha512_is_sha512),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
