/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The simulated SEV host's door: the library calls through which a virtual machine monitor reaches /dev/kvm and
 * /dev/sev. Everything else goes to the C library. A program that makes system calls itself (a static one, or one
 * written in Go) is not reached. */

/* The headers must declare the calls under their own names, neither redirected nor wrapped. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sim-device.h"
#include "sim-machine.h"
#include "sim-platform.h"

#define EXPORT __attribute__((visibility("default")))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ISO C has no conversion from object to function pointers; POSIX says that this one works. */
#define NEXT(type, name)                                                                                    \
        ({                                                                                                  \
                static type next;                                                                           \
                if (!next) {                                                                                \
                        void *symbol = dlsym(RTLD_NEXT, name);                                              \
                        memcpy(&next, &symbol, sizeof(next));                                               \
                }                                                                                           \
                next;                                                                                       \
        })

typedef int (*IoctlFunction)(int fd, unsigned long request, ...);
typedef int (*OpenFunction)(const char *path, int flags, ...);
typedef int (*OpenatFunction)(int dir_fd, const char *path, int flags, ...);
typedef int (*Open2Function)(const char *path, int flags);
typedef int (*AccessFunction)(const char *path, int mode);
typedef int (*FaccessatFunction)(int dir_fd, const char *path, int mode, int flags);
typedef int (*StatFunction)(const char *path, struct stat *ret);
typedef int (*StatxFunction)(int dir_fd, const char *path, int flags, unsigned mask, struct statx *ret);
typedef int (*MountFunction)(const char *source, const char *target, const char *type, unsigned long flags,
                const void *data);
typedef int (*SigmaskFunction)(int how, const sigset_t *set, sigset_t *ret_before);
typedef int (*ThreadFunction)(
                pthread_t *ret, const pthread_attr_t *attributes, void *(*start)(void *), void *arg);
typedef int (*FstatatFunction)(int dir_fd, const char *path, struct stat *ret, int flags);

static int to_errno(int r) {
        if (r >= 0)
                return r;
        errno = -r;
        return -1;
}

static int open_device(DeviceKind kind, int flags) {
        int wanted = (flags & O_ACCMODE) == O_RDONLY      ? R_OK
                        : (flags & O_ACCMODE) == O_WRONLY ? W_OK
                                                          : R_OK | W_OK;
        int r = device_access(kind, wanted);

        if (r >= 0) {
                pthread_mutex_lock(&lock);
                r = device_open(&(Device) { .kind = kind }, 0);
                pthread_mutex_unlock(&lock);
        } else
                sim_log("refused open of /dev/%s for uid %u: %s", kind == DEVICE_SEV ? "sev" : "kvm",
                                (unsigned) geteuid(), strerror(-r));
        if (r >= 0 && !(flags & O_CLOEXEC))
                (void) fcntl(r, F_SETFD, 0);
        return to_errno(r);
}

static int new_vm(unsigned long type) {
        SimVm *vm;
        int r = vm_create((VmType) type, &vm);

        if (r < 0)
                return r;
        cpuid_trap_expect(type != VM_TYPE_TDX);
        return device_open(&(Device) { .kind = DEVICE_VM, .vm = vm->index }, 0);
}

static int new_vcpu(SimVm *vm, uint32_t id) {
        Device device = { .kind = DEVICE_VCPU, .vm = vm->index, .vcpu = vm->n_vcpus };
        SimVcpu *vcpu;
        int fd, r;

        fd = device_open(&device, SIM_RUN_SIZE);
        if (fd < 0)
                return fd;
        r = vcpu_create(vm, id, fd, &vcpu);
        if (r < 0) {
                close(fd);
                return r;
        }
        return fd;
}

static int new_guest_memfd(SimVm *vm, const SimCreateGuestMemfd *arg) {
        if (!vm_has_private_memory(vm) || arg->flags != 0 || arg->size == 0 ||
                        arg->size % SIM_PAGE_SIZE != 0)
                return vm_refuse(vm, -EINVAL, "guest_memfd: no private memory, unknown flags or bad size");
        return device_open(&(Device) { .kind = DEVICE_GUEST_MEMFD, .vm = vm->index }, arg->size);
}

/* The end of a command's line in the record, with the outcome. A refusal outside a line gets its own. A launch that cannot be recorded fails. */
static int finish_command(SimVm *vm, int r, const SimSevCmd *cmd) {
        if (vm->refusal) {
                if (!record_in_line(vm->record))
                        record_begin(vm->record, "kernel request");
                record_string(vm->record, "refused", vm->refusal);
                sim_log("refused: %s (%s)", vm->refusal, r < 0 ? strerrorname_np(-r) : "ignored");
                vm->refusal = NULL;
        }
        if (cmd)
                record_number(vm->record, "fw_error", cmd->error);
        if (r < 0)
                record_string(vm->record, "error", strerrorname_np(-r));
        record_end(vm->record);
        return r >= 0 && record_is_lost(vm->record) ? -EIO : r;
}

static int vm_request(SimVm *vm, unsigned long request, void *arg) {
        bool command = request == KVM_MEMORY_ENCRYPT_OP && arg;
        int r;

        if (request == KVM_CREATE_VCPU)
                r = new_vcpu(vm, (uint32_t) (uintptr_t) arg);
        else if (request == SIM_CREATE_GUEST_MEMFD)
                r = new_guest_memfd(vm, arg);
        else
                r = kvm_vm_ioctl(vm, request, arg);
        return finish_command(vm, r, command ? arg : NULL);
}

static int sev_request(unsigned long request, SimSevIssueCmd *cmd) {
        int r = (request == SIM_SEV_ISSUE_CMD ? fault_platform(cmd) : 0) ?: platform_ioctl(request, cmd);
        SimRecord *host = record_host();

        if (request == SIM_SEV_ISSUE_CMD) {
                record_begin(host, "/dev/sev");
                record_number(host, "id", cmd->cmd);
                record_number(host, "fw_error", cmd->error);
                if (r < 0)
                        record_string(host, "error", strerrorname_np(-r));
                record_end(host);
        }
        return r >= 0 && record_is_lost(host) ? -EIO : r;
}

static int device_request(const Device *device, unsigned long request, void *arg) {
        SimVm *vm = device->kind == DEVICE_VM || device->kind == DEVICE_VCPU ? vm_by_index(device->vm)
                                                                             : NULL;
        int r = fault_request(device, vm, request, arg);

        if (r < 0)
                return vm ? finish_command(vm, r, request == KVM_MEMORY_ENCRYPT_OP ? arg : NULL) : r;
        switch (device->kind) {

        case DEVICE_KVM:
                return request == KVM_CREATE_VM ? new_vm((unsigned long) (uintptr_t) arg)
                                                : kvm_system_ioctl(request, arg);

        case DEVICE_SEV:
                return sev_request(request, arg);

        case DEVICE_VM:
                return vm ? vm_request(vm, request, arg) : -ENOTTY;

        case DEVICE_VCPU:
                if (!vm || device->vcpu >= vm->n_vcpus)
                        return -ENOTTY;
                return finish_command(vm, vcpu_ioctl(vm, vm->vcpus[device->vcpu], request, arg), NULL);

        default:
                return -ENOTTY;
        }
}

/* The wait is without the lock: other threads kick it. */
static int run_request(const Device *device) {
        SimVm *vm = vm_by_index(device->vm);
        int r = 0;

        pthread_mutex_lock(&lock);
        if (!vm || device->vcpu >= vm->n_vcpus)
                r = -ENOTTY;
        else if (vm->sev_active && vm->guest.state != GUEST_RUNNING)
                r = finish_command(
                                vm, vm_refuse(vm, -EINVAL, "KVM_RUN before the launch is finished"), NULL);
        pthread_mutex_unlock(&lock);
        return r < 0 ? r : vcpu_run(vm->vcpus[device->vcpu]);
}

static int simulated_ioctl(const Device *device, unsigned long request, void *arg) {
        unsigned steps;
        int r;

        if (device->kind == DEVICE_VCPU && request == KVM_RUN)
                return to_errno(run_request(device));

        pthread_mutex_lock(&lock);
        r = device_request(device, request, arg);
        steps = steps_after(device, request, arg);
        pthread_mutex_unlock(&lock);

        r = to_errno(r);
        if (steps > 0)
                cpuid_trap_arm(steps);
        return r;
}

EXPORT int ioctl(int fd, unsigned long request, ...) {
        unsigned type = (unsigned) (request >> 8) & 0xff;
        Device device = {};
        va_list ap;
        void *arg;

        /* The kernel takes 32 bits. QEMU before 8.1 passes an int, which is negative where bit 31 is set. */
        request = (uint32_t) request;
        va_start(ap, request);
        arg = va_arg(ap, void *);
        va_end(ap);

        if (type == KVMIO || type == 'S') {
                cpuid_trap_stop();
                pthread_mutex_lock(&lock);
                device = device_by_fd(fd);
                pthread_mutex_unlock(&lock);
        }
        if (device.kind != DEVICE_NONE)
                return simulated_ioctl(&device, request, arg);
        return NEXT(IoctlFunction, "ioctl")(fd, request, arg);
}

/* The mode argument exists only with O_CREAT or O_TMPFILE; passing what was not given is harmless here. */
#define OPEN_HOOK(name)                                                                                     \
        EXPORT int name(const char *path, int flags, ...) {                                                 \
                DeviceKind kind = device_by_path(path);                                                     \
                va_list ap;                                                                                 \
                mode_t mode;                                                                                \
                va_start(ap, flags);                                                                        \
                mode = va_arg(ap, mode_t);                                                                  \
                va_end(ap);                                                                                 \
                return kind != DEVICE_NONE ? open_device(kind, flags)                                       \
                                           : NEXT(OpenFunction, #name)(path, flags, mode);                  \
        }

#define OPENAT_HOOK(name)                                                                                   \
        EXPORT int name(int dir_fd, const char *path, int flags, ...) {                                     \
                DeviceKind kind = device_by_path(path);                                                     \
                va_list ap;                                                                                 \
                mode_t mode;                                                                                \
                va_start(ap, flags);                                                                        \
                mode = va_arg(ap, mode_t);                                                                  \
                va_end(ap);                                                                                 \
                return kind != DEVICE_NONE ? open_device(kind, flags)                                       \
                                           : NEXT(OpenatFunction, #name)(dir_fd, path, flags, mode);        \
        }

#define OPEN_2_HOOK(name)                                                                                   \
        EXPORT int name(const char *path, int flags);                                                       \
        EXPORT int name(const char *path, int flags) {                                                      \
                DeviceKind kind = device_by_path(path);                                                     \
                return kind != DEVICE_NONE ? open_device(kind, flags)                                       \
                                           : NEXT(Open2Function, #name)(path, flags);                       \
        }

#define STAT_HOOK(name, tag)                                                                                \
        EXPORT int name(const char *path, struct tag *ret) {                                                \
                DeviceKind kind = device_by_path(path);                                                     \
                if (kind == DEVICE_NONE)                                                                    \
                        return NEXT(StatFunction, #name)(path, (struct stat *) ret);                        \
                return to_errno(device_stat(kind, (struct stat *) ret));                                    \
        }

#define FSTATAT_HOOK(name, tag)                                                                             \
        EXPORT int name(int dir_fd, const char *path, struct tag *ret, int flags) {                         \
                DeviceKind kind = device_by_path(path);                                                     \
                if (kind == DEVICE_NONE)                                                                    \
                        return NEXT(FstatatFunction, #name)(dir_fd, path, (struct stat *) ret, flags);      \
                return to_errno(device_stat(kind, (struct stat *) ret));                                    \
        }

/* struct stat64 is struct stat on the only machine that this runs on. */
static_assert(sizeof(struct stat) == sizeof(struct stat64), "one struct stat");

OPEN_HOOK(open)
OPEN_HOOK(open64)
OPENAT_HOOK(openat)
OPENAT_HOOK(openat64)
OPEN_2_HOOK(__open_2)
OPEN_2_HOOK(__open64_2)
STAT_HOOK(stat, stat)
STAT_HOOK(stat64, stat64)
STAT_HOOK(lstat, stat)
STAT_HOOK(lstat64, stat64)
FSTATAT_HOOK(fstatat, stat)
FSTATAT_HOOK(fstatat64, stat64)

EXPORT int access(const char *path, int mode) {
        DeviceKind kind = device_by_path(path);

        return kind != DEVICE_NONE ? to_errno(device_access(kind, mode & (R_OK | W_OK)))
                                   : NEXT(AccessFunction, "access")(path, mode);
}

EXPORT int faccessat(int dir_fd, const char *path, int mode, int flags) {
        DeviceKind kind = device_by_path(path);

        return kind != DEVICE_NONE ? to_errno(device_access(kind, mode & (R_OK | W_OK)))
                                   : NEXT(FaccessatFunction, "faccessat")(dir_fd, path, mode, flags);
}

EXPORT int statx(int dir_fd, const char *path, int flags, unsigned mask, struct statx *ret) {
        DeviceKind kind = device_by_path(path);
        struct stat st;
        int r;

        if (kind == DEVICE_NONE)
                return NEXT(StatxFunction, "statx")(dir_fd, path, flags, mask, ret);

        r = device_stat(kind, &st);
        if (r < 0)
                return to_errno(r);
        *ret = (struct statx) {
                .stx_mask = STATX_BASIC_STATS,
                .stx_blksize = 4096,
                .stx_nlink = 1,
                .stx_uid = st.st_uid,
                .stx_gid = st.st_gid,
                .stx_mode = (uint16_t) st.st_mode,
                .stx_rdev_major = major(st.st_rdev),
                .stx_rdev_minor = minor(st.st_rdev),
        };
        return 0;
}

/* Where the signal of a single step is blocked, it would end the program; and a thread would inherit the steps. */
EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *ret_before) {
        cpuid_trap_stop();
        return NEXT(SigmaskFunction, "pthread_sigmask")(how, set, ret_before);
}

EXPORT int pthread_create(
                pthread_t *ret, const pthread_attr_t *attributes, void *(*start)(void *), void *arg) {
        cpuid_trap_stop();
        return NEXT(ThreadFunction, "pthread_create")(ret, attributes, start, arg);
}

/* A launcher may mount its own node over the device, for QEMU's user: the simulated one then has that node's rights,
 * here and in what is executed from here. */
EXPORT int mount(const char *source, const char *target, const char *type, unsigned long flags,
                const void *data) {
        DeviceKind kind = device_by_path(target);
        struct stat st;

        if (kind == DEVICE_NONE || !(flags & MS_BIND))
                return NEXT(MountFunction, "mount")(source, target, type, flags, data);
        if (NEXT(StatFunction, "stat")(source, &st) < 0)
                return -1;
        return kind == DEVICE_SEV ? to_errno(device_set_node(&st)) : 0;
}
