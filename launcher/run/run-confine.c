/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-confine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "confine.h"
#include "error.h"
#include "run-guard.h"
#include "strutil.h"

#define QEMU_USER "cvmspawn-qemu" /* data/units/cvmspawn.sysusers.conf */

static const char *const devices[] = { "/dev/kvm", "/dev/sev" };

/* With QEMU running as somebody else, ending it by signal is the one privilege that is still needed. */
static const char *const kept_capabilities[] = { "cap_kill" };

/* What the event loop, the forwarding of bytes, notifications and the end of the children take. */
static const char *const system_calls[] = {
        "accept4",
        "brk",
        "clock_gettime",
        "clock_nanosleep",
        "close",
        "connect",
        "dup",
        "epoll_create1",
        "epoll_ctl",
        "epoll_pwait",
        "epoll_wait",
        "exit",
        "exit_group",
        "fcntl",
        "fstat",
        "futex",
        "getegid",
        "geteuid",
        "getgid",
        "getpid",
        "getrandom",
        "getsockname",
        "getsockopt",
        "gettid",
        "getuid",
        "ioctl",
        "kill",
        "lseek",
        "madvise",
        "mmap",
        "mprotect",
        "mremap",
        "munlock",
        "munmap",
        "newfstatat",
        "pidfd_send_signal",
        "poll",
        "ppoll",
        "pread64",
        "read",
        "recvfrom",
        "recvmsg",
        "restart_syscall",
        "rseq",
        "rt_sigaction",
        "rt_sigprocmask",
        "rt_sigreturn",
        "sendmsg",
        "sendto",
        "setsockopt",
        "shutdown",
        "signalfd4",
        CONFINE_SOCKET_UNIX,
        "statx",
        "tgkill",
        "timerfd_create",
        "timerfd_settime",
        "uname",
        "unlinkat",
        "wait4",
        "waitid",
        "write",
        "writev",
};

/* 0, -EACCES when that user cannot execute QEMU, -EPERM when becoming it, or giving it devices, is not permitted. */
static int try_user(const QemuUser *user, const char *qemu) {
        if (user->devices && !confine_can_mount())
                return -EPERM;
        return confine_check_execute(&(const ConfineUser) { .uid = user->uid, .gid = user->gid }, qemu);
}

int run_choose_user(const VmConfig *config, const char *qemu, bool kvm, QemuUser *ret, char **ret_notice,
                char **reterr) {
        QemuUser u = { .change = true, .devices = kvm };
        ConfineUser user;
        int r;

        *ret = (QemuUser) {};
        if (config->qemu_user) {
                r = confine_lookup_user(config->qemu_user, &user);
                if (r < 0)
                        return error_set(reterr, r, "--qemu-user: unknown user '%s'", config->qemu_user);
                if (user.uid == geteuid())
                        return 0;
                if (geteuid() != 0)
                        return error_set(reterr, -EPERM,
                                        "--qemu-user: only root can run QEMU as another user");
        } else {
                if (geteuid() != 0)
                        return 0;
                r = confine_find_user(QEMU_USER, "kvm", &user);
                if (r < 0)
                        return error_set(reterr, r,
                                        "no unused user id for QEMU; name a user with --qemu-user=");
        }

        /* What we cannot execute ourselves is told when it is started. */
        if (qemu && access(qemu, X_OK) < 0)
                return 0;
        u.uid = user.uid;
        u.gid = user.gid;
        r = qemu ? try_user(&u, qemu) : 0;
        if (r == 0) {
                *ret = u;
                return 0;
        }
        if (config->qemu_user)
                return r == -EACCES ? error_set(reterr, r, "--qemu-user: user '%s' cannot execute '%s'",
                                                      config->qemu_user, qemu)
                                    : error_set(reterr, r, "--qemu-user: cannot become '%s': %s",
                                                      config->qemu_user, strerror(-r));
        if (asprintf(ret_notice, "QEMU runs as this user: %s %s",
                            r == -EACCES ? "another one cannot execute"
                                         : "changing it is not permitted here,",
                            r == -EACCES ? qemu : strerror(-r)) < 0)
                return -ENOMEM;
        return 0;
}

int run_become_qemu(void *userdata) {
        const QemuUser *u = userdata;
        int r;

        /* Another user may not raise it any more. */
        r = run_raise_memlock(u);
        if (r < 0)
                return r;
        if (u->change) {
                if (u->devices) {
                        r = confine_private_devices(devices, ELEMENTSOF(devices), u->gid);
                        if (r < 0)
                                return r;
                }
                r = confine_become_user(&(const ConfineUser) { .uid = u->uid, .gid = u->gid });
                if (r < 0)
                        return r;
        }
        return confine_no_new_privileges();
}

int run_confine_prepare(ConfineFilter **ret) {
        ConfineFilter *filter = malloc(sizeof(ConfineFilter));
        int r;

        if (!filter)
                return -ENOMEM;
        r = confine_filter_build(system_calls, ELEMENTSOF(system_calls), filter);
        if (r < 0)
                free(filter);
        else
                *ret = filter;
        return r;
}

int run_confine_self(const QemuUser *user, const ConfineFilter *filter, int files_in, int folders_in) {
        int files, r;

        r = confine_no_new_privileges();
        if (r >= 0)
                r = confine_capabilities(
                                kept_capabilities, user->change ? ELEMENTSOF(kept_capabilities) : 0);
        if (r < 0)
                return r;
        files = confine_files_but_removal(files_in, folders_in);
        if (files < 0 && files != -EOPNOTSUPP)
                return files;
        r = confine_memory();
        if (r < 0 && r != -EOPNOTSUPP)
                return r;
        /* The event loop watches the time alone from here on. */
        run_guard_stop();
        run_guard_unwatch();
        r = confine_filter_install(filter);
        return r < 0 ? r : files;
}

int run_confinement_json(const QemuUser *user, Json **ret) {
        Json *calls = js_array();

        for (size_t i = 0; i < ELEMENTSOF(system_calls); i++)
                if (js_append(calls, js_string(system_calls[i])) < 0)
                        return -ENOMEM;
        return js_build(ret, "{s:{s:b, s:s, s:b, s:o, s:b, s:s, s:b}, s:{s:b, s:o, s:s, s:o}}", "qemu",
                        "no-new-privileges", true, "sandbox", LAUNCH_SANDBOX, "other-user", user->change,
                        "uid", user->change ? js_u64(user->uid) : js_null(), "own-devices",
                        user->change && user->devices, "descriptors", "its own only", "dies-with-launcher",
                        true, "launcher", "no-new-privileges", true, "capabilities",
                        user->change ? js_string("cap_kill") : js_null(), "files",
                        "none can be opened once the guest runs", "system-calls", calls);
}
