/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Facts about this host: Linux Documentation/virt/kvm/x86/amd-memory-encryption.rst, include/uapi/linux/psp-sev.h, AMD APM volume 3
 * (CPUID 0x8000001f). Nothing here needs root; what does is left unknown. */

#include <cpuid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kvm.h>
#include <linux/psp-sev.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bytes.h"
#include "check-host.h"
#include "fd.h"
#include "host-caps.h"
#include "process.h"
#include "resolve.h"
#include "strutil.h"

#ifndef KVM_CAP_VM_TYPES
#define KVM_CAP_VM_TYPES 235 /* Linux 6.8 */
#endif
#define SNP_PLATFORM_STATUS_COMMAND 9                     /* psp-sev.h of Linux 6.11 */
#define CPUINFO_MAX                 (64u * 1024u * 1024u) /* of a machine with some thousand CPUs */
#define SMALL_FILE                  (64u * 1024u)
#define QEMU_ANSWER_USEC            (20 * UINT64_C(1000000))

void host_facts_done(HostFacts *f) {
        host_caps_done(&f->caps);
        free(f->cpu_name);
        free(f->kernel);
        free(f->qemu_version);
        free(f->fetched_remedy);
        for (size_t i = 0; i < _COCO_MODE_MAX; i++)
                free(f->firmware[i]);
        *f = (HostFacts) {};
}

static void probe_cpu(HostFacts *f) {
        unsigned eax, ebx, ecx, edx, brand[13] = {};

        if (__get_cpuid(0, &eax, &ebx, &ecx, &edx))
                /* "AuthenticAMD", "HygonGenuine", "GenuineIntel": EBX is enough to tell them from all others. */
                f->vendor = ebx == 0x68747541 || ebx == 0x6f677948 ? COCO_VENDOR_AMD
                                : ebx == 0x756e6547                ? COCO_VENDOR_INTEL
                                                                   : COCO_VENDOR_NONE;
        if (__get_cpuid(0x80000001u, &eax, &ebx, &ecx, &edx))
                f->virtualizes = ecx & 1u << 2; /* SVM */
        if (__get_cpuid(1, &eax, &ebx, &ecx, &edx))
                f->virtualizes = f->virtualizes || ecx & 1u << 5; /* VMX */
        if ((unsigned) __get_cpuid_max(0x80000000u, NULL) >= 0x80000004u) {
                for (unsigned i = 0; i < 3; i++)
                        __cpuid(0x80000002u + i, brand[4 * i], brand[4 * i + 1], brand[4 * i + 2],
                                        brand[4 * i + 3]);
                f->cpu_name = strdup((const char *) brand + strspn((const char *) brand, " "));
                for (char *p = f->cpu_name ? f->cpu_name + strlen(f->cpu_name) : NULL;
                                p && p > f->cpu_name && p[-1] == ' ';)
                        *--p = 0;
        }
        if (f->caps.has[COCO_SEV]) {
                __cpuid_count(0x8000001fu, 0, eax, ebx, ecx, edx);
                f->max_asids = ecx;
                f->min_sev_asid = edx;
        }
}

/* No CPUID leaf tells the host: Linux finds the module by its machine check registers, and says so among the flags. */
static void probe_tdx(HostFacts *f) {
        _cleanup_free_ char *text = NULL;

        if (file_read_all("/proc/cpuinfo", CPUINFO_MAX, &text, NULL) >= 0)
                f->tdx_platform = strstr(text, " tdx_host_platform");
}

static void probe_kernel(HostFacts *f) {
        struct utsname u;

        if (uname(&u) < 0)
                return;
        f->kernel = strdup(u.release);
        (void) sscanf(u.release, "%u.%u", &f->kernel_major, &f->kernel_minor);
}

static void probe_kvm(HostFacts *f) {
        _cleanup_close_ int fd = fd_open("/dev/kvm", O_RDWR, 0);
        int k;

        f->kvm_errno = fd < 0 ? -fd : 0;
        if (fd < 0 || !f->virtualizes)
                return;
        k = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_VM_TYPES);
        f->kvm_types_known = k >= 0;
        f->kvm_types = k > 0 ? (unsigned) k : 0;
}

static Known module_loaded(const CocoHost *host) {
        char path[64];

        (void) snprintf(path, sizeof(path), "/sys/module/%s", host->kvm_module);
        return access(path, F_OK) == 0 ? KNOWN_YES : KNOWN_NO;
}

static Known read_parameter(const CocoHost *host) {
        _cleanup_free_ char *text = NULL;
        char path[128];

        (void) snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s", host->kvm_module,
                        host->kvm_parameter);
        if (file_read_all(path, SMALL_FILE, &text, NULL) < 0)
                return module_loaded(host) == KNOWN_YES ? KNOWN_NO : KNOWN_UNKNOWN;
        return text[0] == 'Y' || (text[0] >= '1' && text[0] <= '9') ? KNOWN_YES : KNOWN_NO;
}

static void probe_module(HostFacts *f) {
        for (int m = COCO_NONE + 1; m < _COCO_MODE_MAX; m++) {
                f->module[m] = module_loaded(&coco_of((CocoMode) m)->host);
                f->parameter[m] = read_parameter(&coco_of((CocoMode) m)->host);
        }
}

static int sev_command(int fd, unsigned command, void *data) {
        struct sev_issue_cmd c = { .cmd = command, .data = (uint64_t) (uintptr_t) data };

        return ioctl(fd, SEV_ISSUE_CMD, &c) < 0 ? -errno : 0;
}

static void probe_platform(HostFacts *f) {
        _cleanup_close_ int fd = fd_open("/dev/sev", O_RDWR, 0);
        struct sev_user_data_status status = {};
        uint8_t snp[32] = {};

        f->sev_errno = fd < 0 ? -fd : 0;
        if (fd < 0)
                return;
        if (sev_command(fd, SEV_PLATFORM_STATUS, &status) >= 0) {
                f->platform_known = true;
                f->api_major = status.api_major;
                f->api_minor = status.api_minor;
                f->build = status.build;
                f->platform_state = status.state;
                f->es_configured = status.flags & 1u << 8;
        }
        /* struct sev_user_data_snp_status, 32 bytes packed */
        if (sev_command(fd, SNP_PLATFORM_STATUS_COMMAND, snp) >= 0) {
                f->snp_known = true;
                f->snp_major = snp[0];
                f->snp_minor = snp[1];
                f->snp_state = snp[2];
                f->rmp_initialized = snp[3] & 1;
                f->snp_build = le32_read(snp + 4);
                f->current_tcb = le64_read(snp + 16);
                f->reported_tcb = le64_read(snp + 24);
        }
}

static void probe_iommu(HostFacts *f) {
        _cleanup_free_ char *text = NULL;
        DIR *d = opendir("/sys/class/iommu");

        if (d) {
                const struct dirent *e;

                f->iommu = KNOWN_NO;
                while ((e = readdir(d)))
                        if (e->d_name[0] != '.')
                                f->iommu = KNOWN_YES;
                (void) closedir(d);
        }
        if (file_read_all("/proc/cmdline", SMALL_FILE, &text, NULL) >= 0)
                f->iommu_passthrough = strstr(text, "iommu=pt") || strstr(text, "iommu=off") ||
                                strstr(text, "iommu.passthrough=1");
}

/* The number of the resource in "sev 410\nsev_es 99\n"; 0: it is not there. */
static unsigned misc_number(const char *text, const char *resource) {
        size_t n = strlen(resource);

        for (const char *p = text; *p; p += strspn(p, "\n")) {
                if (strncmp(p, resource, n) == 0 && p[n] == ' ')
                        return (unsigned) strtoul(p + n, NULL, 10);
                p += strcspn(p, "\n");
        }
        return 0;
}

static bool read_misc(const char *path, unsigned ret[static _COCO_MODE_MAX]) {
        _cleanup_free_ char *text = NULL;

        if (file_read_all(path, SMALL_FILE, &text, NULL) < 0)
                return false;
        for (int m = COCO_NONE + 1; m < _COCO_MODE_MAX; m++)
                ret[m] = misc_number(text, coco_of((CocoMode) m)->host.key_pool);
        return true;
}

static void probe_limits(HostFacts *f) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2] = {};
        struct rlimit limit;

        f->asids_known = read_misc("/sys/fs/cgroup/misc.capacity", f->asids) &&
                        read_misc("/sys/fs/cgroup/misc.current", f->asids_used);
        if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0)
                f->memlock = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t) limit.rlim_cur;
        if (syscall(SYS_capget, &header, data) == 0)
                f->ipc_lock = data[CAP_IPC_LOCK / 32].effective & 1u << CAP_IPC_LOCK % 32;
}

/* What QEMU prints for one argument list; NULL if it cannot be run. */
static char *ask_qemu(const char *qemu, const char *first, const char *second) {
        _cleanup_(process_done) Process p = PROCESS_NONE;
        _cleanup_close_ int in = -EBADF, out = -EBADF;
        char *const argv[] = { (char *) qemu, (char *) first, (char *) second, NULL };
        int fds[2];
        char *text;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return NULL;
        in = fds[0];
        out = fds[1];
        const ProcessSpec spec = {
                .file = qemu, .argv = argv, .stdin_fd = -EBADF, .stdout_fd = out, .stderr_fd = out
        };
        if (process_spawn(&spec, &p, NULL) < 0)
                return NULL;
        out = fd_close(out);
        if (fd_read_all(in, SMALL_FILE, &text, NULL) < 0)
                return NULL;
        if (process_wait(&p, QEMU_ANSWER_USEC, NULL) < 0) {
                free(text);
                return NULL;
        }
        return text;
}

static void probe_qemu(const VmConfig *config, HostFacts *f) {
        const char *qemu = config->qemu ?: f->caps.qemu, *p;
        _cleanup_free_ char *version = NULL, *objects = NULL;

        if (!qemu)
                return;
        version = ask_qemu(qemu, "-version", NULL);
        p = version ? strstr(version, "version ") : NULL;
        if (!p)
                return;
        p += strlen("version ");
        f->qemu_version = strndup(p, strcspn(p, " \n("));
        (void) sscanf(p, "%u", &f->qemu_major);

        objects = ask_qemu(qemu, "-object", "help");
        if (!objects)
                return;
        for (int m = COCO_NONE + 1; m < _COCO_MODE_MAX; m++)
                f->qemu_object[m] =
                                strstr(objects, coco_of((CocoMode) m)->qemu_object) ? KNOWN_YES : KNOWN_NO;
        f->caps.monitor_object = strstr(objects, "monitor-qmp");
}

static int find_firmware(const VmConfig *config, CocoMode mode, Tristate secure_boot, char **ret) {
        const ResolveOptions options = {};
        _cleanup_(launch_inputs_done) LaunchInputs in = {};
        VmConfig c = { .coco = mode,
                .firmware = config->firmware,
                .firmware_path = config->firmware_path,
                .secure_boot = secure_boot };

        if (resolve_firmware_for(&c, &options, &in, NULL) < 0 || in.plan.firmware.n_parts == 0)
                return 0;
        *ret = strdup(in.plan.firmware.parts[0].label);
        return *ret ? 0 : -ENOMEM;
}

static int probe_firmware(const VmConfig *config, HostFacts *f) {
        for (int mode = COCO_NONE + 1; mode < _COCO_MODE_MAX; mode++) {
                int r = find_firmware(config, (CocoMode) mode, TRISTATE_NO, f->firmware + mode);

                if (r >= 0 && !f->firmware[mode] && coco_of((CocoMode) mode)->event_log) {
                        r = find_firmware(config, (CocoMode) mode, TRISTATE_YES, f->firmware + mode);
                        f->firmware_keys[mode] = f->firmware[mode];
                }
                if (r < 0)
                        return r;
        }
        return resolve_firmware_remedy(&f->fetched_remedy);
}

int check_probe(const VmConfig *config, HostFacts *ret) {
        _cleanup_(host_facts_done) HostFacts f = {};
        int r;

        r = host_caps_probe(config, &f.caps);
        if (r < 0)
                return r;
        if (config->qemu && !f.caps.qemu) {
                f.caps.qemu = strdup(config->qemu);
                if (!f.caps.qemu)
                        return -ENOMEM;
        }
        probe_cpu(&f);
        probe_tdx(&f);
        probe_kernel(&f);
        probe_kvm(&f);
        probe_module(&f);
        probe_platform(&f);
        probe_iommu(&f);
        probe_limits(&f);
        probe_qemu(config, &f);
        r = probe_firmware(config, &f);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(f, (HostFacts) {});
        return 0;
}
