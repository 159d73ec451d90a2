/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --ephemeral with --directory=: virtiofsd is started in a mount namespace where an overlay covers the directory. What the guest writes
 * is in memory that only this namespace has, so it is gone with virtiofsd, whatever ends that. Linux
 * Documentation/filesystems/overlayfs.rst; user_namespaces(7). */

#include "run-overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"

/* Any directory is enough for a moment; this one is on every system. */
#define SCRATCH "/tmp"

static int write_file(const char *path, const char *text) {
        _cleanup_close_ int fd = fd_open(path, O_WRONLY, 0);

        return fd < 0 ? fd : fd_write_all(fd, text, strlen(text));
}

/* An ordinary user may mount in a user namespace, where this user is root. */
static int become_root(uid_t uid, gid_t gid) {
        char text[64];
        int r = write_file("/proc/self/setgroups", "deny");

        (void) snprintf(text, sizeof(text), "0 %u 1", (unsigned) uid);
        if (r >= 0)
                r = write_file("/proc/self/uid_map", text);
        (void) snprintf(text, sizeof(text), "0 %u 1", (unsigned) gid);
        return r < 0 ? r : write_file("/proc/self/gid_map", text);
}

/* The upper directory stands for the lower one: owner and mode are those of the root that the guest sees. In a user namespace there is
 * one owner. */
static int make_layers(int lower, bool owner) {
        struct stat st;

        if (fstat(lower, &st) < 0 || mkdir(SCRATCH "/upper", 0700) < 0 || mkdir(SCRATCH "/work", 0700) < 0 ||
                        (owner && chown(SCRATCH "/upper", st.st_uid, st.st_gid) < 0) ||
                        chmod(SCRATCH "/upper", st.st_mode & 07777) < 0)
                return -errno;
        return 0;
}

int run_overlay(void *userdata) {
        const char *path = userdata;
        const uid_t uid = geteuid();
        const gid_t gid = getegid();
        _cleanup_close_ int lower = -EBADF;
        char place[32], options[128];
        int r;

        if (unshare(CLONE_NEWNS | (uid != 0 ? CLONE_NEWUSER : 0)) < 0)
                return -errno;
        r = uid != 0 ? become_root(uid, gid) : 0;
        if (r < 0)
                return r;
        /* Opened in this namespace, before the scratch file system can hide it. */
        lower = fd_open(path, O_PATH | O_DIRECTORY, 0);
        if (lower < 0)
                return lower;
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                        mount("cvmspawn", SCRATCH, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700") < 0)
                return -errno;
        r = make_layers(lower, uid == 0);
        if (r < 0)
                return r;
        (void) snprintf(place, sizeof(place), "/proc/self/fd/%d", lower);
        (void) snprintf(options, sizeof(options),
                        "lowerdir=%s,upperdir=" SCRATCH "/upper,workdir=" SCRATCH "/work%s", place,
                        uid != 0 ? ",userxattr" : "");
        if (mount("overlay", place, "overlay", 0, options) < 0 || umount2(SCRATCH, MNT_DETACH) < 0)
                return -errno;
        return 0;
}
