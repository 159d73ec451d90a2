/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

#include "compose.h"
#include "host-passed.h"
#include "strutil.h"

static void say(const char *pid, const char *count, const char *names) {
        if (pid)
                (void) setenv("LISTEN_PID", pid, 1);
        else
                (void) unsetenv("LISTEN_PID");
        (void) setenv("LISTEN_FDS", count, 1);
        (void) setenv("LISTEN_FDNAMES", names, 1);
}

/* 3 and 4 are devices, 5 is a file. */
static void files_by_their_names(_unused_ void **state) {
        static const struct {
                const char *count, *names;
                int kvm, vsock;
                const char *unknown;
        } cases[] = {
                { "2", "kvm:vhost-vsock", 3, 4, "" },
                { "2", "vhost-vsock:kvm", 4, 3, "" },
                { "3", "kvm:other:vhost-vsock", 3, 0, "other vhost-vsock" },
                { "2", "kvm", 3, 0, "unknown" },
                { "0", "kvm", 0, 0, "" },
                { "65", "kvm", 0, 0, "" },
                { "x", "kvm", 0, 0, "" },
        };
        char self[16];

        (void) snprintf(self, sizeof(self), "%d", (int) getpid());
        for (int fd = 3; fd <= 5; fd++) {
                int from = open(fd < 5 ? "/dev/null" : "/proc/self/status", O_RDONLY | O_CLOEXEC);

                assert_true(from >= 0);
                if (from != fd) {
                        assert_int_equal(dup2(from, fd), fd);
                        (void) close(from);
                }
        }
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_strv_free_ char **unknown = NULL;
                _cleanup_free_ char *text = NULL;
                HostCaps caps = {};

                say(self, cases[i].count, cases[i].names);
                assert_ok(host_take_passed(&caps, &unknown));
                assert_int_equal(caps.kvm_fd, cases[i].kvm);
                assert_int_equal(caps.vsock_fd, cases[i].vsock);
                text = strv_join(unknown, " ");
                assert_string_equal(text, cases[i].unknown);
        }
        for (size_t i = 0; i < 2; i++) {
                _cleanup_strv_free_ char **unknown = NULL;
                HostCaps caps = {};

                say(i == 0 ? NULL : "1", "2", "kvm:vhost-vsock");
                assert_ok(host_take_passed(&caps, &unknown));
                assert_true(caps.kvm_fd == 0 && caps.vsock_fd == 0 && !unknown);
        }
}

/* QEMU gets KVM as a set of descriptors, and opens no device by name. */
static void qemu_gets_kvm(_unused_ void **state) {
        LaunchChoices choices = { .kvm = true, .console = CONSOLE_HEADLESS };
        HostCaps caps = { .qemu = (char *) "/bin/qemu" };
        LaunchInputs in = {};
        VmConfig config;

        vm_config_init(&config);
        for (int passed = 0; passed < 2; passed++) {
                _cleanup_(qemu_command_done) QemuCommand c = {};
                _cleanup_free_ char *text = NULL, *set = NULL;
                bool handed = false;

                choices.kvm_fd = passed ? 3 : 0;
                assert_ok(compose_qemu(&config, &in, &caps, &choices, &c, NULL));
                text = strv_join(c.argv, " ");
                assert_true(asprintf(&set, "-add-fd fd=%d,set=3,opaque=/dev/kvm -accel kvm,device=/dev/fdset/3 -machine q35,hpet",
                                            LAUNCH_FD_KVM) > 0);
                for (size_t i = 0; i < c.n_fds; i++)
                        handed = handed || c.fds[i] == LAUNCH_FD_KVM;
                assert_int_equal(strstr(text, set) != NULL, passed);
                assert_int_equal(strstr(text, "-machine q35,accel=kvm,hpet") != NULL, !passed);
                assert_int_equal(handed, passed);
        }
        vm_config_done(&config);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(files_by_their_names),
                cmocka_unit_test(qemu_gets_kvm),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
