/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who QEMU runs as, and what the launcher gives up once QEMU runs. */

#include <sys/types.h>

#include "launch.h"

struct ConfineFilter;

typedef struct QemuUser {
        bool change; /* else QEMU keeps the launcher's user */
        uid_t uid;
        gid_t gid;
        bool devices;     /* /dev/kvm and /dev/sev as nodes of its group, in its own mount namespace */
        uint64_t memlock; /* bytes that it must be allowed to lock; 0: the limit is left as it is */
} QemuUser;

/* Decides by --qemu-user=, our own user and what is permitted here. Where another user was not possible, *ret_notice (owned) says why in
 * one line. */
_warn_unused_result_ int run_choose_user(const VmConfig *config, const char *qemu, bool kvm, QemuUser *ret,
                char **ret_notice, char **reterr);
/* SEV and SEV-ES: whether the limit of locked memory is enough or can be raised, else -EPERM with an error message. Where only our own user
 * may lock that much, QEMU keeps it, and *ret_notice (owned) says so. */
_warn_unused_result_ int run_choose_memlock(
                const VmConfig *config, QemuUser *user, char **ret_notice, char **reterr);
/* Raises it for the calling process: 0 or -errno. */
_warn_unused_result_ int run_raise_memlock(const QemuUser *user);
/* In the child, before exec. */
int run_become_qemu(void *userdata /* const QemuUser * */);

/* In the launcher, before `cont`. -EOPNOTSUPP where the kernel has no Landlock: the rest is done. */
_warn_unused_result_ int run_confine_self(
                const QemuUser *user, const struct ConfineFilter *filter, int files_in, int folders_in);
/* Its filter of system calls (owned, to be freed), built before anything is started. */
_warn_unused_result_ int run_confine_prepare(struct ConfineFilter **ret);
/* What the two amount to, for --print=confinement. */
_warn_unused_result_ int run_confinement_json(const QemuUser *user, Json **ret);
