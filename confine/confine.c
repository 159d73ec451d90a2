/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "confine.h"

#include <errno.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"

int confine_no_new_privileges(void) {
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static int drop_bounding(const cap_value_t *keep, size_t n) {
        for (cap_value_t c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++) {
                bool kept = false;

                for (size_t i = 0; i < n; i++)
                        kept = kept || keep[i] == c;
                if (!kept && cap_drop_bound(c) < 0 && errno != EPERM)
                        return -errno;
        }
        return 0;
}

int confine_capabilities(const char *const *keep, size_t n_keep) {
        cap_value_t values[8];
        cap_t caps;
        int r = 0;

        assert(n_keep <= ELEMENTSOF(values));

        for (size_t i = 0; i < n_keep; i++)
                if (cap_from_name(keep[i], &values[i]) < 0)
                        return -errno;
        r = drop_bounding(values, n_keep);
        if (r < 0)
                return r;

        caps = cap_init();
        if (!caps)
                return -errno;
        /* What is kept must be there already: others cannot be had. */
        for (size_t i = 0; i < n_keep && r == 0; i++) {
                cap_flag_value_t has = CAP_CLEAR;
                cap_t now = cap_get_proc();

                if (now && cap_get_flag(now, values[i], CAP_PERMITTED, &has) == 0 && has == CAP_SET &&
                                (cap_set_flag(caps, CAP_PERMITTED, 1, &values[i], CAP_SET) < 0 ||
                                                cap_set_flag(caps, CAP_EFFECTIVE, 1, &values[i], CAP_SET) <
                                                                0))
                        r = -errno;
                (void) cap_free(now);
        }
        if (r == 0 && cap_set_proc(caps) < 0)
                r = -errno;
        (void) cap_free(caps);
        return r;
}

bool confine_has_capabilities(void) {
        cap_t now = cap_get_proc(), none = cap_init();
        bool has = now && none && cap_compare(now, none) != 0;

        (void) cap_free(now);
        (void) cap_free(none);
        return has;
}

/* Every right that the running kernel knows, none of it granted anywhere. */
int confine_files(void) {
        struct landlock_ruleset_attr attr = {};
        _cleanup_close_ int fd = -EBADF;
        long version;

        version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
        if (version < 0)
                return errno == ENOSYS || errno == EOPNOTSUPP ? -EOPNOTSUPP : -errno;

        /* Rights of version 1 are bits 0 to 12; 2 added 13 (refer), 3 added 14 (truncate), 5 added 15 (ioctl on devices). */
        attr.handled_access_fs = (UINT64_C(1) << 13) - 1;
        if (version >= 2)
                attr.handled_access_fs |= UINT64_C(1) << 13;
        if (version >= 3)
                attr.handled_access_fs |= UINT64_C(1) << 14;
        fd = (int) syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
        if (fd < 0)
                return -errno;
        return syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
}

int confine_system_calls(const char *const *names, size_t n) {
        scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
        int r = 0;

        if (!ctx)
                return -ENOMEM;
        for (size_t i = 0; i < n && r == 0; i++) {
                int number = seccomp_syscall_resolve_name(names[i]);

                if (number == __NR_SCMP_ERROR)
                        continue;
                r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 0);
        }
        if (r == 0)
                r = seccomp_load(ctx);
        seccomp_release(ctx);
        return r;
}

static bool has_capabilities(const cap_value_t *wanted, size_t n) {
        cap_t now = cap_get_proc();
        bool all = now;

        for (size_t i = 0; i < n && all; i++) {
                cap_flag_value_t has = CAP_CLEAR;

                all = cap_get_flag(now, wanted[i], CAP_EFFECTIVE, &has) == 0 && has == CAP_SET;
        }
        (void) cap_free(now);
        return all;
}

bool confine_can_mount(void) {
        static const cap_value_t wanted[] = { CAP_SYS_ADMIN, CAP_MKNOD, CAP_CHOWN };

        return has_capabilities(wanted, ELEMENTSOF(wanted));
}

bool confine_has_capability(const char *name) {
        cap_value_t value;

        return cap_from_name(name, &value) == 0 && has_capabilities(&value, 1);
}
