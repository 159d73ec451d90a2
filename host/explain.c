/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "explain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "explain-rules.h"
#include "strutil.h"

/* GHCB specification (AMD 56421) 4.1.13 for set 0; Linux arch/x86/include/asm/sev-common.h for set 1. */
static const char *const terminations_general[] = {
        "it gives no reason; see the end of its console",
        "it needs a version of the GHCB protocol that this host's KVM does not support; update the host's kernel",
        "it needs features of SEV-SNP that this host does not offer (or a policy or SEV_FEATURES that it does not support); use a newer guest kernel or host",
};
static const char *const terminations_linux[] = {
        "its GHCB page could not be registered",
        "the host refused to change the state of a page",
        "a page of its memory could not be validated",
        "it runs at another privilege level than VMPL 0",
        "its CPUID page is not valid",
        "the host's CPUID answers are not valid",
        "its secrets page is not valid",
        "an SVSM is missing although it does not run at VMPL 0",
        "the SVSM runs at VMPL 0",
        "the SVSM's calling area is not aligned",
        "its secure TSC cannot be set up",
        "the SVSM's calling area could not be moved",
        "Secure AVIC cannot be set up",
};

char *explain_termination(uint64_t set, uint64_t code) {
        const char *why = "the reason is unknown; see the end of its console";
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

#define INVALID_PARAM 0x16 /* the lines after it say which, if any do */

/* Status codes of the secure processor's firmware: AMD 55766 and 56860, "Status Codes"; Linux include/uapi/linux/psp-sev.h. */
static const struct {
        unsigned code;
        const char *sentence;
} firmware_errors[] = {
        { 0x01, "the platform is in the wrong state (INVALID_PLATFORM_STATE): load ccp and kvm_amd again" },
        { 0x02, "the guest is in the wrong state for this step of the launch (INVALID_GUEST_STATE): do not change the order of the steps" },
        { 0x03, "the platform's configuration is not valid (INVALID_CONFIG): enable SMEE and SNP memory (RMP) coverage in the BIOS, power-cycle" },
        { 0x04, "a length is not valid (INVALID_LEN): a certificate, session or secret is truncated" },
        { 0x05, "the platform has an owner already (ALREADY_OWNED): 'sevctl reset' removes it" },
        { 0x06, "a certificate is not valid (INVALID_CERTIFICATE): create a new session for this host's PDH" },
        { 0x07,
                        "the guest policy is not met (POLICY_FAILURE): "
                        "compare --coco-policy= with the session or ID block, with SMT on this host, and with the firmware's version" },
        { 0x08, "the guest is not active (INACTIVE): it was ended, or another one has its ASID" },
        { 0x09, "an address is not valid (INVALID_ADDRESS): the firmware's metadata names memory that the guest does not have" },
        { 0x0a, "a signature is wrong (BAD_SIGNATURE): ID block and ID key do not match, or the session is for another host" },
        { 0x0b,
                        "the measurement is not the expected one (BAD_MEASUREMENT): the ID block is for another launch digest; "
                        "'cvmspawn measure --expect=' shows what differs" },
        { 0x0c, "the ASID is in use (ASID_OWNED): end other confidential guests" },
        { 0x0d, "the ASID is not valid for this mode (INVALID_ASID): set the BIOS's SEV-ES ASID space limit" },
        { 0x0e, "caches must be flushed first (WBINVD_REQUIRED): load kvm_amd again" },
        { 0x0f, "the data fabric must be flushed first (DFFLUSH_REQUIRED): load kvm_amd again, or end other confidential guests" },
        { 0x10, "the guest's handle is not valid (INVALID_GUEST)" },
        { 0x11, "the command is not known (INVALID_COMMAND): update the SEV firmware" },
        { 0x12, "the guest is active already (ACTIVE)" },
        { 0x13, "the hardware reports an error (HWSEV_RET_PLATFORM): power-cycle the host" },
        { 0x14, "the hardware is in an unsafe state (HWSEV_RET_UNSAFE): power-cycle the host" },
        { 0x15, "this firmware does not support that (UNSUPPORTED): update the SEV firmware, or use another policy" },
        { INVALID_PARAM,
                        "a parameter is not valid (INVALID_PARAM): check policy, CPU model, ID block and host data, and the lines after this one" },
        { 0x17, "a resource of the processor is used up (RESOURCE_LIMIT): end other confidential guests" },
        { 0x18, "the firmware's stored data is damaged (SECURE_DATA_INVALID): update the BIOS" },
        { 0x19, "a page has the wrong size (INVALID_PAGE_SIZE): update the host's kernel" },
        { 0x1a, "a page is in the wrong state (INVALID_PAGE_STATE): update the host's kernel" },
        { 0x1b, "a metadata entry is not valid (INVALID_MDATA_ENTRY)" },
        { 0x1c, "a page has the wrong owner (INVALID_PAGE_OWNER): update the host's kernel" },
        { 0x1d, "a sequence number ran over (AEAD_OFLOW): restart the guest" },
        { 0x20, "the RMP is not initialised (RMP_INIT_REQUIRED): enable SNP memory (RMP) coverage in the BIOS" },
        { 0x21, "the security version is too old (BAD_SVN): use the newest SEV firmware" },
        { 0x22, "the firmware's version is too old (BAD_VERSION): use the newest SEV firmware" },
        { 0x23, "the platform must be shut down first (SHUTDOWN_REQUIRED): load ccp again" },
        { 0x24, "the firmware update failed (UPDATE_FAILED): power-cycle the host" },
        { 0x25, "the firmware must be restored (RESTORE_REQUIRED): power-cycle the host" },
        { 0x26, "the RMP could not be initialised (RMP_INITIALIZATION_FAILED): enable SNP memory (RMP) coverage in the BIOS, update it" },
        { 0x27, "a key is not valid (INVALID_KEY): ID and author keys must be P-384" },
};

/* How QEMU and the kernel print them. */
static bool find_code(const char *line, unsigned *ret) {
        static const struct {
                const char *word, *format;
        } forms[] = {
                { "fw_error=", "fw_error=%u" },
                { "fw_error='", "fw_error='%u" },
                { "fw_err=", "fw_err=%u" },
                { "failed (0x", "failed (0x%x)" },
        };

        for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
                const char *p = strstr(line, forms[i].word);

                if (!p || (i == 3 && !strstr(line, "sev command ")))
                        continue;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                if (sscanf(p, forms[i].format, ret) == 1)
                        return true;
#pragma GCC diagnostic pop
        }
        return false;
}

static const char *find_firmware_error(const char *line, ExplainRank *ret) {
        unsigned code;

        if (!find_code(line, &code))
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(firmware_errors); i++)
                if (firmware_errors[i].code == code) {
                        *ret = code == INVALID_PARAM ? EXPLAIN_GENERAL : EXPLAIN_CAUSE;
                        return firmware_errors[i].sentence;
                }
        return NULL;
}

static const ExplainRule *find_rule(const ExplainRule *rules, size_t n, const char *line) {
        FOREACH_ARRAY(e, rules, n) {
                const char *p = strstr(line, e->text);

                if (p && (!e->second || strstr(line, e->second)))
                        return e;
        }
        return NULL;
}

/* Owned sentence of a rule; none for misleading lines. */
static int take_rule(const ExplainRule *rule, ExplainRank *ret, char **ret_sentence) {
        char *sentence = rule->sentence ? strdup(rule->sentence) : NULL;

        if (rule->sentence && !sentence)
                return -ENOMEM;
        *ret = rule->rank;
        if (sentence)
                *ret_sentence = sentence;
        return 0;
}

int explain_line(const char *line, ExplainRank *ret, char **ret_sentence) {
        const ExplainRule *rule = find_rule(explain_qemu, explain_qemu_n, line);
        const char *sentence;
        uint64_t set, code;

        *ret = EXPLAIN_NOTHING;
        rule = rule ?: find_rule(explain_host, explain_host_n, line);
        rule = rule ?: find_rule(explain_guest, explain_guest_n, line);
        if (rule)
                return take_rule(rule, ret, ret_sentence);

        if (find_termination(line, &set, &code)) {
                *ret = EXPLAIN_CAUSE;
                *ret_sentence = explain_termination(set, code);
                return *ret_sentence ? 0 : -ENOMEM;
        }
        sentence = find_firmware_error(line, ret);
        if (sentence)
                return asprintf(ret_sentence, "the secure processor refused: %s", sentence) < 0 ? -ENOMEM
                                                                                                : 0;

        rule = find_rule(explain_qemu_line, explain_qemu_line_n, line);
        rule = rule ?: find_rule(explain_others, explain_others_n, line);
        return rule ? take_rule(rule, ret, ret_sentence) : 0;
}
