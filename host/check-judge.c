/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What each mode needs, as lines in the order in which a person would mend it: CPU, BIOS, kernel, access, firmware, QEMU. */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "check-host.h"

#define PLATFORM_UNINIT 0u /* AMD 55766, "Platform states" */

static const char *const states[] = {
        [CHECK_OK] = "ok",
        [CHECK_MISSING] = "missing",
        [CHECK_UNKNOWN] = "unknown",
        [CHECK_NOTE] = "note",
};
static_assert(ELEMENTSOF(states) == _CHECK_STATE_MAX, "every state has a name");

const char *check_state_to_string(CheckState s) {
        return states[s];
}

void check_list_done(CheckList *l) {
        FOREACH_ARRAY(line, l->lines, l->n_lines) {
                free(line->text);
                free(line->remedy);
        }
        free(l->lines);
        *l = (CheckList) {};
}

static void add(CheckList *l, const char *subject, CheckState state, const char *remedy, const char *format,
                ...) _printf_(5, 6);

static void add(CheckList *l, const char *subject, CheckState state, const char *remedy, const char *format,
                ...) {
        CheckLine line = { .subject = subject, .state = state }, *lines;
        va_list ap;

        va_start(ap, format);
        int k = vasprintf(&line.text, format, ap);
        va_end(ap);
        if (k < 0)
                line.text = NULL;
        if (remedy && state != CHECK_OK)
                line.remedy = strdup(remedy);

        lines = reallocarray(l->lines, l->n_lines + 1, sizeof(CheckLine));
        if (!lines || !line.text) {
                free(line.text);
                free(line.remedy);
                l->error = -ENOMEM;
                if (lines)
                        l->lines = lines;
                return;
        }
        l->lines = lines;
        l->lines[l->n_lines++] = line;
}

static void judge_cpu_amd(const HostFacts *f, CocoMode m, CheckList *l) {
        const char *name = f->cpu_name ?: "unnamed";

        if (f->vendor != COCO_VENDOR_AMD)
                add(l, "CPU", CHECK_MISSING,
                                "use an AMD EPYC machine, or try the same launch here with --simulate",
                                "%s is not an AMD CPU: SEV is not available", name);
        else if (!f->caps.has[m])
                add(l, "CPU", CHECK_MISSING, coco_of(m)->host.cpu_remedy,
                                "%s does not report %s (CPUID 0x8000001f)", name, coco_of(m)->label);
        else
                add(l, "CPU", CHECK_OK, NULL, "%s has %s, C-bit %u", name, coco_of(m)->label,
                                f->caps.sev.cbitpos);

        if (f->caps.has[m] && coco_of(m)->host.amd.es_asids)
                add(l, "BIOS", f->min_sev_asid > 1 ? CHECK_OK : CHECK_MISSING,
                                "raise 'SEV-ES ASID space limit' (minimum SEV non-ES ASID) in the BIOS above 1",
                                "%u of %u ASIDs are for SEV-ES and SEV-SNP",
                                f->min_sev_asid > 0 ? f->min_sev_asid - 1 : 0, f->max_asids);
}

static void judge_cpu_intel(const HostFacts *f, CocoMode m, CheckList *l) {
        const char *name = f->cpu_name ?: "unnamed", *label = coco_of(m)->label;

        if (f->vendor != COCO_VENDOR_INTEL)
                add(l, "CPU", CHECK_MISSING,
                                "use an Intel Xeon machine, or record the launch here by 'cvmspawn sevsim'",
                                "%s is not an Intel CPU: %s is not available", name, label);
        else if (!f->tdx_platform && !f->caps.has[m])
                add(l, "CPU", CHECK_MISSING, coco_of(m)->host.cpu_remedy,
                                "%s: Linux found no %s in it (flag tdx_host_platform in /proc/cpuinfo)",
                                name, label);
        else
                add(l, "CPU", CHECK_OK, NULL, "%s has %s", name, label);
}

static void judge_kernel(const HostFacts *f, CocoMode m, CheckList *l) {
        const CocoHost *host = &coco_of(m)->host;
        bool recent = f->kernel_major > 6 || (f->kernel_major == 6 && f->kernel_minor >= host->linux_minor);

        add(l, "kernel", recent ? CHECK_OK : CHECK_MISSING, host->kernel_remedy, "Linux %s",
                        f->kernel ?: "of unknown version");
        if (f->module[m] != KNOWN_YES)
                add(l, host->kvm_module, CHECK_MISSING, host->module_remedy, "the module is not loaded");
        else if (f->parameter[m] == KNOWN_YES)
                add(l, host->kvm_module, CHECK_OK, NULL, "%s=Y", host->kvm_parameter);
        else
                add(l, host->kvm_module, CHECK_MISSING, host->kvm_remedy, "parameter %s is off",
                                host->kvm_parameter);
}

static void judge_kvm(const HostFacts *f, CocoMode m, CheckList *l) {
        if (f->kvm_errno == EACCES || f->kvm_errno == EPERM)
                add(l, "/dev/kvm", CHECK_UNKNOWN, "add this user to the group kvm, or run as root",
                                "no access");
        else if (f->kvm_errno > 0)
                add(l, "/dev/kvm", CHECK_MISSING, coco_of(m)->host.device_remedy, "%s",
                                strerror(f->kvm_errno));
        else if (!f->kvm_types_known)
                add(l, "/dev/kvm", f->virtualizes ? CHECK_UNKNOWN : CHECK_MISSING,
                                f->virtualizes ? "boot a kernel whose KVM reports its VM types (6.8 or later)"
                                               : coco_of(m)->host.virtualization_remedy,
                                "%s",
                                f->virtualizes ? "KVM does not report its VM types"
                                               : coco_of(m)->host.no_virtualization);
        else
                add(l, "/dev/kvm",
                                f->kvm_types & 1u << coco_of(m)->host.kvm_vm_type ? CHECK_OK : CHECK_MISSING,
                                "see the lines above: KVM supports a mode when BIOS, kernel and module do",
                                "KVM %s %s guests (VM types 0x%x)",
                                f->kvm_types & 1u << coco_of(m)->host.kvm_vm_type ? "supports"
                                                                                  : "does not support",
                                coco_of(m)->label, f->kvm_types);
}

static void judge_platform_amd(const HostFacts *f, CocoMode m, CheckList *l) {
        const CocoHost *host = &coco_of(m)->host;

        if (f->sev_errno == EACCES || f->sev_errno == EPERM) {
                add(l, "/dev/sev", CHECK_UNKNOWN,
                                "run as root (the node is 0600 root), or give this user access by a udev rule",
                                "no access");
                return;
        }
        if (f->sev_errno > 0) {
                add(l, "/dev/sev", CHECK_MISSING, "load the ccp module; see 'dmesg | grep -i ccp'", "%s",
                                strerror(f->sev_errno));
                return;
        }
        if (f->platform_known)
                add(l, "firmware", CHECK_OK, NULL, "SEV API %u.%u build %u", f->api_major, f->api_minor,
                                f->build);
        else
                add(l, "firmware", CHECK_UNKNOWN, "see 'dmesg | grep -i sev'",
                                "/dev/sev does not answer the PLATFORM_STATUS command");
        /* The first guest initialises the platform; before that nobody knows. */
        if (host->amd.es_setup && f->platform_known && !f->es_configured &&
                        f->platform_state == PLATFORM_UNINIT)
                add(l, "SEV-ES", CHECK_NOTE, NULL, "the platform is not initialised before its first guest");
        else if (host->amd.es_setup && f->platform_known)
                add(l, "SEV-ES", f->es_configured ? CHECK_OK : CHECK_MISSING,
                                "the platform was initialised without SEV-ES: see kvm_amd.sev_es and newer firmware notes (AMD-SB-3023)",
                                "%s", f->es_configured ? "configured" : "not configured");
        if (!host->amd.rmp)
                return;
        if (!f->snp_known)
                add(l, "SNP", CHECK_UNKNOWN, "SNP_PLATFORM_STATUS needs Linux 6.11 and SNP enabled",
                                "the firmware did not answer SNP_PLATFORM_STATUS");
        else {
                add(l, "SNP", f->rmp_initialized ? CHECK_OK : CHECK_MISSING,
                                "reserve the RMP in the BIOS (SNP memory coverage), see 'dmesg | grep RMP'",
                                "firmware %u.%u build %u, RMP %s", f->snp_major, f->snp_minor, f->snp_build,
                                f->rmp_initialized ? "initialised" : "not initialised");
                add(l, "TCB", CHECK_NOTE, NULL, "current %016" PRIx64 ", reported %016" PRIx64,
                                f->current_tcb, f->reported_tcb);
        }
}

/* A guest without a service starts, and can prove nothing to others. */
static void judge_platform_intel(const HostFacts *f, CocoMode m, CheckList *l) {
        if (f->caps.quote_socket)
                add(l, "quotes", CHECK_OK, NULL, "service at %s", f->caps.quote_socket);
        else
                add(l, "quotes", CHECK_NOTE, "install Intel's qgsd, or pass --quote-socket=",
                                "no socket of a quoting service: %s guests ask vsock:2:4050",
                                coco_of(m)->label);
}

static void judge_iommu(const HostFacts *f, CocoMode m, CheckList *l) {
        if (coco_of(m)->host.vendor != COCO_VENDOR_AMD || !coco_of(m)->host.amd.rmp)
                return;
        if (f->iommu == KNOWN_YES && !f->iommu_passthrough)
                add(l, "IOMMU", CHECK_OK, NULL, "on");
        else
                add(l, "IOMMU", f->iommu == KNOWN_UNKNOWN ? CHECK_UNKNOWN : CHECK_MISSING,
                                "enable the IOMMU in the BIOS and boot without iommu=pt and iommu=off", "%s",
                                f->iommu_passthrough ? "in passthrough mode or off" : "not found");
}

static void judge_limits(const HostFacts *f, CocoMode m, uint64_t ram, CheckList *l) {
        uint64_t wanted = ram + (UINT64_C(256) << 20); /* guest RAM, firmware, ROMs */
        unsigned all = f->asids[m], used = f->asids_used[m];

        if (f->asids_known && f->caps.has[m])
                add(l, coco_of(m)->host.key_noun, all > used ? CHECK_OK : CHECK_MISSING,
                                "end other confidential guests", "%u of %u in use", used, all);
        if (!coco_of(m)->host.pins_memory)
                return;
        if (f->ipc_lock || f->memlock >= wanted)
                add(l, "memlock", CHECK_OK, NULL, "%s",
                                f->ipc_lock ? "no limit for this user"
                                            : "high enough for the guest's memory");
        else
                add(l, "memlock", CHECK_MISSING,
                                "raise it (ulimit -l, LimitMEMLOCK=) above --ram= plus 256 MiB, or run as root",
                                "the limit for locked memory is %" PRIu64 " MiB; %" PRIu64 " MiB are needed",
                                f->memlock >> 20, wanted >> 20);
}

static const struct {
        void (*cpu)(const HostFacts *f, CocoMode m, CheckList *l);
        void (*platform)(const HostFacts *f, CocoMode m, CheckList *l);
        bool fetched; /* tools/fetch-artifacts fetches an image for it */
} vendors[] = {
        [COCO_VENDOR_NONE] = {},
        [COCO_VENDOR_AMD] = { judge_cpu_amd, judge_platform_amd, true },
        [COCO_VENDOR_INTEL] = { judge_cpu_intel, judge_platform_intel, false },
};

static void judge_software(const HostFacts *f, CocoMode m, CheckList *l) {
        Known object = f->qemu_object[m];

        if (!f->qemu_version)
                add(l, "QEMU", CHECK_MISSING, coco_of(m)->host.qemu_remedy, "not found");
        else
                add(l, "QEMU", f->qemu_major >= 10 && object == KNOWN_YES ? CHECK_OK : CHECK_MISSING,
                                coco_of(m)->host.qemu_remedy, "version %s %s %s", f->qemu_version,
                                object == KNOWN_YES ? "with" : "without", coco_of(m)->qemu_object);
        if (f->firmware[m])
                add(l, "OVMF", CHECK_OK, NULL, "%s", f->firmware[m]);
        else
                add(l, "OVMF", CHECK_MISSING,
                                vendors[coco_of(m)->host.vendor].fetched && f->fetched_remedy
                                                ? f->fetched_remedy
                                                : coco_of(m)->host.firmware_remedy,
                                "no firmware descriptor offers %s%s", coco_of(m)->label,
                                coco_of(m)->kernel_needs ? " with kernel hashes" : "");
        if (f->firmware[m] && f->firmware_keys[m])
                add(l, "signing", CHECK_NOTE,
                                "sign the kernel, or name an image without keys with --firmware=",
                                "it has Secure Boot keys: needs --secure-boot=yes and a signed kernel");
}

/* Published as BadAML; there is nothing to mend on a host. */
static void judge_uncovered(CocoMode m, CheckList *l) {
        add(l, "ACPI", CHECK_NOTE, NULL, "%s",
                        coco_of(m)->event_log
                                        ? "the guest runs the host's tables: compare RTMR0, see cvmspawn-threat-model(7)"
                                        : "no digest covers these tables, and the guest runs them: cvmspawn-threat-model(7)");
}

int check_judge(const HostFacts *f, CocoMode mode, uint64_t ram, CheckList *ret) {
        CheckList l = {};

        vendors[coco_of(mode)->host.vendor].cpu(f, mode, &l);
        judge_kernel(f, mode, &l);
        judge_kvm(f, mode, &l);
        vendors[coco_of(mode)->host.vendor].platform(f, mode, &l);
        judge_iommu(f, mode, &l);
        judge_limits(f, mode, ram, &l);
        judge_software(f, mode, &l);
        judge_uncovered(mode, &l);
        if (l.error < 0) {
                int r = l.error;

                check_list_done(&l);
                return r;
        }
        *ret = l;
        return 0;
}

int check_list_status(const CheckList *l) {
        int status = 0;

        FOREACH_ARRAY(line, l->lines, l->n_lines) {
                if (line->state == CHECK_MISSING)
                        return 3;
                if (line->state == CHECK_UNKNOWN)
                        status = 4;
        }
        return status;
}
