/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "explain.h"
#include "fd.h"
#include "strutil.h"

/* Lines as QEMU 10.0.2 printed them without SEV hardware, and forms of target/i386/sev.c that only hardware prints. */
static const struct {
        const char *line;
        ExplainRank rank;
        const char *part; /* of the sentence */
} cases[] = {
        { "qemu-system-x86_64: vm-type SEV-SNP not supported by KVM", EXPLAIN_CAUSE, "check-host" },
        { "qemu-system-x86_64: failed to initialize kvm: Operation not permitted", EXPLAIN_MISLEADING,
                        NULL },
        { "qemu-system-x86_64: sev_common_kvm_init: Failed to open /dev/sev 'No such file or directory'",
                        EXPLAIN_CAUSE, "/dev/sev is missing" },
        { "qemu-system-x86_64: Could not open '/dev/sev': Permission denied", EXPLAIN_CAUSE, "udev" },
        { "qemu-system-x86_64: sev_snp_launch_finish: Failed to locate SEV metadata header", EXPLAIN_CAUSE,
                        "ovmf-amdsev" },
        { "qemu-system-x86_64: SNP_LAUNCH_START ret=-22 fw_error=0 ''", EXPLAIN_CAUSE, "policy" },
        { "qemu-system-x86_64: SNP_LAUNCH_FINISH ret=-5 fw_error=11 'Bad measurement'", EXPLAIN_CAUSE,
                        "BAD_MEASUREMENT" },
        { "qemu-system-x86_64: SNP_LAUNCH_FINISH ret=-5 fw_error=10 'Bad signature'", EXPLAIN_CAUSE,
                        "BAD_SIGNATURE" },
        { "sev_launch_start: LAUNCH_START ret=1 fw_error=7 'Policy failure'", EXPLAIN_CAUSE,
                        "POLICY_FAILURE" },
        { "kvm_amd: SEV: 524288 locked pages exceed the lock limit of 16384.", EXPLAIN_CAUSE,
                        "LimitMEMLOCK" },
        { "qemu-system-x86_64: cannot set up guest memory 'ram0': Cannot allocate memory", EXPLAIN_CAUSE,
                        "--ram=" },
        { "qemu-system-x86_64: warning: TCG doesn't support requested feature: CPUID", EXPLAIN_MISLEADING,
                        NULL },
        { "qemu-system-x86_64: SNP_LAUNCH_FINISH ret=-14 fw_error=0 ''", EXPLAIN_CAUSE, "--id-auth=" },
        { "qemu-system-x86_64: sev_launch_start: LAUNCH_START ret=1 fw_error=11 'Bad measurement'",
                        EXPLAIN_CAUSE, "refused the session" },
        { "qemu-system-x86_64: sev_common_kvm_init: failed to create encryption context", EXPLAIN_MISLEADING,
                        NULL },
        { "SNP_LAUNCH_UPDATE ret=-5 fw_error=22 'Invalid parameter'", EXPLAIN_GENERAL, "INVALID_PARAM" },
        { "SEV-SNP: CPUID validation failed for function 0x1, index: 0x0", EXPLAIN_CAUSE, "CPU model" },
        { "qemu-system-x86_64: SNP_LAUNCH_UPDATE ret=-17 fw_error=0 ''", EXPLAIN_CAUSE, "same memory" },
        { "qemu-system-x86_64: SEV-SNP: failed to configure initialprivate guest memory", EXPLAIN_CAUSE,
                        "private" },
        { "qemu-system-x86_64: -mon chardev=qmp,mode=control: warning: '-mon' is deprecated, use '-object'",
                        EXPLAIN_MISLEADING, NULL },
        { "qemu-system-x86_64: -mon: invalid option", EXPLAIN_MISLEADING, NULL },
        { "error: kvm run failed Bad address", EXPLAIN_CAUSE, "a page of its memory" },
        { "error: kvm run failed Invalid argument", EXPLAIN_GENERAL, "dmesg" },
        { "KVM: entry failed, hardware error 0xffffffffffffffff", EXPLAIN_CAUSE, "SEV_FEATURES" },
        { "KVM internal error. Suberror: 1", EXPLAIN_GENERAL, "dmesg" },
        { "[  123.456789] kvm_amd: SEV-ES guest requested termination: 0x1:0x4", EXPLAIN_CAUSE,
                        "(SEV termination 1:4): its CPUID page is not valid" },
        { "[  123.456789] kvm_amd: SEV-ES guest requested termination: 0:0x2", EXPLAIN_CAUSE,
                        "(SEV termination 0:2): it needs features" },
        { "qemu-system-x86_64: SEV termination (reason set: 1 code: 2)", EXPLAIN_CAUSE,
                        "a page of its memory could not be validated" },
        { "qemu-system-x86_64: SEV termination (reason set: 7 code: 99)", EXPLAIN_CAUSE,
                        "(SEV termination 7:99): the reason is unknown" },
        { "qemu-system-x86_64: SNP_LAUNCH_START ret=-5 fw_error=21 ''", EXPLAIN_CAUSE, "UNSUPPORTED" },
        { "qemu-system-x86_64: SNP_LAUNCH_UPDATE ret=-12 fw_error=0 ''", EXPLAIN_GENERAL, "-12: no memory" },
        { "ccp 0000:22:00.1: sev command 0x90 failed (0x00000007)", EXPLAIN_CAUSE, "POLICY_FAILURE" },
        { "ccp 0000:22:00.1: SEV-SNP: failed to INIT rc -5, error 0x3", EXPLAIN_CAUSE, "INVALID_CONFIG" },
        { "kvm_amd: SEV-ES unusable (ASIDs 1 - 0)", EXPLAIN_CAUSE, "ASID space limit" },
        { "kvm_amd: SEV-ES enabled (ASIDs 1 - 99)", EXPLAIN_NOTHING, NULL },
        { "AMD-Vi: SNP: IOMMU disabled or configured in passthrough mode, SNP cannot be supported.",
                        EXPLAIN_CAUSE, "iommu=pt" },
        { "Initramfs unpacking failed: compression method lz4 not configured", EXPLAIN_CAUSE, "CONFIG_RD_" },
        { "---[ end Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0) ]---",
                        EXPLAIN_CAUSE, "root=" },
        { "qemu-system-x86_64: -object sev-snp-guest,id=a: Parameter 'qom-type' does not accept value "
          "'sev-snp-guest'",
                        EXPLAIN_CAUSE, "QEMU 9.1" },
        { "SEV termination (reason set: x", EXPLAIN_NOTHING, NULL },
        { "fw_error=4294967295 ''", EXPLAIN_NOTHING, NULL },
        { "[    0.000000] Linux version 6.12", EXPLAIN_NOTHING, NULL },
        { "", EXPLAIN_NOTHING, NULL },
};

static void lines_have_their_meaning(_unused_ void **state) {
        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                ExplainRank rank = EXPLAIN_NOTHING;
                char *sentence = NULL;

                assert_ok(explain_line(c->line, &rank, &sentence));
                assert_int_equal(rank, c->rank);
                if (c->part)
                        assert_non_null(strstr(sentence, c->part));
                else
                        assert_null(sentence);
                free(sentence);
        }
}

#define LINES_MIN 120u

/* Lines that people ask about: tests/golden/explain/lines.txt. */
static void lines_of_reports_are_explained(_unused_ void **state) {
        const char *source = getenv("CVMSPAWN_SOURCE");
        _cleanup_free_ char *path = NULL, *text = NULL;
        char *rest, *line;
        unsigned n = 0;

        assert_true(asprintf(&path, "%s/tests/golden/explain/lines.txt", source ?: ".") >= 0);
        assert_ok(file_read_all(path, 1024u * 1024u, &text, NULL));
        rest = text;
        while ((line = strsep(&rest, "\n"))) {
                const char *part = strsep(&line, "\t");
                _cleanup_free_ char *sentence = NULL;
                ExplainRank rank;

                if (*part == '#' || !line)
                        continue;
                assert_ok(explain_line(line, &rank, &sentence));
                if (streq(part, "-") ? rank != EXPLAIN_MISLEADING : !sentence || !startswith(sentence, part))
                        fail_msg("'%s': '%s', expected '%s'", line, sentence ?: "nothing", part);
                n++;
        }
        assert_true(n >= LINES_MIN);
}

static void lines_of_a_launch_are_told_from_others(_unused_ void **state) {
        assert_true(explain_is_launch("qemu-system-x86_64: SNP_LAUNCH_FINISH ret=-5 fw_error=11 'Bad'"));
        assert_true(explain_is_launch("sev_launch_finish: LAUNCH_FINISH ret=-5 fw_error=2 ''"));
        assert_true(explain_is_launch("SNP_LAUNCH_UPDATE ret=-5 fw_error=22 'Invalid parameter'"));
        assert_false(explain_is_launch("kvm run failed Bad address"));
        assert_false(explain_is_launch("sev_launch_get_measure: LAUNCH_MEASURE ret=-5 fw_error=2 ''"));
}

static void active_technologies_are_named(_unused_ void **state) {
        static const struct {
                const char *line, *part;
        } lines[] = {
                { "[    1.151097] Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP",
                                "found SEV, SEV-ES, SEV-SNP active; only" },
                { "Memory Encryption Features active: AMD SEV SEV-ES\r",
                                "found SEV, SEV-ES active, and not SEV-SNP;" },
                { "AMD Memory Encryption Features active: SEV",
                                "found SEV active, and not SEV-ES, SEV-SNP;" },
                { "Memory Encryption Features active: Intel TDX", "TDX active" },
                { "Memory Encryption Features active: AMD SME", "none of" },
                { "SEV: SNP running at VMPL0.", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                _cleanup_free_ char *sentence = NULL;

                assert_ok(explain_active(lines[i].line, &sentence));
                if (lines[i].part ? !sentence || !strstr(sentence, lines[i].part) : !!sentence)
                        fail_msg("'%s': %s", lines[i].line, sentence ?: "nothing");
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lines_of_a_launch_are_told_from_others),
                cmocka_unit_test(active_technologies_are_named),
                cmocka_unit_test(lines_have_their_meaning),
                cmocka_unit_test(lines_of_reports_are_explained),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
