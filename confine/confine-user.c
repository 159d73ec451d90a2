/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "confine.h"
#include "fd.h"
#include "process.h"
#include "strutil.h"

#define UID_FIRST 61184u /* systemd.exec(5), DynamicUser=: nobody else gives these out */
#define UID_LAST  65519u

#define TABLE_MAX (1024u * 1024u) /* /etc/passwd of large installations: tens of KiB */

/* A line of /etc/passwd or /etc/group: name, password, number, and for users the group's number. */
typedef struct Entry {
        const char *name;
        uint64_t number, group;
} Entry;

static bool read_entry(char *line, Entry *ret) {
        char *fields[4] = {};

        for (size_t i = 0; i < ELEMENTSOF(fields) && line; i++)
                fields[i] = strsep(&line, ":");
        if (!fields[2])
                return false;
        *ret = (Entry) { .name = fields[0] };
        if (parse_u64_max(fields[2], UINT32_MAX - 1, &ret->number) < 0)
                return false;
        /* The fourth field of /etc/group is a list of members. */
        return !fields[3] || parse_u64_max(fields[3], UINT32_MAX - 1, &ret->group) >= 0 || ret->group == 0;
}

/* The entry with this name, or with no name given, this number: 0 or -ENOENT. /etc/passwd alone, without the name service: a
 * launcher has no business asking the network who QEMU is. */
static int find_entry(const char *path, const char *name, uint64_t number, Entry *ret) {
        _cleanup_free_ char *text = NULL;
        char *rest, *line;
        int r;

        r = file_read_all(path, TABLE_MAX, &text, NULL);
        if (r < 0)
                return r;
        rest = text;
        while ((line = strsep(&rest, "\n"))) {
                Entry e;

                if (!read_entry(line, &e) || (name ? !streq(e.name, name) : e.number != number))
                        continue;
                e.name = NULL; /* ends with the text */
                *ret = e;
                return 0;
        }
        return -ENOENT;
}

static int find_passwd(const char *name, uid_t uid, ConfineUser *ret) {
        Entry e;
        int r = find_entry("/etc/passwd", name, uid, &e);

        if (r >= 0)
                *ret = (ConfineUser) { .uid = (uid_t) e.number, .gid = (gid_t) e.group };
        return r;
}

static int find_group(const char *name, gid_t *ret) {
        Entry e;
        int r = find_entry("/etc/group", name, 0, &e);

        if (r >= 0)
                *ret = (gid_t) e.number;
        return r;
}

int confine_find_user(const char *name, const char *group, ConfineUser *ret) {
        ConfineUser user;

        if (find_passwd(name, 0, ret) >= 0)
                return 0;

        /* Start at a place of our own, so that several launchers do not share a user. */
        for (uid_t i = 0; i <= UID_LAST - UID_FIRST; i++) {
                uid_t uid = UID_FIRST + ((uid_t) getpid() + i) % (UID_LAST - UID_FIRST + 1);

                if (find_passwd(NULL, uid, &user) != -ENOENT)
                        continue;
                *ret = (ConfineUser) { .uid = uid, .gid = uid };
                if (find_group(group, &ret->gid) < 0)
                        ret->gid = uid;
                return 0;
        }
        return -ENOENT;
}

int confine_lookup_user(const char *name, ConfineUser *ret) {
        unsigned number;

        if (find_passwd(name, 0, ret) >= 0)
                return 0;
        if (parse_unsigned(name, &number) < 0 || number == (uid_t) -1)
                return -ENOENT;
        if (find_passwd(NULL, number, ret) < 0)
                *ret = (ConfineUser) { .uid = number, .gid = number };
        return 0;
}

typedef struct Attempt {
        const ConfineUser *user;
        const char *path;
} Attempt;

/* 0 or the errno. */
static int try_to_execute(void *userdata) {
        const Attempt *a = userdata;

        /* A change of user takes the death signal back. */
        if (setegid(a->user->gid) < 0 || seteuid(a->user->uid) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
                        faccessat(AT_FDCWD, a->path, X_OK, AT_EACCESS) < 0)
                return errno < 255 ? errno : 255;
        return 0;
}

/* The file and each folder above it: no child has to try that. */
static bool all_may_execute(const char *path) {
        _cleanup_free_ char *real = realpath(path, NULL);
        struct stat st;

        while (real && stat(*real ? real : "/", &st) >= 0 && st.st_mode & S_IXOTH) {
                if (!*real)
                        return true;
                *strrchr(real, '/') = 0;
        }
        return false;
}

int confine_check_execute(const ConfineUser *user, const char *path) {
        Attempt attempt = { .user = user, .path = path };
        Process child = PROCESS_NONE;
        siginfo_t si = {};
        int r;

        if (access(path, X_OK) >= 0 && all_may_execute(path))
                return 0;
        /* In a child: there is no way back to this user that could be lost. */
        r = process_fork(try_to_execute, &attempt, &child);
        if (r >= 0)
                r = process_wait(&child, UINT64_MAX, &si);
        if (r < 0)
                return r;
        return si.si_code == CLD_EXITED ? -si.si_status : -ECHILD;
}

int confine_become_user(const ConfineUser *user) {
        if (setgroups(0, NULL) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
                        setresuid(user->uid, user->uid, user->uid) < 0)
                return -errno;
        return 0;
}

/* One node: made in the scratch file system, mounted over the original. */
static int cover_device(const char *scratch, size_t i, const char *path, gid_t group) {
        char node[64];
        struct stat st;

        if (stat(path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISCHR(st.st_mode))
                return -ENODEV;
        (void) snprintf(node, sizeof(node), "%s/%zu", scratch, i);
        if (mknod(node, S_IFCHR | 0660, st.st_rdev) < 0 || chown(node, 0, group) < 0 ||
                        chmod(node, 0660) < 0 || mount(node, path, NULL, MS_BIND, NULL) < 0)
                return -errno;
        return 0;
}

int confine_private_devices(const char *const *paths, size_t n, gid_t group) {
        /* Any directory is enough for a moment; this one is on every system. */
        static const char scratch[] = "/tmp";
        int r = 0;

        if (unshare(CLONE_NEWNS) < 0)
                return -errno;
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                        mount("cvmspawn", scratch, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0700,size=64k") < 0)
                return -errno;
        for (size_t i = 0; i < n && r == 0; i++)
                r = cover_device(scratch, i, paths[i], group);
        /* The nodes stay where they are mounted. */
        if (umount2(scratch, MNT_DETACH) < 0 && r == 0)
                r = -errno;
        return r;
}
