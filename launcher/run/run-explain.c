/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-explain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "strutil.h"

typedef struct Explanation {
        const char *text;   /* in the line */
        const char *second; /* also in the line, or NULL */
        ExplainRank rank;
        const char *sentence;
} Explanation;

/* The first row that fits counts: special ones stand before general ones. */
static const Explanation explanations[] = {
        /* noise and consequences */
        { "TCG doesn't support requested feature", NULL, EXPLAIN_MISLEADING, NULL },
        { "failed to initialize kvm: Operation not permitted", NULL, EXPLAIN_MISLEADING, NULL },
        { "vm-type (null) not supported by KVM", NULL, EXPLAIN_MISLEADING, NULL },
        { "Migration is not implemented", NULL, EXPLAIN_MISLEADING, NULL },
        { "'-mon' is deprecated", NULL, EXPLAIN_MISLEADING, NULL },
        { QEMU_WITHOUT_MON, NULL, EXPLAIN_MISLEADING, NULL }, /* started again in another way */
        /* the host cannot */
        { "vm-type SEV-SNP not supported by KVM", NULL, EXPLAIN_CAUSE,
                        "this host's KVM makes no SEV-SNP machines: 'cvmspawn check-host --coco=sev-snp' "
                        "says what is missing" },
        { "host kernel does not support requested", "VM type", EXPLAIN_CAUSE,
                        "this host's kernel is older than 6.10: use --sev-vm-type=legacy (another SEV-ES "
                        "digest) or a newer kernel" },
        { "KVM required", NULL, EXPLAIN_CAUSE,
                        "confidential guests need KVM: 'cvmspawn check-host' says what is missing" },
        { "accelerator does not support confidential guest", NULL, EXPLAIN_CAUSE,
                        "confidential guests need KVM: 'cvmspawn check-host' says what is missing" },
        { "cbitpos check failed", NULL, EXPLAIN_CAUSE,
                        "the C-bit position does not fit this CPU: do not compose with another machine's "
                        "--host-caps=" },
        { "reduced_phys_bits check failed", NULL, EXPLAIN_CAUSE,
                        "reduced-phys-bits must be 1 to 63; 1 is right on all parts" },
        { "/dev/sev", "Permission denied", EXPLAIN_CAUSE,
                        "QEMU may not open /dev/sev: run as root, or give the group of QEMU's user access "
                        "by a udev rule" },
        { "/dev/sev", "No such file", EXPLAIN_CAUSE,
                        "there is no /dev/sev: 'cvmspawn check-host' says what BIOS and kernel lack" },
        { "guest policy requires SEV-ES, but host SEV-ES support unavailable", NULL, EXPLAIN_CAUSE,
                        "SEV-ES is off on this host: raise the SEV-ES ASID space limit in the BIOS, load "
                        "kvm_amd with sev_es=1" },
        { "SEV-SNP does not support SMM", NULL, EXPLAIN_CAUSE,
                        "SEV-SNP has no SMM: leave smm=on out of --qemu-arg=" },
        { "exceed the lock limit", NULL, EXPLAIN_CAUSE,
                        "SEV locks all guest memory: raise the memory lock limit (ulimit -l, LimitMEMLOCK=) "
                        "above --ram= plus 256 MiB" },
        { "SEV-SNP: RMP", "not", EXPLAIN_CAUSE,
                        "the RMP is not reserved: enable SNP memory coverage in the BIOS" },
        /* firmware image */
        { "Failed to locate SEV metadata header", NULL, EXPLAIN_CAUSE,
                        "the firmware is no SEV-SNP build: install ovmf-amdsev or name one by --firmware=" },
        { "hashes table area is invalid", NULL, EXPLAIN_CAUSE,
                        "the firmware has no place for kernel hashes (a plain OVMF build): install "
                        "ovmf-amdsev" },
        { "has no hashes table GUID", NULL, EXPLAIN_CAUSE,
                        "the firmware has no place for kernel hashes (a plain OVMF build): install "
                        "ovmf-amdsev" },
        { "KVM_SET_USER_MEMORY_REGION2 failed", NULL, EXPLAIN_CAUSE,
                        "SEV-SNP cannot run from flash memory: the firmware must come by -bios, as one raw "
                        "image" },
        { "SEV-ES reset address is zero", NULL, EXPLAIN_CAUSE,
                        "the firmware is no SEV-ES build: install ovmf-amdsev" },
        { "SEV information block/Firmware GUID Table block not found", NULL, EXPLAIN_CAUSE,
                        "the firmware is no SEV-ES build, or only half of a CODE and VARS pair: install "
                        "ovmf-amdsev" },
        /* processor */
        { "CPUID validation failed", NULL, EXPLAIN_CAUSE,
                        "the processor refuses the CPU model (its CPUID page): use --cpu=EPYC-v4, "
                        "EPYC-Milan-v2 or EPYC-Genoa" },
        { "failed update CPUID page", NULL, EXPLAIN_GENERAL,
                        "the processor refuses the CPU model (its CPUID page): use --cpu=EPYC-v4, "
                        "EPYC-Milan-v2 or EPYC-Genoa" },
        { "failed to create encryption context", NULL, EXPLAIN_MISLEADING, NULL },
        { " LAUNCH_START ret=", "fw_error=11 ", EXPLAIN_CAUSE,
                        "the secure processor refused the session: it is for another guest policy or "
                        "another "
                        "host; make one with 'cvmspawn session' for this host's PDH and this "
                        "--coco-policy=" },
        { "SNP_LAUNCH_START ret=-22", NULL, EXPLAIN_CAUSE,
                        "the kernel refuses the guest policy: 0x30000 is the usual one, kernels before 6.19 "
                        "take only bits 0 to 17, 19 and 20" },
        { "LAUNCH_FINISH ret=-14", NULL, EXPLAIN_CAUSE,
                        "an ID block needs its ID authentication information: give --id-auth= too" },
        { "LAUNCH_UPDATE ret=-17", NULL, EXPLAIN_CAUSE,
                        "the kernel holds a page of this guest already: two parts of the firmware's "
                        "metadata "
                        "name the same memory" },
        { "failed to configure initial", "private guest memory", EXPLAIN_CAUSE,
                        "the kernel cannot make the guest's memory private: 'cvmspawn check-host "
                        "--coco=sev-snp' says what is missing" },
        { "no secret area found in OVMF", NULL, EXPLAIN_CAUSE,
                        "the firmware has no area for secrets: give --firmware= a build of edk2's "
                        "OvmfPkg/AmdSev" },
        { "Not in correct state. (LSECRET)", NULL, EXPLAIN_CAUSE,
                        "secrets are taken while the guest waits at its launch measurement only, before it "
                        "runs" },
        /* a guest that runs */
        { "kvm run failed Bad address", NULL, EXPLAIN_CAUSE,
                        "KVM could not run the guest: a page of its memory was not in the state that it was "
                        "used in; the kernel's log (dmesg) of that moment names it" },
        { "kvm run failed", NULL, EXPLAIN_GENERAL,
                        "KVM could not run the guest any further: the kernel's log (dmesg) of that moment "
                        "says why" },
        { "KVM: entry failed, hardware error", NULL, EXPLAIN_CAUSE,
                        "the processor refuses to enter the guest: its state, CPU model or SEV_FEATURES is "
                        "nothing that this processor allows" },
        { "KVM internal error", NULL, EXPLAIN_GENERAL,
                        "KVM could not run the guest any further: the kernel's log (dmesg) of that moment "
                        "says why" },
        { "failed to initialize ret=-16", NULL, EXPLAIN_CAUSE,
                        "no ASID is free: end other confidential guests" },
        { "failed to initialize ret=-25", NULL, EXPLAIN_CAUSE,
                        "the mode is not set up on this host: 'cvmspawn check-host' says what is missing" },
        /* memory and plain QEMU */
        { "cannot set up guest memory", NULL, EXPLAIN_CAUSE, "there is not enough memory for --ram=" },
        { "Cannot allocate memory", NULL, EXPLAIN_GENERAL,
                        "there is not enough memory for --ram=, or it may not be locked" },
        { "Could not access KVM kernel module", NULL, EXPLAIN_CAUSE,
                        "QEMU cannot use /dev/kvm: add --kvm=no, or give this user access to it" },
        { "failed to initialize kvm", NULL, EXPLAIN_GENERAL,
                        "QEMU cannot use /dev/kvm: add --kvm=no, or give this user access to it" },
        { "linux kernel too old to load a ram disk", NULL, EXPLAIN_CAUSE,
                        "--linux= is no kernel that takes an initrd" },
        { "invalid kernel header", NULL, EXPLAIN_CAUSE, "--linux= is no kernel that QEMU knows" },
        { "error reading initrd", NULL, EXPLAIN_CAUSE, "QEMU cannot read the initrd" },
        { "initrd is too large", NULL, EXPLAIN_CAUSE,
                        "the initrd does not fit into the guest's memory: give more --ram=" },
        { "seccomp support is not available", NULL, EXPLAIN_CAUSE,
                        "this QEMU was built without seccomp, which the launcher relies on" },
        { "unable to find CPU model", NULL, EXPLAIN_CAUSE,
                        "this QEMU does not know that --cpu= model: see qemu-system-x86_64 -cpu help" },
};

/* GHCB specification (AMD 56421) 4.1.13 for set 0; Linux arch/x86/include/asm/sev-common.h for set 1. */
static const char *const terminations_general[] = {
        "it says no more",
        "the host's version of the GHCB protocol does not suit it",
        "the host lacks features of SEV-SNP that it needs",
};
static const char *const terminations_linux[] = {
        "its GHCB page could not be registered",
        "the host refused to change the state of a page",
        "a page of its memory could not be validated",
        "it runs at another privilege level than VMPL 0",
        "its CPUID page is not valid",
        "the host's CPUID answers are not valid",
        "its secrets page is not valid",
        "there is no SVSM although it does not run at VMPL 0",
        "the SVSM runs at VMPL 0",
        "the SVSM's calling area is not aligned",
        "its secure TSC cannot be set up",
};

char *explain_termination(uint64_t set, uint64_t code) {
        const char *why = "the reason is not known to this program";
        char *sentence;

        if (set == 0 && code < ELEMENTSOF(terminations_general))
                why = terminations_general[code];
        else if (set == 1 && code < ELEMENTSOF(terminations_linux))
                why = terminations_linux[code];
        if (asprintf(&sentence, "the guest ended itself (SEV termination %llu:%llu): %s",
                            (unsigned long long) set, (unsigned long long) code, why) < 0)
                return NULL;
        return sentence;
}

/* As QEMU 11 and as KVM (arch/x86/kvm/svm/sev.c) print it. */
static bool find_termination(const char *line, uint64_t *ret_set, uint64_t *ret_code) {
        const char *p = strstr(line, "guest requested termination: ");
        unsigned long long set, code;
        bool found = p && sscanf(p, "guest requested termination: %llx:%llx", &set, &code) == 2;

        p = strstr(line, "SEV termination (reason set: ");
        if (!found && p)
                found = sscanf(p, "SEV termination (reason set: %llu code: %llu)", &set, &code) == 2;
        if (!found)
                return false;
        *ret_set = set;
        *ret_code = code;
        return true;
}

bool explain_is_launch(const char *line) {
        return strstr(line, "LAUNCH_FINISH ret=") || strstr(line, "LAUNCH_UPDATE ret=") ||
                        strstr(line, "LAUNCH_UPDATE_VMSA ret=");
}

#define INVALID_PARAM 0x16 /* the lines behind it say which, if any do */

/* Status codes of the secure processor's firmware. */
static const struct {
        unsigned code;
        const char *sentence;
} firmware_errors[] = {
        { 0x01, "the platform is in the wrong state (INVALID_PLATFORM_STATE): reload ccp and kvm_amd" },
        { 0x02, "the guest is in the wrong state (INVALID_GUEST_STATE)" },
        { 0x03, "the platform's configuration is not valid (INVALID_CONFIG)" },
        { 0x06,
                        "a certificate is not valid (INVALID_CERTIFICATE): make the session anew for this "
                        "host's PDH" },
        { 0x07,
                        "the guest policy is not met (POLICY_FAILURE): compare --coco-policy= with session "
                        "or ID block, SMT and firmware version" },
        { 0x0a,
                        "a signature is wrong (BAD_SIGNATURE): ID block and ID key do not belong together, "
                        "or the session is for another host" },
        { 0x0b,
                        "the measurement is not the expected one (BAD_MEASUREMENT): the ID block is for "
                        "another launch digest; "
                        "'cvmspawn measure --expect=' tells the difference" },
        { 0x15, "this firmware does not support that (UNSUPPORTED)" },
        { INVALID_PARAM, "a parameter is not valid (INVALID_PARAM)" },
        { 0x17, "a resource of the processor is used up (RESOURCE_LIMIT): end other confidential guests" },
        { 0x20, "the RMP is not initialised: enable SNP memory coverage in the BIOS" },
        { 0x27, "a key is not valid (INVALID_KEY): ID and author keys must be P-384" },
};

static const char *find_firmware_error(const char *line, ExplainRank *ret) {
        const char *p = strstr(line, "fw_error=");
        unsigned code;

        *ret = EXPLAIN_NOTHING;

        if (!p || sscanf(p, "fw_error=%u", &code) != 1)
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(firmware_errors); i++)
                if (firmware_errors[i].code == code) {
                        *ret = code == INVALID_PARAM ? EXPLAIN_GENERAL : EXPLAIN_CAUSE;
                        return firmware_errors[i].sentence;
                }
        return NULL;
}

int explain_line(const char *line, ExplainRank *ret, char **ret_sentence) {
        const char *sentence;
        uint64_t set, code;

        FOREACH_ARRAY(e, explanations, ELEMENTSOF(explanations)) {
                if (!strstr(line, e->text) || (e->second && !strstr(line, e->second)))
                        continue;
                *ret = e->rank;
                if (!e->sentence)
                        return 0;
                *ret_sentence = strdup(e->sentence);
                return *ret_sentence ? 0 : -ENOMEM;
        }

        if (find_termination(line, &set, &code)) {
                *ret = EXPLAIN_CAUSE;
                *ret_sentence = explain_termination(set, code);
                return *ret_sentence ? 0 : -ENOMEM;
        }

        sentence = find_firmware_error(line, ret);
        if (!sentence)
                return 0;
        return asprintf(ret_sentence, "the secure processor refused: %s", sentence) < 0 ? -ENOMEM : 0;
}
