/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What this host can do, as far as a launch needs to know. */

#include "host-caps.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "process.h"
#include "strutil.h"

#ifndef KVM_CAP_VM_TYPES
#define KVM_CAP_VM_TYPES 235 /* Linux 6.8 */
#endif
/* Of Intel's package with the service, where systemd-vmspawn looks for it, too. */
#define QUOTE_SOCKET       "/run/tdx-qgs/qgs.socket"
#define HOST_CAPS_SIZE_MAX (256u * 1024u) /* check-host writes some KiB */

/* AMD APM volume 3, Fn8000_001F: EAX a bit for each technology; EBX 5:0 C-bit position, 11:6 physical address
 * reduction. The maximum leaf is asked first: other CPUs answer anything. */
static void probe_sev(HostCaps *caps) {
        unsigned eax, ebx, ecx, edx;

        if ((unsigned) __get_cpuid_max(0x80000000u, NULL) < 0x8000001fu)
                return;
        __cpuid_count(0x8000001fu, 0, eax, ebx, ecx, edx);
        for (int m = COCO_NONE + 1; m < _COCO_MODE_MAX; m++)
                caps->has[m] = coco_of((CocoMode) m)->host.vendor == COCO_VENDOR_AMD &&
                                eax & 1u << coco_of((CocoMode) m)->host.amd.cpuid_bit;
        if (!caps->has[COCO_SEV])
                return;
        caps->sev.cbitpos = ebx & 63;
        /* Guests lose one bit whatever the host loses: QEMU answers 1 in query-sev-capabilities on every part. */
        caps->sev.reduced_phys_bits = 1;
}

static bool cpu_virtualizes(void) {
        unsigned eax, ebx, ecx, edx;

        if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & 1u << 5)) /* VMX */
                return true;
        return __get_cpuid(0x80000001u, &eax, &ebx, &ecx, &edx) && (ecx & 1u << 2); /* SVM */
}

/* Linux arch/x86/include/uapi/asm/kvm.h since 6.19; kernels before took bits 0 to 17, 19 and 20 and could not be asked. */
static void probe_policy_bits(int kvm, HostCaps *caps) {
        uint64_t bits = 0;
        const struct kvm_device_attr attribute = {
                .group = 1, /* KVM_X86_GRP_SEV */
                .attr = 1,  /* KVM_X86_SNP_POLICY_BITS */
                .addr = (uint64_t) (uintptr_t) &bits,
        };

        if (!caps->has[COCO_SEV_SNP])
                return;
        caps->sev.snp_policy_bits = ioctl(kvm, KVM_GET_DEVICE_ATTR, &attribute) >= 0 && bits != 0
                        ? bits
                        : UINT64_C(0x1bffff);
}

/* Where no CPUID bit says so, KVM does. */
static void probe_vm_types(int kvm, HostCaps *caps) {
        int types = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_VM_TYPES);

        for (int m = COCO_NONE + 1; types > 0 && m < _COCO_MODE_MAX; m++)
                if (coco_of((CocoMode) m)->host.vendor == COCO_VENDOR_INTEL)
                        caps->has[m] = (unsigned) types & 1u << coco_of((CocoMode) m)->host.kvm_vm_type;
}

/* The device node alone proves nothing: nested hosts exist where KVM answers everything and hangs every guest, and
 * their CPU shows neither SVM nor VMX. */
static int probe_kvm(HostCaps *caps) {
        _cleanup_close_ int fd = -EBADF;
        int k;

        if (!cpu_virtualizes()) {
                k = asprintf(&caps->kvm_reason, "this CPU reports neither SVM nor VMX");
                return k < 0 ? -ENOMEM : 0;
        }
        fd = caps->kvm_fd > 0 ? fcntl(caps->kvm_fd, F_DUPFD_CLOEXEC, 3) : fd_open("/dev/kvm", O_RDWR, 0);
        if (fd < 0) {
                k = asprintf(&caps->kvm_reason, "cannot open /dev/kvm: %s", strerror(-fd));
                return k < 0 ? -ENOMEM : 0;
        }
        if (ioctl(fd, KVM_GET_API_VERSION, 0) != 12) {
                k = asprintf(&caps->kvm_reason, "/dev/kvm does not answer as KVM");
                return k < 0 ? -ENOMEM : 0;
        }
        caps->kvm = true;
        probe_policy_bits(fd, caps);
        probe_vm_types(fd, caps);
        return 0;
}

/* Distributions have it outside PATH. /usr/lib/qemu/virtiofsd, of QEMU before 8.0, is a different program. */
static int find_virtiofsd(char **ret) {
        static const char *const places[] = { "/usr/libexec/virtiofsd", "/usr/lib/virtiofsd" };
        int r = process_find_program("virtiofsd", ret);

        for (size_t i = 0; i < ELEMENTSOF(places) && r >= 0 && !*ret; i++)
                if (access(places[i], X_OK) == 0) {
                        *ret = strdup(places[i]);
                        r = *ret ? 0 : -ENOMEM;
                }
        return r;
}

/* The node may be there without its module. */
static void probe_vsock(HostCaps *caps) {
        if (caps->vsock_fd > 0) {
                caps->vsock = true;
                return;
        }
        int fd = fd_open("/dev/vhost-vsock", O_RDWR, 0);

        caps->vsock = fd >= 0;
        (void) fd_close(fd);
}

int host_caps_probe(const VmConfig *config, HostCaps *ret) {
        _cleanup_(host_caps_done) HostCaps caps = { .kvm_fd = ret->kvm_fd, .vsock_fd = ret->vsock_fd };
        int r;

        probe_sev(&caps);
        r = probe_kvm(&caps);
        if (r < 0)
                return r;
        if (!config->qemu)
                r = process_find_program("qemu-system-x86_64", &caps.qemu);
        if (r >= 0 && !config->qemu && !caps.qemu && access("/usr/libexec/qemu-kvm", X_OK) == 0) {
                caps.qemu = strdup("/usr/libexec/qemu-kvm");
                if (!caps.qemu)
                        r = -ENOMEM;
        }
        if (r >= 0 && config->tpm != TRISTATE_NO)
                r = process_find_program("swtpm", &caps.swtpm);
        if (r >= 0)
                r = find_virtiofsd(&caps.virtiofsd);
        if (r < 0)
                return r;
        if (config->vsock != VSOCK_NO)
                probe_vsock(&caps);
        if (access(QUOTE_SOCKET, F_OK) == 0 && !(caps.quote_socket = strdup(QUOTE_SOCKET)))
                return -ENOMEM;
        *ret = TAKE_STRUCT(caps, (HostCaps) {});
        return 0;
}

int host_caps_read(const char *path, HostCaps *ret, char **reterr) {
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        size_t size;
        int r;

        r = file_read_all(path, HOST_CAPS_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_set(reterr, r, "--host-caps: cannot read '%s': %s", path, strerror(-r));
        r = js_parse(text, size, &j, reterr);
        if (r >= 0)
                r = host_caps_from_json(j, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "--host-caps: '%s'", path) : 0;
}
