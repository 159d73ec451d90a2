/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Landlock: what the running kernel can take away is taken, and handed back path by path. Which version of the interface knows what:
 * landlock(7), Linux Documentation/userspace-api/landlock.rst. */

#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"

/* Later than the headers of Debian 12. */
#define FS_REFER    (UINT64_C(1) << 13)
#define FS_TRUNCATE (UINT64_C(1) << 14)
#define NET_TCP     UINT64_C(3) /* bind, connect */
#define SCOPED      UINT64_C(3) /* abstract sockets, signals */

#define FS_FILE_READ  LANDLOCK_ACCESS_FS_READ_FILE
#define FS_READ       (FS_FILE_READ | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_FILE_WRITE (FS_FILE_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE)
#define FS_WRITE      (FS_READ | FS_FILE_WRITE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)

typedef struct Rules {
        uint64_t files, net,
                        scoped; /* as the kernel reads it: older ones take a prefix, and zeros after it */
} Rules;

/* Every right to files that the running kernel knows; the others only with `all`. */
static int rules_new(bool all, Rules *ret, int *ret_fd) {
        long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
        Rules rules = {};
        int fd;

        if (version < 0)
                return errno == ENOSYS || errno == EOPNOTSUPP ? -EOPNOTSUPP : -errno;

        /* Rights of version 1 are bits 0 to 12; 2 added 13 (refer), 3 added 14 (truncate), 5 added 15 (ioctl on devices). */
        rules.files = (UINT64_C(1) << 13) - 1;
        if (version >= 2)
                rules.files |= FS_REFER;
        if (version >= 3)
                rules.files |= FS_TRUNCATE;
        if (all && version >= 4)
                rules.net = NET_TCP;
        if (all && version >= 6)
                rules.scoped = SCOPED;
        fd = (int) syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
        if (fd < 0)
                return -errno;
        *ret = rules;
        *ret_fd = fd;
        return 0;
}

static int rules_allow(int rules_fd, const Rules *rules, const ConfinePath *p) {
        _cleanup_close_ int fd = fd_open(p->path, O_PATH | O_CLOEXEC, 0);
        struct landlock_path_beneath_attr a = { .parent_fd = fd };
        struct stat st;

        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                a.allowed_access = p->write ? FS_WRITE : FS_READ;
        else
                a.allowed_access = p->write ? FS_FILE_WRITE : FS_FILE_READ;
        if (p->names)
                a.allowed_access = LANDLOCK_ACCESS_FS_READ_DIR;
        if (p->execute)
                a.allowed_access |= LANDLOCK_ACCESS_FS_EXECUTE;
        a.allowed_access &= rules->files;
        return syscall(SYS_landlock_add_rule, rules_fd, LANDLOCK_RULE_PATH_BENEATH, &a, 0) < 0 ? -errno : 0;
}

static int rules_apply(int fd) {
        return syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
}

static int rules_add(int rules_fd, int folder, uint64_t rights) {
        struct landlock_path_beneath_attr a = { .parent_fd = folder, .allowed_access = rights };

        if (folder < 0)
                return 0;
        return syscall(SYS_landlock_add_rule, rules_fd, LANDLOCK_RULE_PATH_BENEATH, &a, 0) < 0 ? -errno : 0;
}

int confine_files_but_removal(int files_in, int folders_in) {
        _cleanup_close_ int fd = -EBADF;
        Rules rules;
        int r = rules_new(/* all= */ false, &rules, &fd);

        if (r >= 0)
                r = rules_add(fd, files_in, LANDLOCK_ACCESS_FS_REMOVE_FILE);
        if (r >= 0)
                r = rules_add(fd, folders_in, LANDLOCK_ACCESS_FS_REMOVE_DIR);
        return r < 0 ? r : rules_apply(fd);
}

int confine_files(void) {
        return confine_files_but_removal(-EBADF, -EBADF);
}

static int to_paths(bool all, const ConfinePath *paths, size_t n) {
        _cleanup_close_ int fd = -EBADF;
        Rules rules;
        int r = rules_new(all, &rules, &fd);

        if (r < 0)
                return r;
        FOREACH_ARRAY(p, paths, n) {
                r = rules_allow(fd, &rules, p);
                if (r < 0)
                        return r;
        }
        return rules_apply(fd);
}

int confine_to_paths(const ConfinePath *paths, size_t n) {
        return to_paths(/* all= */ true, paths, n);
}

int confine_files_to_paths(const ConfinePath *paths, size_t n) {
        return to_paths(/* all= */ false, paths, n);
}
