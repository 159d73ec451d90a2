/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sim-device.h"
#include "sim-fault.h"

#define NAME_PREFIX "cvmspawn-sevsim:"

enum {
        KNOWN_MAX = 8192, /* vCPUs, slots and machines of one process */
        MISC_MAJOR = 10,
        KVM_MINOR = 232,
        SEV_MINOR = 124,
        SEV_MODE = 0600,
        KVM_MODE = 0666,
};

static const char *const kind_names[_DEVICE_MAX] = {
        [DEVICE_KVM] = "kvm",
        [DEVICE_SEV] = "sev",
        [DEVICE_VM] = "vm",
        [DEVICE_VCPU] = "vcpu",
        [DEVICE_GUEST_MEMFD] = "guest-memfd",
};

/* By inode, which lives as long as any descriptor of it does; numbers of memfds are not used again soon. */
static struct {
        ino_t inode;
        Device device;
} known[KNOWN_MAX];
static unsigned n_known;

DeviceKind device_by_path(const char *path) {
        if (!path)
                return DEVICE_NONE;
        if (strcmp(path, "/dev/kvm") == 0)
                return DEVICE_KVM;
        return strcmp(path, "/dev/sev") == 0 ? DEVICE_SEV : DEVICE_NONE;
}

static void remember(int fd, const Device *device) {
        struct stat st;

        if (n_known < KNOWN_MAX && fstat(fd, &st) >= 0) {
                known[n_known].inode = st.st_ino;
                known[n_known++].device = *device;
        }
}

int device_open(const Device *device, uint64_t size) {
        char name[64];
        int fd;

        snprintf(name, sizeof(name), NAME_PREFIX "%s:%u:%u", kind_names[device->kind], device->vm,
                        device->vcpu);
        fd = memfd_create(name, MFD_CLOEXEC);
        if (fd < 0)
                return -errno;
        /* Who gets the descriptor over /proc/PID/fd meets the rights of the node, as with a real device. */
        if (fchmod(fd, device->kind == DEVICE_SEV ? SEV_MODE : KVM_MODE) < 0 ||
                        ftruncate(fd, (off_t) size) < 0) {
                int r = -errno;
                close(fd);
                return r;
        }
        remember(fd, device);
        return fd;
}

/* A descriptor that another process opened: its link in /proc says what it is. */
static Device inherited(int fd) {
        char path[64], target[128];
        Device device = {};
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        n = readlink(path, target, sizeof(target) - 1);
        if (n < 0)
                return device;
        target[n] = '\0';
        if (strncmp(target, "/memfd:" NAME_PREFIX "kvm:", strlen("/memfd:" NAME_PREFIX "kvm:")) == 0)
                device.kind = DEVICE_KVM;
        else if (strncmp(target, "/memfd:" NAME_PREFIX "sev:", strlen("/memfd:" NAME_PREFIX "sev:")) == 0)
                device.kind = DEVICE_SEV;
        if (device.kind != DEVICE_NONE)
                remember(fd, &device);
        return device;
}

Device device_by_fd(int fd) {
        struct stat st;

        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return (Device) {};
        for (unsigned i = n_known; i > 0; i--)
                if (known[i - 1].inode == st.st_ino)
                        return known[i - 1].device;
        return inherited(fd);
}

bool device_vm_is_open(unsigned vm) {
        DIR *d = opendir("/proc/self/fd");
        char wanted[128], target[128];
        bool found = !d;
        size_t size;

        size = (size_t) snprintf(wanted, sizeof(wanted), "/memfd:" NAME_PREFIX "vm:%u:", vm);
        for (struct dirent *e = d ? readdir(d) : NULL; e && !found; e = readdir(d)) {
                ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof(target));
                found = n >= (ssize_t) size && memcmp(target, wanted, size) == 0;
        }
        if (d)
                closedir(d);
        return found;
}

/* "MODE:UID:GID", all optional from the left; what the runner's --sev-node= was given. */
static void sev_node(mode_t *mode, uid_t *uid, gid_t *gid) {
        const char *node = getenv("CVMSPAWN_SEVSIM_NODE");
        unsigned m = SEV_MODE, u = 0, g = 0;

        if (node)
                (void) sscanf(node, "%o:%u:%u", &m, &u, &g);
        *mode = m & 0777;
        *uid = u;
        *gid = g;
}

int device_set_node(const struct stat *st) {
        char node[64];

        snprintf(node, sizeof(node), "%o:%u:%u", st->st_mode & 0777, st->st_uid, st->st_gid);
        return setenv("CVMSPAWN_SEVSIM_NODE", node, /* overwrite= */ 1) < 0 ? -errno : 0;
}

static int missing(DeviceKind kind) {
        const SimFault *fault = fault_strike(kind == DEVICE_SEV ? FAULT_OPEN_SEV : FAULT_OPEN_KVM);

        return fault ? -fault->error : 0;
}

int device_stat(DeviceKind kind, struct stat *ret) {
        mode_t mode = KVM_MODE;
        uid_t uid = 0;
        gid_t gid = 0;

        if (missing(kind) == -ENOENT)
                return -ENOENT;
        if (kind == DEVICE_SEV)
                sev_node(&mode, &uid, &gid);
        *ret = (struct stat) {
                .st_mode = S_IFCHR | mode,
                .st_nlink = 1,
                .st_uid = uid,
                .st_gid = gid,
                .st_rdev = makedev(MISC_MAJOR, kind == DEVICE_SEV ? SEV_MINOR : KVM_MINOR),
                .st_blksize = 4096,
        };
        return 0;
}

static bool in_group(gid_t gid) {
        gid_t groups[256];
        int n = getgroups(256, groups);

        if (getegid() == gid)
                return true;
        for (int i = 0; i < n; i++)
                if (groups[i] == gid)
                        return true;
        return false;
}

/* The kernel's rule for a node without an access control list. */
int device_access(DeviceKind kind, int wanted) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2] = {};
        struct stat st;
        mode_t bits;
        int r = device_stat(kind, &st);

        if (r >= 0)
                r = missing(kind);
        if (r < 0)
                return r;
        bits = geteuid() == st.st_uid ? st.st_mode >> 6 : in_group(st.st_gid) ? st.st_mode >> 3 : st.st_mode;
        if ((bits & (mode_t) wanted) == (mode_t) wanted)
                return 0;
        if (syscall(SYS_capget, &header, data) >= 0 && data[0].effective & 1U << CAP_DAC_OVERRIDE)
                return 0;
        return -EACCES;
}
