/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* SEV and SEV-ES pin all of the guest's memory: the kernel counts it against RLIMIT_MEMLOCK of QEMU and answers ENOMEM long after start
 * (Linux arch/x86/kvm/svm/sev.c, sev_pin_memory()). SNP converts pages instead and pins none. */

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "confine.h"
#include "error.h"
#include "overflow.h"
#include "run-confine.h"

#define MIB      (UINT64_C(1) << 20)
#define BEYOND   (256 * MIB) /* firmware, option ROMs, and what QEMU pins besides */
#define NO_LIMIT ((uint64_t) RLIM_INFINITY)

int run_choose_memlock(const VmConfig *config, QemuUser *user, char **ret_notice, char **reterr) {
        struct rlimit now;
        uint64_t wanted;

        if (config->simulate || !coco_of(config->coco)->host.pins_memory)
                return 0;
        if (getrlimit(RLIMIT_MEMLOCK, &now) < 0)
                return -errno;
        if (!add_u64(config->ram, BEYOND, &wanted))
                return -EOVERFLOW;
        if (now.rlim_cur == NO_LIMIT || now.rlim_cur >= wanted)
                return 0;
        if (now.rlim_max == NO_LIMIT || now.rlim_max >= wanted ||
                        confine_has_capability("cap_sys_resource")) {
                user->memlock = wanted;
                return 0;
        }
        /* Who may lock at will has no limit, but cannot hand that over to another user. */
        if (geteuid() == 0 && confine_has_capability("cap_ipc_lock") &&
                        !(user->change && config->qemu_user)) {
                if (!user->change)
                        return 0;
                user->change = false;
                return asprintf(ret_notice,
                                       "QEMU runs as this user: another one may lock only %llu MiB, and this process may not raise that limit",
                                       (unsigned long long) (now.rlim_max / MIB)) < 0
                                ? -ENOMEM
                                : 0;
        }
        return error_set(reterr, -EPERM,
                        "--coco=%s locks all guest memory: %llu MiB are needed, but the limit here is %llu MiB: raise it (ulimit -l %llu, LimitMEMLOCK= of a unit, or memlock in limits.conf(5)), reduce --ram=, or run as root",
                        coco_mode_to_string(config->coco), (unsigned long long) (wanted / MIB),
                        (unsigned long long) (now.rlim_max / MIB), (unsigned long long) (wanted / 1024));
}

int run_raise_memlock(const QemuUser *user) {
        struct rlimit limit;

        if (user->memlock == 0)
                return 0;
        if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
                return -errno;
        limit.rlim_cur = user->memlock;
        if (limit.rlim_max < user->memlock)
                limit.rlim_max = user->memlock;
        return setrlimit(RLIMIT_MEMLOCK, &limit) < 0 ? -errno : 0;
}
