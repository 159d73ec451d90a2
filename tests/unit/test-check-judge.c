/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Hosts on paper: one that can do everything, and the same with one thing wrong each time. */

#include <errno.h>
#include <string.h>

#include "check-host.h"
#include "strutil.h"
#include "test.h"

#define GIB (UINT64_C(1) << 30)

/* The facts of a Milan host in order. Texts are literals: host_facts_done() is not for them. */
static HostFacts good_host(void) {
        return (HostFacts) {
                .caps = { .kvm = true,
                                .has = { false, true, true, true },
                                .sev = { .cbitpos = 51, .reduced_phys_bits = 1 } },
                .vendor = COCO_VENDOR_AMD,
                .cpu_name = (char *) "AMD EPYC 7543 32-Core Processor",
                .virtualizes = true,
                .kernel = (char *) "6.12.9",
                .kernel_major = 6,
                .kernel_minor = 12,
                .max_asids = 509,
                .min_sev_asid = 100,
                .kvm_types_known = true,
                .kvm_types = 1u << 2 | 1u << 3 | 1u << 4,
                .module = { KNOWN_NO, KNOWN_YES, KNOWN_YES, KNOWN_YES },
                .parameter = { KNOWN_UNKNOWN, KNOWN_YES, KNOWN_YES, KNOWN_YES },
                .platform_known = true,
                .api_major = 1,
                .api_minor = 55,
                .build = 21,
                .platform_state = 1,
                .es_configured = true,
                .snp_known = true,
                .snp_major = 1,
                .snp_minor = 55,
                .snp_build = 21,
                .rmp_initialized = true,
                .current_tcb = 0x541700000000000a,
                .reported_tcb = 0x541700000000000a,
                .iommu = KNOWN_YES,
                .asids_known = true,
                .asids = { 0, 410, 99, 99 },
                .memlock = UINT64_MAX,
                .qemu_version = (char *) "10.0.2",
                .qemu_major = 10,
                .qemu_object = { KNOWN_UNKNOWN, KNOWN_YES, KNOWN_YES, KNOWN_YES },
                .firmware = { NULL, (char *) "/fw", (char *) "/fw", (char *) "/fw" },
        };
}

/* The facts of a Xeon host in order, with Linux 6.17. */
static void intel(HostFacts *f) {
        *f = (HostFacts) {
                .caps = { .kvm = true, .quote_socket = (char *) "/run/tdx-qgs/qgs.socket" },
                .vendor = COCO_VENDOR_INTEL,
                .tdx_platform = true,
                .cpu_name = (char *) "Intel(R) Xeon(R) 6960P",
                .virtualizes = true,
                .kernel = (char *) "6.17.1",
                .kernel_major = 6,
                .kernel_minor = 17,
                .kvm_types_known = true,
                .kvm_types = 1u << 0 | 1u << 5,
                .asids_known = true,
                .memlock = 0,
                .qemu_version = (char *) "10.1.0",
                .qemu_major = 10,
        };
        f->caps.has[COCO_TDX] = true;
        f->module[COCO_TDX] = f->parameter[COCO_TDX] = f->qemu_object[COCO_TDX] = KNOWN_YES;
        f->asids[COCO_TDX] = 60;
        f->firmware[COCO_TDX] = (char *) "/fw";
}
static void intel_without_tdx(HostFacts *f) {
        intel(f);
        f->tdx_platform = f->caps.has[COCO_TDX] = false;
}
static void intel_old_kernel(HostFacts *f) {
        intel(f);
        f->kernel_minor = 15;
}
static void intel_off(HostFacts *f) {
        intel(f);
        f->parameter[COCO_TDX] = KNOWN_NO;
}
static void intel_no_type(HostFacts *f) {
        intel(f);
        f->kvm_types = 1;
}
static void intel_no_key(HostFacts *f) {
        intel(f);
        f->asids_used[COCO_TDX] = 60;
}
static void intel_no_quotes(HostFacts *f) {
        intel(f);
        f->caps.quote_socket = NULL;
}
static void intel_old_qemu(HostFacts *f) {
        intel(f);
        f->qemu_object[COCO_TDX] = KNOWN_NO;
}
static void intel_no_firmware(HostFacts *f) {
        intel(f);
        f->firmware[COCO_TDX] = NULL;
}
static void intel_signed_only(HostFacts *f) {
        intel(f);
        f->firmware_keys[COCO_TDX] = true;
}
static void no_amd(HostFacts *f) {
        f->vendor = COCO_VENDOR_INTEL;
}
static void no_snp_in_cpu(HostFacts *f) {
        f->caps.has[COCO_SEV_SNP] = false;
}
static void no_es_in_cpu(HostFacts *f) {
        f->caps.has[COCO_SEV_ES] = false;
}
static void no_asids_for_es(HostFacts *f) {
        f->min_sev_asid = 1;
}
static void old_kernel(HostFacts *f) {
        f->kernel_minor = 9;
}
static void kernel_6_10(HostFacts *f) {
        f->kernel_minor = 10;
}
static void no_module(HostFacts *f) {
        memset(f->module, 0, sizeof(f->module));
}
static void snp_off(HostFacts *f) {
        f->parameter[COCO_SEV_SNP] = KNOWN_NO;
}
static void sev_off(HostFacts *f) {
        f->parameter[COCO_SEV] = KNOWN_NO;
}
static void kvm_denied(HostFacts *f) {
        f->kvm_errno = EACCES;
}
static void kvm_absent(HostFacts *f) {
        f->kvm_errno = ENOENT;
}
static void no_svm(HostFacts *f) {
        f->virtualizes = f->kvm_types_known = false;
}
static void types_not_told(HostFacts *f) {
        f->kvm_types_known = false;
}
static void only_sev_type(HostFacts *f) {
        f->kvm_types = 1u << 2;
}
static void sev_denied(HostFacts *f) {
        f->sev_errno = EACCES;
}
static void sev_absent(HostFacts *f) {
        f->sev_errno = ENOENT;
}
static void platform_silent(HostFacts *f) {
        f->platform_known = false;
}
static void es_not_configured(HostFacts *f) {
        f->es_configured = false;
}
static void nobody_initialised(HostFacts *f) {
        f->es_configured = false;
        f->platform_state = 0;
}
static void snp_silent(HostFacts *f) {
        f->snp_known = false;
}
static void no_rmp(HostFacts *f) {
        f->rmp_initialized = false;
}
static void no_iommu(HostFacts *f) {
        f->iommu = KNOWN_NO;
}
static void iommu_passthrough(HostFacts *f) {
        f->iommu_passthrough = true;
}
static void no_asid_free(HostFacts *f) {
        f->asids_used[COCO_SEV_ES] = f->asids_used[COCO_SEV_SNP] = 99;
}
static void little_to_lock(HostFacts *f) {
        f->memlock = 8 << 20;
}
static void little_to_lock_but_may(HostFacts *f) {
        little_to_lock(f);
        f->ipc_lock = true;
}
static void no_qemu(HostFacts *f) {
        f->qemu_version = NULL;
}
static void old_qemu(HostFacts *f) {
        f->qemu_version = (char *) "7.2.9";
        f->qemu_major = 7;
        f->qemu_object[COCO_SEV_SNP] = KNOWN_NO;
}
static void no_firmware(HostFacts *f) {
        f->firmware[COCO_SEV_SNP] = NULL;
}

static const struct {
        void (*change)(HostFacts *f);
        CocoMode mode;
        int status;
        const char *subject; /* the line that is not ok */
        CheckState state;
        const char *part; /* of its text or remedy */
} hosts[] = {
        { no_amd, COCO_SEV_SNP, 3, "CPU", CHECK_MISSING, "is not an AMD CPU" },
        { no_snp_in_cpu, COCO_SEV_SNP, 3, "CPU", CHECK_MISSING, "Milan or later" },
        { no_es_in_cpu, COCO_SEV_ES, 3, "CPU", CHECK_MISSING, "SMEE" },
        { no_es_in_cpu, COCO_SEV, 0, NULL, CHECK_OK, NULL },
        { no_asids_for_es, COCO_SEV_SNP, 3, "BIOS", CHECK_MISSING, "ASID space limit" },
        { no_asids_for_es, COCO_SEV, 0, NULL, CHECK_OK, NULL },
        { old_kernel, COCO_SEV, 3, "kernel", CHECK_MISSING, "--sev-vm-type=legacy" },
        { kernel_6_10, COCO_SEV_ES, 0, NULL, CHECK_OK, NULL },
        { kernel_6_10, COCO_SEV_SNP, 3, "kernel", CHECK_MISSING, "6.11" },
        { no_module, COCO_SEV, 3, "kvm_amd", CHECK_MISSING, "modprobe" },
        { snp_off, COCO_SEV_SNP, 3, "kvm_amd", CHECK_MISSING, "sev_snp=1" },
        { snp_off, COCO_SEV_ES, 0, NULL, CHECK_OK, NULL },
        { sev_off, COCO_SEV, 3, "kvm_amd", CHECK_MISSING, "sev=1" },
        { kvm_denied, COCO_SEV_SNP, 4, "/dev/kvm", CHECK_UNKNOWN, "group kvm" },
        { kvm_absent, COCO_SEV_SNP, 3, "/dev/kvm", CHECK_MISSING, "load kvm_amd" },
        { no_svm, COCO_SEV_SNP, 3, "/dev/kvm", CHECK_MISSING, "enable SVM in the BIOS" },
        { types_not_told, COCO_SEV_SNP, 4, "/dev/kvm", CHECK_UNKNOWN, "6.8" },
        { only_sev_type, COCO_SEV_SNP, 3, "/dev/kvm", CHECK_MISSING, "does not support SEV-SNP guests" },
        { only_sev_type, COCO_SEV, 0, NULL, CHECK_OK, NULL },
        { sev_denied, COCO_SEV_SNP, 4, "/dev/sev", CHECK_UNKNOWN, "udev" },
        { sev_absent, COCO_SEV_SNP, 3, "/dev/sev", CHECK_MISSING, "ccp" },
        { platform_silent, COCO_SEV, 4, "firmware", CHECK_UNKNOWN, "PLATFORM_STATUS" },
        { es_not_configured, COCO_SEV_ES, 3, "SEV-ES", CHECK_MISSING, "AMD-SB-3023" },
        { nobody_initialised, COCO_SEV_ES, 0, "SEV-ES", CHECK_NOTE, "first guest" },
        { es_not_configured, COCO_SEV_SNP, 0, NULL, CHECK_OK, NULL },
        { snp_silent, COCO_SEV_SNP, 4, "SNP", CHECK_UNKNOWN, "6.11" },
        { no_rmp, COCO_SEV_SNP, 3, "SNP", CHECK_MISSING, "reserve the RMP" },
        { no_rmp, COCO_SEV, 0, NULL, CHECK_OK, NULL },
        { no_iommu, COCO_SEV_SNP, 3, "IOMMU", CHECK_MISSING, "enable the IOMMU" },
        { iommu_passthrough, COCO_SEV_SNP, 3, "IOMMU", CHECK_MISSING, "iommu=pt" },
        { iommu_passthrough, COCO_SEV_ES, 0, NULL, CHECK_OK, NULL },
        { no_asid_free, COCO_SEV_SNP, 3, "ASIDs", CHECK_MISSING, "99 of 99" },
        { no_asid_free, COCO_SEV, 0, NULL, CHECK_OK, NULL },
        { little_to_lock, COCO_SEV, 3, "memlock", CHECK_MISSING, "2304 MiB are needed" },
        { little_to_lock_but_may, COCO_SEV, 0, NULL, CHECK_OK, NULL },
        { little_to_lock, COCO_SEV_SNP, 0, NULL, CHECK_OK, NULL },
        { no_qemu, COCO_SEV_SNP, 3, "QEMU", CHECK_MISSING, "--qemu=PATH" },
        { old_qemu, COCO_SEV_SNP, 3, "QEMU", CHECK_MISSING, "7.2.9 without sev-snp-guest" },
        { no_firmware, COCO_SEV_SNP, 3, "OVMF", CHECK_MISSING, "ovmf-amdsev" },
        { no_firmware, COCO_SEV, 0, NULL, CHECK_OK, NULL },
        { intel, COCO_TDX, 0, NULL, CHECK_OK, NULL },
        { intel_without_tdx, COCO_TDX, 3, "CPU", CHECK_MISSING, "tdx_host_platform" },
        { intel_old_kernel, COCO_TDX, 3, "kernel", CHECK_MISSING, "6.16" },
        { intel_off, COCO_TDX, 3, "kvm_intel", CHECK_MISSING, "tdx=1" },
        { intel_no_type, COCO_TDX, 3, "/dev/kvm", CHECK_MISSING, "does not support TDX guests" },
        { intel_no_key, COCO_TDX, 3, "keys", CHECK_MISSING, "60 of 60" },
        { intel_no_quotes, COCO_TDX, 0, "quotes", CHECK_NOTE, "vsock:2:4050" },
        { intel_old_qemu, COCO_TDX, 3, "QEMU", CHECK_MISSING, "10.1 or later" },
        { intel_no_firmware, COCO_TDX, 3, "OVMF", CHECK_MISSING, "ovmf-inteltdx" },
        { intel_signed_only, COCO_TDX, 0, "signing", CHECK_NOTE, "a signed kernel" },
};

static const CheckLine *find(const CheckList *list, const char *subject) {
        FOREACH_ARRAY(line, list->lines, list->n_lines)
                if (streq(line->subject, subject))
                        return line;
        return NULL;
}

static void a_good_host_can_launch(_unused_ void **state) {
        for (int m = COCO_SEV; m <= COCO_SEV_SNP; m++) {
                HostFacts facts = good_host();
                CheckList list;

                assert_ok(check_judge(&facts, (CocoMode) m, 2 * GIB, &list));
                assert_int_equal(check_list_status(&list), 0);
                FOREACH_ARRAY(line, list.lines, list.n_lines) {
                        assert_true(line->state == CHECK_OK || line->state == CHECK_NOTE);
                        assert_null(line->remedy);
                }
                check_list_done(&list);
        }
}

static void each_fault_has_its_line(_unused_ void **state) {
        FOREACH_ARRAY(h, hosts, ELEMENTSOF(hosts)) {
                HostFacts facts = good_host();
                const CheckLine *line;
                CheckList list;
                unsigned wrong = 0;

                h->change(&facts);
                assert_ok(check_judge(&facts, h->mode, 2 * GIB, &list));
                if (check_list_status(&list) != h->status)
                        fail_msg("host %zu: status %d, expected %d", (size_t) (h - hosts),
                                        check_list_status(&list), h->status);
                FOREACH_ARRAY(l, list.lines, list.n_lines)
                        wrong += l->state == CHECK_MISSING || l->state == CHECK_UNKNOWN;
                /* One fault, one line: nothing else is blamed. */
                assert_int_equal(wrong, h->status != 0);
                line = h->subject ? find(&list, h->subject) : NULL;
                if (line) {
                        const char *text = line->text ?: "", *remedy = line->remedy ?: "";

                        assert_int_equal(line->state, h->state);
                        if (!strstr(text, h->part) && !strstr(remedy, h->part))
                                fail_msg("host %zu: '%s' is in neither '%s' nor '%s'", (size_t) (h - hosts),
                                                h->part, text, remedy);
                        assert_true(h->state == CHECK_NOTE || *remedy);
                } else
                        assert_null(h->subject);
                check_list_done(&list);
        }
}

/* What certainly lacks counts more than what cannot be seen. */
static void missing_outweighs_unknown(_unused_ void **state) {
        HostFacts facts = good_host();
        CheckList list;

        sev_denied(&facts);
        assert_ok(check_judge(&facts, COCO_SEV_SNP, 2 * GIB, &list));
        assert_int_equal(check_list_status(&list), 4);
        check_list_done(&list);
        no_qemu(&facts);
        assert_ok(check_judge(&facts, COCO_SEV_SNP, 2 * GIB, &list));
        assert_int_equal(check_list_status(&list), 3);
        check_list_done(&list);
}

/* What a good host cannot promise is said in every mode. */
static void acpi_tables_are_noted(_unused_ void **state) {
        for (CocoMode m = COCO_SEV; m < _COCO_MODE_MAX; m++) {
                _cleanup_(check_list_done) CheckList list = {};
                HostFacts f = good_host();
                bool found = false;

                assert_ok(check_judge(&f, m, 2 * GIB, &list));
                FOREACH_ARRAY(line, list.lines, list.n_lines)
                        found = found ||
                                        (streq(line->subject, "ACPI") && line->state == CHECK_NOTE &&
                                                        (strstr(line->text, "no digest covers") ||
                                                                        (m == COCO_TDX &&
                                                                                        strstr(line->text,
                                                                                                        "RTMR0"))));
                assert_true(found);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(acpi_tables_are_noted),
                cmocka_unit_test(a_good_host_can_launch),
                cmocka_unit_test(each_fault_has_its_line),
                cmocka_unit_test(missing_outweighs_unknown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
