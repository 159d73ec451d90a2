/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "confine.h"

#include <errno.h>
#include <sys/capability.h>
#include <sys/prctl.h>

#ifndef PR_SET_MDWE /* Linux 6.3 */
#define PR_SET_MDWE              65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

int confine_no_new_privileges(void) {
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int confine_memory(void) {
        if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) >= 0)
                return 0;
        return errno == EINVAL ? -EOPNOTSUPP : -errno;
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
