/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The text form that scripts around snpguest know: same labels, order and spacing as its `display report`. */

#include <inttypes.h>

#include "guest-policy.h"
#include "snp-report.h"
#include "strutil.h"

static void put_bytes(Text *t, const char *label, const uint8_t *p, size_t n) {
        text_putf(t, "%s:\n", label);
        for (size_t i = 0; i < n; i++)
                text_putf(t, "%s%02X", i == 0 ? "" : i % 16 == 0 ? "\n" : " ", p[i]);
}

static void put_tcb(Text *t, const char *label, const uint8_t *raw, SnpGeneration layout) {
        SnpTcb tcb = {};

        /* As snpguest does it: bytes that the layout reserves are not looked at. */
        for (int p = 0; p < _SNP_TCB_PART_MAX; p++)
                if (snp_generation_has_tcb_part(layout, (SnpTcbPart) p))
                        tcb.part[p] = raw[snp_generation_tcb_layout(layout)[p]];
        text_putf(t, "%s:\n\nTCB Version:\n  Microcode:   %u\n  SNP:         %u\n  TEE:         %u\n  Boot Loader: %u\n",
                        label, tcb.part[SNP_TCB_MICROCODE], tcb.part[SNP_TCB_SNP], tcb.part[SNP_TCB_TEE],
                        tcb.part[SNP_TCB_BOOTLOADER]);
        if (snp_generation_has_tcb_part(layout, SNP_TCB_FMC))
                text_putf(t, "  FMC:         %u\n\n", tcb.part[SNP_TCB_FMC]);
        else
                text_put(t, "  FMC:         None\n\n");
}

static void put_bits(
                Text *t, uint64_t v, const char *const *labels, const uint8_t *bits, size_t n, int width) {
        for (size_t i = 0; i < n; i++)
                text_putf(t, "  %-*s %s\n", width, labels[i], v >> bits[i] & 1 ? "true" : "false");
}

static void put_policy(Text *t, uint64_t v) {
        static const char *const labels[] = { "SMT Allowed:", "Migrate MA:", "Debug Allowed:",
                "Single Socket:", "CXL Allowed:", "AEX 256 XTS:", "RAPL Allowed:" };
        static const uint8_t bits[] = { 16, 18, 19, 20, 21, 22, 23 };

        text_putf(t, "Guest Policy (0x%" PRIx64 "):\n  ABI Major:     %u\n  ABI Minor:     %u\n", v,
                        (unsigned) (v >> 8 & 0xff), (unsigned) (v & 0xff));
        put_bits(t, v, labels, bits, ELEMENTSOF(bits), 14);
        text_putf(t, "  Ciphertext hiding: %s\n  Page Swap Disable: %s\n\n",
                        v & SNP_POLICY_CIPHERTEXT_HIDING ? "true" : "false",
                        v & SNP_POLICY_PAGE_SWAP_DISABLE ? "true" : "false");
}

static void put_platform(Text *t, uint64_t v) {
        static const char *const labels[] = { "SMT Enabled:", "TSME Enabled:", "ECC Enabled:",
                "RAPL Disabled:", "Ciphertext Hiding Enabled:", "Alias Check Complete:",
                "SEV-TIO Enabled:" };
        static const uint8_t bits[] = { 0, 1, 2, 3, 4, 5, 7 };

        text_putf(t, "Platform Info (%" PRIu64 "):\n", v);
        put_bits(t, v, labels, bits, ELEMENTSOF(bits), 26);
        text_put(t, "\n");
}

static void put_optional(Text *t, const char *label, bool present, uint64_t v, const char *end) {
        text_putf(t, "%-29s ", label);
        if (present)
                text_putf(t, "%" PRIu64 "%s", v, end);
        else
                text_putf(t, "None%s", end);
}

static const char *signing_key(unsigned v) {
        return v == SNP_SIGNING_KEY_VCEK            ? "vcek"
                        : v == SNP_SIGNING_KEY_VLEK ? "vlek"
                        : v == SNP_SIGNING_KEY_NONE ? "none"
                                                    : "unknown";
}

static void put_signature_part(Text *t, const char *label, const uint8_t be[static 48]) {
        uint8_t le[72] = {};

        for (size_t i = 0; i < 48; i++)
                le[i] = be[47 - i];
        put_bytes(t, label, le, sizeof(le));
}

int snp_report_text_snpguest(const SnpReport *r, SnpGeneration g, char **ret) {
        const struct {
                const char *label;
                const uint8_t *p;
                size_t n;
        } blobs[] = {
                { "Report Data", r->report_data, sizeof(r->report_data) },
                { "Measurement", r->measurement, sizeof(r->measurement) },
                { "Host Data", r->host_data, sizeof(r->host_data) },
                { "ID Key Digest", r->id_key_digest, sizeof(r->id_key_digest) },
                { "Author Key Digest", r->author_key_digest, sizeof(r->author_key_digest) },
                { "Report ID", r->report_id, sizeof(r->report_id) },
                { "Report ID Migration Agent", r->report_id_ma, sizeof(r->report_id_ma) },
        };
        _cleanup_(text_done) Text t = {};
        bool v3 = r->version >= 3, v5 = r->version >= 5;

        g = snp_report_tcb_layout(r, g);
        if (g < 0)
                g = SNP_MILAN;

        text_putf(&t, "Attestation Report:\n\n%-29s %" PRIu32 "\n\n%-29s %" PRIu32 "\n\n",
                        "Version:", r->version, "Guest SVN:", r->guest_svn);
        put_policy(&t, r->policy);
        put_bytes(&t, "Family ID", r->family_id, sizeof(r->family_id));
        text_put(&t, "\n\n");
        put_bytes(&t, "Image ID", r->image_id, sizeof(r->image_id));
        text_putf(&t, "\n\n%-29s %" PRIu32 "\n\n%-29s %" PRIu32 "\n\n", "VMPL:", r->vmpl,
                        "Signature Algorithm:", r->signature_algorithm);
        put_tcb(&t, "Current TCB", r->current_tcb, g);
        put_platform(&t, r->platform_info);
        text_putf(&t, "Key Information:\n    author key enabled: %s\n    mask chip key:      %s\n    signing key:        %s\n\n",
                        r->author_key_enabled ? "true" : "false", r->mask_chip_key ? "true" : "false",
                        signing_key(r->signing_key));
        FOREACH_ARRAY(b, blobs, ELEMENTSOF(blobs)) {
                put_bytes(&t, b->label, b->p, b->n);
                text_put(&t, "\n\n");
        }
        put_tcb(&t, "Reported TCB", r->reported_tcb, g);
        put_optional(&t, "CPUID Family ID:", v3, r->cpuid_family, "\n\n");
        put_optional(&t, "CPUID Model ID:", v3, r->cpuid_model, "\n\n");
        put_optional(&t, "CPUID Stepping:", v3, r->cpuid_stepping, "\n\n");
        put_bytes(&t, "Chip ID", r->chip_id, sizeof(r->chip_id));
        text_put(&t, "\n\n");
        put_tcb(&t, "Committed TCB", r->committed_tcb, g);
        text_putf(&t, "%-29s %u.%u.%u\n\n%-29s %u.%u.%u\n\n", "Current Version:", r->current_version.major,
                        r->current_version.minor, r->current_version.build,
                        "Committed Version:", r->committed_version.major, r->committed_version.minor,
                        r->committed_version.build);
        put_tcb(&t, "Launch TCB", r->launch_tcb, g);
        put_optional(&t, "Launch Mitigation Vector:", v5, r->launch_mit_vector, "\n\n");
        put_optional(&t, "Current Mitigation Vector:", v5, r->current_mit_vector, "\n\n");
        text_put(&t, "Signature:\n");
        put_signature_part(&t, "  R", r->signature_r);
        text_put(&t, "\n");
        put_signature_part(&t, "  S", r->signature_s);
        text_put(&t, "\n");
        return text_finish(&t, ret);
}
