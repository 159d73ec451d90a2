/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* CPU properties, CPU models and machine types: lists of QEMU 10.0.2 and 11.1.3 (device-list-properties of max-x86_64-cpu, query-machines,
 * query-cpu-model-expansion). */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "foreign-qemu-table.h"
#include "sev-cpu.h"
#include "strutil.h"

static const EffectRow qemu_cpu_properties_rows[] = {
        { EFFECT_KNOWN, "family model stepping" },
        { EFFECT_UNKNOWN, "crash-information feature-words filtered-features memory unavailable-features",
                        "QEMU refuses to set it" },
        /* Features and identifiers: CPUID, MSRs and topology, none of which is in a VMSA at reset. */
        { EFFECT_NONE,
                        "apic-id avx10-version cet-s cet-u core-id die-id guest-phys-bits "
                        "host-phys-bits-limit hv-no-nonarch-coresharing hv-spinlocks hv-vendor-id "
                        "hv-version-id-build hv-version-id-major hv-version-id-minor "
                        "hv-version-id-sbranch hv-version-id-snumber hv-version-id-spack lbr-fmt "
                        "level level-func7 min-level min-xlevel min-xlevel2 model-id module-id "
                        "node-id phys-bits socket-id thread-id tsc-freq tsc-frequency ucode-rev "
                        "vendor x-hv-max-vps xlevel xlevel2" },
        { EFFECT_NONE,
                        "3dnow 3dnowext 3dnowprefetch abm ace2 ace2-en acpi adx aes amd-no-ssb "
                        "amd-psfd amd-ssbd amd-stibp amx-avx512 amx-bf16 amx-bf16-alias amx-complex "
                        "amx-complex-alias amx-fp16 amx-fp16-alias amx-fp8 amx-int8 amx-int8-alias "
                        "amx-movrs amx-tf32 amx-tile apic apx-nci-ndd-nf apxf arat arch-capabilities "
                        "arch-lbr auto-ibrs avic avx avx-ifma avx-ne-convert avx-vnni avx-vnni-int16 "
                        "avx-vnni-int8 avx10 avx10-128 avx10-256 avx10-512 avx10-vnni-int avx2 "
                        "avx512-4fmaps avx512-4vnniw avx512-bf16 avx512-fp16 avx512-vp2intersect "
                        "avx512-vpopcntdq avx512bitalg avx512bw avx512cd avx512dq avx512er avx512f "
                        "avx512ifma avx512pf avx512vbmi avx512vbmi2 avx512vl avx512vnni bhi-ctrl "
                        "bhi-no bmi1 bmi2 bus-lock-detect cet-ibt cet-ss check cid cldemote clflush "
                        "clflushopt clwb clzero cmov cmp-legacy cmpccxadd core-capability cpuid-0xb "
                        "cr8legacy cx16 cx8 dca ddpd-u de decodeassists ds ds-cpl dtes64 enforce "
                        "eraps erms est extapic f16c fb-clear fbsdp-no fdp-excptn-only ffxsr "
                        "fill-mtrr-mask flush-l1d flushbyasid fma fma4 fpu fred fs-gs-base-ns "
                        "fsgsbase fsrc fsrm fsrs full-cpuid-auto-level full-width-write fxsr fxsr-opt "
                        "fzrm gds-no gfni gmet hle host-cache-info host-phys-bits ht hv-apicv hv-avic "
                        "hv-crash hv-emsr-bitmap hv-enforce-cpuid hv-evmcs hv-frequencies hv-ipi "
                        "hv-passthrough hv-reenlightenment hv-relaxed hv-reset hv-runtime hv-stimer "
                        "hv-stimer-direct hv-syndbg hv-synic hv-time hv-tlbflush hv-tlbflush-direct "
                        "hv-tlbflush-ext hv-vapic hv-vpindex hv-xmm-input hypervisor i64 ia64 ibpb "
                        "ibpb-brtype ibrs ibrs-all ibs intel-psfd intel-pt intel-pt-lip invpcid "
                        "invtsc ipred-ctrl its-no kvm kvm-asyncpf kvm-asyncpf-int kvm-asyncpf-vmexit "
                        "kvm-hint-dedicated kvm-mmu kvm-msi-ext-dest-id kvm-nopiodelay "
                        "kvm-poll-control kvm-pv-enforce-cpuid kvm-pv-eoi kvm-pv-ipi "
                        "kvm-pv-sched-yield kvm-pv-tlb-flush kvm-pv-unhalt kvm-steal-time kvmclock "
                        "kvmclock-stable-bit l3-cache la57 lahf-lm lam lbrv legacy-cache "
                        "legacy-multi-node lfence-always-serializing lkgs lm lmce lwp mca mcdt-no mce "
                        "md-clear mds-no migratable misalignsse mmx mmxext monitor movbe movdir64b "
                        "movdiri movrs mpx msr msr-imm mtrr no-nested-data-bp nodeid-msr npt "
                        "nrip-save null-sel-clr-base nx osvw overflow-recov pae pat pause-filter pbe "
                        "pbrsb-no pcid pclmuldq pclmulqdq pcommit pdcm pdpe1gb perfctr-core "
                        "perfctr-nb perfmon-v2 pfthreshold pge phe phe-en pks pku pmm pmm-en pmu pn "
                        "pni popcnt prefetchi prefetchiti pschange-mc-no psdp-no pse pse36 rdctl-no "
                        "rdpid rdrand rdseed rdtscp rfds-clear rfds-no rrsba-ctrl rsba rtm "
                        "sbdr-ssdp-no sbpb sep serialize sgx sgx-aex-notify sgx-debug sgx-edeccssa "
                        "sgx-exinfo sgx-kss sgx-mode64 sgx-provisionkey sgx-tokenkey sgx1 sgx2 sgxlc "
                        "sha-ni sha512 skinit skip-l1dfl-vmentry sm3 sm4 smap smep smx spec-ctrl "
                        "split-lock-detect srso-no srso-user-kernel-no ss ssb-no ssbd sse sse2 sse3 "
                        "sse4-1 sse4-2 sse4.1 sse4.2 sse4a ssse3 start-powered-off stibp "
                        "stibp-always-on succor svm svm-lock svme-addr-chk syscall taa-no tbm tce "
                        "tcg-cpuid tm tm2 topoext tsa-l1-no tsa-sq-no tsc tsc-adjust tsc-deadline "
                        "tsc-scale tsx-ctrl tsx-ldtrk umip v-vmsave-vmload vaes verw-clear vgif "
                        "virt-ssbd vmcb-clean vme vmware-cpuid-freq vmx vmx-activity-hlt "
                        "vmx-activity-shutdown vmx-activity-wait-sipi vmx-any-errcode "
                        "vmx-apicv-register vmx-apicv-vid vmx-apicv-x2apic vmx-apicv-xapic "
                        "vmx-cr3-load-noexit vmx-cr3-store-noexit vmx-cr8-load-exit "
                        "vmx-cr8-store-exit vmx-desc-exit vmx-enable-user-wait-pause vmx-encls-exit "
                        "vmx-entry-ia32e-mode vmx-entry-load-bndcfgs vmx-entry-load-cet "
                        "vmx-entry-load-efer vmx-entry-load-fred vmx-entry-load-pat "
                        "vmx-entry-load-perf-global-ctrl vmx-entry-load-pkrs vmx-entry-load-rtit-ctl "
                        "vmx-entry-noload-debugctl vmx-ept vmx-ept-1gb vmx-ept-2mb "
                        "vmx-ept-advanced-exitinfo vmx-ept-execonly vmx-eptad vmx-eptp-switching "
                        "vmx-exit-ack-intr vmx-exit-clear-bndcfgs vmx-exit-clear-rtit-ctl "
                        "vmx-exit-load-efer vmx-exit-load-pat vmx-exit-load-perf-global-ctrl "
                        "vmx-exit-load-pkrs vmx-exit-nosave-debugctl vmx-exit-save-cet "
                        "vmx-exit-save-efer vmx-exit-save-pat vmx-exit-save-preemption-timer "
                        "vmx-exit-secondary-ctls vmx-flexpriority vmx-hlt-exit vmx-ins-outs "
                        "vmx-intr-exit vmx-invept vmx-invept-all-context vmx-invept-single-context "
                        "vmx-invept-single-context-noglobals vmx-invlpg-exit vmx-invpcid-exit "
                        "vmx-invvpid vmx-invvpid-all-context vmx-invvpid-single-addr vmx-io-bitmap "
                        "vmx-io-exit vmx-mbec vmx-monitor-exit vmx-movdr-exit vmx-msr-bitmap vmx-mtf "
                        "vmx-mwait-exit vmx-nested-exception vmx-nmi-exit vmx-page-walk-4 "
                        "vmx-page-walk-5 vmx-pause-exit vmx-ple vmx-pml vmx-posted-intr "
                        "vmx-preemption-timer vmx-rdpmc-exit vmx-rdrand-exit vmx-rdseed-exit "
                        "vmx-rdtsc-exit vmx-rdtscp-exit vmx-secondary-ctls vmx-shadow-vmcs "
                        "vmx-store-lma vmx-true-ctls vmx-tsc-offset vmx-tsc-scaling "
                        "vmx-unrestricted-guest vmx-vintr-pending vmx-vmfunc "
                        "vmx-vmwrite-vmexit-fields vmx-vnmi vmx-vnmi-pending vmx-vpid vmx-wbinvd-exit "
                        "vmx-xsaves vmx-zero-len-inject vnmi vpclmulqdq waitpkg wbnoinvd wdt wrmsrns "
                        "x-amd-topoext-features-only x-arch-cap-always-on x-consistent-cache "
                        "x-force-cpuid-0x1f x-force-features x-hv-synic-kvm-only "
                        "x-intel-pt-auto-level x-l1-cache-per-thread x-migrate-smi-count "
                        "x-pdcm-on-even-without-pmu x-vendor-cpuid-only x-vendor-cpuid-only-v2 x2apic "
                        "xcrypt xcrypt-en xd xen-vapic xfd xgetbv1 xop xsave xsavec xsaveerptr "
                        "xsaveopt xsaves xstore xstore-en xtpr zero-fcs-fds",
                        NULL, VALUE_BOOLEAN },
};

const EffectTable qemu_cpu_properties = { .what = "-cpu's property ",
        .rows = qemu_cpu_properties_rows,
        .n_rows = ELEMENTSOF(qemu_cpu_properties_rows) };

/* --- CPU models and machines --------------------------------------------------------------------------------------------- */

/* query-cpu-model-expansion; those of AMD are in sev/sev-cpu.c. */
static const struct {
        unsigned family, model, stepping;
        const char *names;
} models[] = {
        { 0, 0, 0, "base" },
        { 4, 8, 0, "486 486-v1" },
        { 5, 4, 3, "pentium pentium-v1" },
        { 6, 2, 3, "athlon athlon-v1" },
        { 6, 5, 2, "pentium2 pentium2-v1" },
        { 6, 6, 3, "qemu32 qemu32-v1" },
        { 6, 7, 3, "pentium3 pentium3-v1" },
        { 6, 14, 8, "coreduo coreduo-v1" },
        { 6, 15, 3, "Conroe Conroe-v1" },
        { 6, 15, 11, "core2duo core2duo-v1" },
        { 6, 23, 3, "Penryn Penryn-v1" },
        { 6, 26, 3, "Nehalem Nehalem-IBRS Nehalem-v1 Nehalem-v2" },
        { 6, 28, 2, "n270 n270-v1" },
        { 6, 42, 1, "SandyBridge SandyBridge-IBRS SandyBridge-v1 SandyBridge-v2" },
        { 6, 44, 1, "Westmere Westmere-IBRS Westmere-v1 Westmere-v2" },
        { 6, 58, 9, "IvyBridge IvyBridge-IBRS IvyBridge-v1 IvyBridge-v2" },
        { 6, 60, 1, "Haswell-noTSX Haswell-noTSX-IBRS Haswell-v2 Haswell-v4" },
        { 6, 60, 4, "Haswell Haswell-IBRS Haswell-v1 Haswell-v3" },
        { 6, 61, 2,
                        "Broadwell Broadwell-IBRS Broadwell-noTSX Broadwell-noTSX-IBRS "
                        "Broadwell-v1 Broadwell-v2 Broadwell-v3 Broadwell-v4" },
        { 6, 85, 4,
                        "Skylake-Server Skylake-Server-IBRS Skylake-Server-noTSX-IBRS "
                        "Skylake-Server-v1 Skylake-Server-v2 Skylake-Server-v3 "
                        "Skylake-Server-v4 Skylake-Server-v5 Skylake-Server-v6" },
        { 6, 85, 6,
                        "Cascadelake-Server Cascadelake-Server-noTSX Cascadelake-Server-v1 "
                        "Cascadelake-Server-v2 Cascadelake-Server-v3 Cascadelake-Server-v4 "
                        "Cascadelake-Server-v5 Cascadelake-Server-v6 Cascadelake-Server-v7" },
        { 6, 85, 10, "Cooperlake Cooperlake-v1 Cooperlake-v2" },
        { 6, 94, 3,
                        "Skylake-Client Skylake-Client-IBRS Skylake-Client-noTSX-IBRS "
                        "Skylake-Client-v1 Skylake-Client-v2 Skylake-Client-v3 "
                        "Skylake-Client-v4" },
        { 6, 95, 1, "Denverton Denverton-v1 Denverton-v2 Denverton-v3" },
        { 6, 106, 0,
                        "Icelake-Server-v4 Icelake-Server-v5 Icelake-Server-v6 "
                        "Icelake-Server-v7 Icelake-Server-v8 Icelake-Server-v9" },
        { 6, 133, 0, "KnightsMill KnightsMill-v1" },
        { 6, 134, 0,
                        "Icelake-Server Icelake-Server-noTSX Icelake-Server-v1 "
                        "Icelake-Server-v2 Icelake-Server-v3" },
        { 6, 134, 1, "Snowridge Snowridge-v1 Snowridge-v2 Snowridge-v3 Snowridge-v4" },
        { 6, 143, 4,
                        "SapphireRapids SapphireRapids-v1 SapphireRapids-v2 "
                        "SapphireRapids-v3 SapphireRapids-v4 SapphireRapids-v5 "
                        "SapphireRapids-v6 SapphireRapids-v7 SapphireRapids-v8" },
        { 6, 173, 0, "GraniteRapids GraniteRapids-v1" },
        { 6, 173, 1,
                        "GraniteRapids-v2 GraniteRapids-v3 GraniteRapids-v4 GraniteRapids-v5 "
                        "GraniteRapids-v6 GraniteRapids-v7" },
        { 6, 175, 0, "SierraForest SierraForest-v1" },
        { 6, 175, 3,
                        "SierraForest-v2 SierraForest-v3 SierraForest-v4 SierraForest-v5 "
                        "SierraForest-v6" },
        { 6, 221, 0,
                        "ClearwaterForest ClearwaterForest-v1 ClearwaterForest-v2 "
                        "ClearwaterForest-v3 ClearwaterForest-v4" },
        { 7, 11, 3, "YongFeng YongFeng-v1" },
        { 7, 91, 3, "YongFeng-v2 YongFeng-v3" },
        { 15, 6, 1, "kvm32 kvm32-v1 kvm64 kvm64-v1" },
        { 19, 1, 0, "DiamondRapids DiamondRapids-v1 DiamondRapids-v2" },
};

bool qemu_cpu_is_host(const char *name) {
        return streq(name, "host") || streq(name, "max");
}

int qemu_cpu_model(const char *name, unsigned *ret_family, unsigned *ret_model, unsigned *ret_stepping) {
        const SevCpu *c = sev_cpu_find(name);

        if (c && streq(c->name, name)) { /* QEMU's names have one spelling */
                *ret_family = c->family;
                *ret_model = c->model;
                *ret_stepping = c->stepping;
                return 0;
        }
        FOREACH_ARRAY(m, models, ELEMENTSOF(models)) {
                const EffectRow row = { EFFECT_KNOWN, m->names, NULL };
                const EffectTable table = { "", &row, 1 };

                if (!effect_find(&table, name))
                        continue;
                *ret_family = m->family;
                *ret_model = m->model;
                *ret_stepping = m->stepping;
                return 0;
        }
        return -ENOENT;
}

#define MACHINE_VERSION_MAX 1101u

/* query-machines, member cpu-max. The last row that a type begins with counts; versions are MAJOR.MINOR. */
static const struct {
        const char *prefix;
        unsigned version; /* from this one on: 100 * major + minor */
        unsigned max_cpus;
} machines[] = {
        { "pc-i440fx-", 0, 255 },
        { "pc-q35-", 0, 255 },
        { "pc-q35-", 208, 288 },
        { "pc-q35-", 801, 1024 },
        { "pc-q35-", 900, 4096 },
};

unsigned qemu_machine_max_cpus(const char *type) {
        unsigned max = 0;

        if (streq(type, "q35"))
                return 4096;
        if (streq(type, "pc"))
                return 255;
        FOREACH_ARRAY(m, machines, ELEMENTSOF(machines)) {
                const char *rest = startswith(type, m->prefix);
                unsigned long major, minor;
                char *end;

                if (!rest)
                        continue;
                /* Distributions have their own versions: pc-q35-rhel9.6.0, pc-q35-noble. */
                major = strtoul(rest, &end, 10);
                minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
                if (end == rest)
                        major = 9;
                /* What a type of the future does by default is not known: older ones have another default VM type. */
                else if (major * 100 + minor > MACHINE_VERSION_MAX)
                        return 0;
                if (major * 100 + minor >= m->version)
                        max = m->max_cpus;
        }
        return max;
}
