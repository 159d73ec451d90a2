/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What this host can do, as far as a launch needs to know. */

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
#include "run.h"
#include "strutil.h"

#define HOST_CAPS_SIZE_MAX (256u * 1024u) /* check-host writes some KiB */

/* AMD APM volume 3, Fn8000_001F: EAX bit 1 SEV, 3 SEV-ES, 4 SEV-SNP; EBX 5:0 C-bit position, 11:6 physical address
 * reduction. The maximum leaf is asked first: other CPUs answer anything. */
static void probe_sev(HostCaps *caps) {
        unsigned eax, ebx, ecx, edx;

        if ((unsigned) __get_cpuid_max(0x80000000u, NULL) < 0x8000001fu)
                return;
        __cpuid_count(0x8000001fu, 0, eax, ebx, ecx, edx);
        caps->sev = eax & 1u << 1;
        caps->sev_es = eax & 1u << 3;
        caps->sev_snp = eax & 1u << 4;
        if (!caps->sev)
                return;
        caps->cbitpos = ebx & 63;
        /* Guests lose one bit whatever the host loses: QEMU answers 1 in query-sev-capabilities on every part. */
        caps->reduced_phys_bits = 1;
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

        if (!caps->sev_snp)
                return;
        caps->snp_policy_bits = ioctl(kvm, KVM_GET_DEVICE_ATTR, &attribute) >= 0 && bits != 0
                        ? bits
                        : UINT64_C(0x1bffff);
}

/* The device node alone proves nothing: nested hosts exist where KVM answers everything and hangs every guest, and
 * their CPU shows neither SVM nor VMX. */
static int probe_kvm(HostCaps *caps) {
        _cleanup_close_ int fd = -EBADF;
        int k;

        if (!cpu_virtualizes()) {
                k = asprintf(&caps->kvm_reason, "this CPU shows neither SVM nor VMX");
                return k < 0 ? -ENOMEM : 0;
        }
        fd = fd_open("/dev/kvm", O_RDWR, 0);
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
        return 0;
}

/* The first executable of that name in PATH; *ret stays NULL if there is none. */
static int find_program(const char *name, char **ret) {
        _cleanup_strv_free_ char **directories = NULL;
        const char *path = getenv("PATH");
        int r = strv_split(path ?: "/usr/local/bin:/usr/bin:/bin", ':', &directories);

        if (r < 0)
                return r;
        STRV_FOREACH(d, directories) {
                char *candidate;

                if (**d != '/')
                        continue;
                if (asprintf(&candidate, "%s/%s", *d, name) < 0)
                        return -ENOMEM;
                if (access(candidate, X_OK) == 0) {
                        *ret = candidate;
                        return 0;
                }
                free(candidate);
        }
        return 0;
}

int run_probe_host(const VmConfig *config, HostCaps *ret) {
        _cleanup_(host_caps_done) HostCaps caps = {};
        int r;

        probe_sev(&caps);
        r = probe_kvm(&caps);
        if (r < 0)
                return r;
        if (!config->qemu)
                r = find_program("qemu-system-x86_64", &caps.qemu);
        if (r >= 0 && !config->qemu && !caps.qemu && access("/usr/libexec/qemu-kvm", X_OK) == 0) {
                caps.qemu = strdup("/usr/libexec/qemu-kvm");
                if (!caps.qemu)
                        r = -ENOMEM;
        }
        if (r >= 0 && config->tpm != TRISTATE_NO)
                r = find_program("swtpm", &caps.swtpm);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(caps, (HostCaps) {});
        return 0;
}

int run_read_host_caps(const char *path, HostCaps *ret, char **reterr) {
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

static int choose_kvm(const VmConfig *config, const HostCaps *caps, LaunchChoices *ret, char **ret_notice,
                char **reterr) {
        if (config->kvm == TRISTATE_NO)
                return 0;
        if (caps->kvm) {
                ret->kvm = true;
                return 0;
        }
        if (config->kvm == TRISTATE_YES)
                return error_set(reterr, -EOPNOTSUPP, "--kvm=yes: %s; remove it to run without acceleration",
                                caps->kvm_reason ?: "KVM cannot be used here");
        /* A confidential guest has no other way. The composer explains it where the CPU is to blame. */
        if (config->coco != SEV_MODE_NONE && !config->simulate) {
                ret->kvm = true;
                return 0;
        }
        if (asprintf(ret_notice, "no hardware acceleration (%s), the guest runs slowly under TCG",
                            caps->kvm_reason ?: "KVM cannot be used here") < 0)
                return -ENOMEM;
        return 0;
}

static int choose_tpm(const VmConfig *config, const HostCaps *caps, LaunchChoices *ret, char **reterr) {
        if (config->tpm == TRISTATE_YES && !caps->swtpm)
                return error_set(reterr, -ENOENT, "--tpm=yes: swtpm was not found in PATH; install swtpm");
        /* Auto means what systemd-vmspawn means by it, a TPM where one can be had; but never under --coco=, where the host's TPM
         * proves nothing. */
        ret->tpm = config->tpm == TRISTATE_YES ||
                        (config->tpm == TRISTATE_AUTO && config->coco == SEV_MODE_NONE && caps->swtpm);
        return 0;
}

int run_choose(const VmConfig *config, const HostCaps *caps, LaunchChoices *ret, char **ret_notice,
                char **reterr) {
        LaunchChoices choices = { .run = config->run, .simulated = config->simulate };
        bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
        int r;

        r = choose_kvm(config, caps, &choices, ret_notice, reterr);
        if (r < 0)
                return r;
        r = choose_tpm(config, caps, &choices, reterr);
        if (r < 0)
                return r;

        choices.console = config->console;
        if (choices.console == CONSOLE_AUTO)
                choices.console = config->run || config->json == JSON_SHORT_MODE ? CONSOLE_HEADLESS
                                : terminal                                       ? CONSOLE_INTERACTIVE
                                                                                 : CONSOLE_READ_ONLY;
        if (choices.console == CONSOLE_INTERACTIVE && !isatty(STDIN_FILENO))
                return error_set(reterr, -ENOTTY,
                                "--console=interactive: standard input is no terminal, use read-only");

        *ret = choices;
        return 0;
}
