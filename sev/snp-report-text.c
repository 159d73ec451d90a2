/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A report for people and programs: one table of fields makes the text, the JSON and the single fields. */

#include <errno.h>
#include <inttypes.h>

#include "encode.h"
#include "guest-policy.h"
#include "snp-report.h"
#include "strutil.h"

typedef enum FieldKind {
        FIELD_U8,
        FIELD_U32,
        FIELD_VMPL,
        FIELD_POLICY,
        FIELD_PLATFORM,
        FIELD_HEX64,
        FIELD_BYTES,
        FIELD_TCB,
        FIELD_VERSION,
        FIELD_BOOL,
        FIELD_SIGNING_KEY,
        _FIELD_KIND_MAX,
} FieldKind;

typedef struct FieldRow {
        const char *name, *label;
        FieldKind kind;
        size_t offset, size;
        unsigned since; /* report version */
} FieldRow;

#define ROW(name, label, kind, member, since)                                                               \
        { name, label, kind, offsetof(SnpReport, member), sizeof(((SnpReport *) 0)->member), since }

static const FieldRow rows[] = {
        ROW("version", "Version", FIELD_U32, version, 0),
        ROW("guest-svn", "Guest SVN", FIELD_U32, guest_svn, 0),
        ROW("policy", "Policy", FIELD_POLICY, policy, 0),
        ROW("family-id", "Family id", FIELD_BYTES, family_id, 0),
        ROW("image-id", "Image id", FIELD_BYTES, image_id, 0),
        ROW("vmpl", "VMPL", FIELD_VMPL, vmpl, 0),
        ROW("signature-algorithm", "Signature algorithm", FIELD_U32, signature_algorithm, 0),
        ROW("current-tcb", "Current TCB", FIELD_TCB, current_tcb, 0),
        ROW("platform-info", "Platform", FIELD_PLATFORM, platform_info, 0),
        ROW("signing-key", "Signing key", FIELD_SIGNING_KEY, signing_key, 0),
        ROW("mask-chip-key", "Chip key masked", FIELD_BOOL, mask_chip_key, 0),
        ROW("author-key-enabled", "Author key enabled", FIELD_BOOL, author_key_enabled, 0),
        ROW("report-data", "Report data", FIELD_BYTES, report_data, 0),
        ROW("measurement", "Measurement", FIELD_BYTES, measurement, 0),
        ROW("host-data", "Host data", FIELD_BYTES, host_data, 0),
        ROW("id-key-digest", "ID key digest", FIELD_BYTES, id_key_digest, 0),
        ROW("author-key-digest", "Author key digest", FIELD_BYTES, author_key_digest, 0),
        ROW("report-id", "Report id", FIELD_BYTES, report_id, 0),
        ROW("report-id-ma", "Migration agent's id", FIELD_BYTES, report_id_ma, 0),
        ROW("reported-tcb", "Reported TCB", FIELD_TCB, reported_tcb, 0),
        ROW("cpuid-family", "CPUID family", FIELD_U8, cpuid_family, 3),
        ROW("cpuid-model", "CPUID model", FIELD_U8, cpuid_model, 3),
        ROW("cpuid-stepping", "CPUID stepping", FIELD_U8, cpuid_stepping, 3),
        ROW("chip-id", "Chip id", FIELD_BYTES, chip_id, 0),
        ROW("committed-tcb", "Committed TCB", FIELD_TCB, committed_tcb, 0),
        ROW("current-version", "Current firmware", FIELD_VERSION, current_version, 0),
        ROW("committed-version", "Committed firmware", FIELD_VERSION, committed_version, 0),
        ROW("launch-tcb", "Launch TCB", FIELD_TCB, launch_tcb, 0),
        ROW("launch-mit-vector", "Launch mitigations", FIELD_HEX64, launch_mit_vector, 5),
        ROW("current-mit-vector", "Current mitigations", FIELD_HEX64, current_mit_vector, 5),
        ROW("signature-r", "Signature r", FIELD_BYTES, signature_r, 0),
        ROW("signature-s", "Signature s", FIELD_BYTES, signature_s, 0),
};

static const char *const policy_bits[] = { [16] = "smt",
        [17] = "",
        [18] = "migrate-ma",
        [19] = "debug",
        [20] = "single-socket",
        [21] = "cxl",
        [22] = "aes-256-xts",
        [23] = "rapl-disabled",
        [24] = "ciphertext-hiding",
        [25] = "page-swap-disabled" };
static const char *const platform_bits[] = { "smt", "tsme", "ecc", "rapl-disabled", "ciphertext-hiding",
        "alias-check-complete", NULL, "tio" };

static char *bits_text(uint64_t v, unsigned first, const char *const *names, size_t n_names) {
        _cleanup_(text_done) Text t = {};
        const char *comma = "";
        char *s = NULL;

        for (unsigned bit = first; bit < 64; bit++) {
                const char *name = bit < n_names ? names[bit] : NULL;

                if (!(v >> bit & 1) || streq_ptr(name, ""))
                        continue;
                if (name)
                        text_putf(&t, "%s%s", comma, name);
                else
                        text_putf(&t, "%sbit %u", comma, bit);
                comma = ", ";
        }
        if (t.size == 0)
                text_put(&t, "none");
        return text_finish(&t, &s) < 0 ? NULL : s;
}

char *snp_policy_bits_text(uint64_t policy) {
        return bits_text(policy, 16, policy_bits, ELEMENTSOF(policy_bits));
}

char *snp_platform_bits_text(uint64_t platform_info) {
        return bits_text(platform_info, 0, platform_bits, ELEMENTSOF(platform_bits));
}

static const char *signing_key_name(unsigned v) {
        return v == SNP_SIGNING_KEY_VCEK            ? "vcek"
                        : v == SNP_SIGNING_KEY_VLEK ? "vlek"
                        : v == SNP_SIGNING_KEY_NONE ? "none"
                                                    : "unknown";
}

/* The bare value: what --field prints, and what the text begins with. */
static void put_bare(Text *t, const FieldRow *f, const void *p) {
        const SnpVersion *v = p;

        switch (f->kind) {
        case FIELD_U8:
                text_putf(t, "%u", *(const uint8_t *) p);
                return;
        case FIELD_U32:
        case FIELD_VMPL:
                text_putf(t, "%" PRIu32, *(const uint32_t *) p);
                return;
        case FIELD_POLICY:
        case FIELD_PLATFORM:
        case FIELD_HEX64:
                text_putf(t, "0x%" PRIx64, *(const uint64_t *) p);
                return;
        case FIELD_BYTES:
        case FIELD_TCB:
                for (size_t i = 0; i < f->size; i++)
                        text_putf(t, "%02x", ((const uint8_t *) p)[i]);
                return;
        case FIELD_VERSION:
                text_putf(t, "%u.%u.%u", v->major, v->minor, v->build);
                return;
        case FIELD_BOOL:
                text_put(t, *(const bool *) p ? "yes" : "no");
                return;
        case FIELD_SIGNING_KEY:
                text_put(t, signing_key_name(*(const unsigned *) p));
                return;
        case _FIELD_KIND_MAX:
        default:
                assert(false);
        }
}

/* What the value means, in brackets. */
static void put_meaning(Text *t, const FieldRow *f, const void *p, SnpGeneration g) {
        _cleanup_free_ char *s = NULL;
        SnpTcb tcb;

        if (f->kind == FIELD_POLICY) {
                uint64_t policy = *(const uint64_t *) p;

                s = snp_policy_bits_text(policy);
                text_putf(t, " (ABI %u.%u or newer; allowed or required: %s%s)",
                                (unsigned) (policy >> 8 & 0xff), (unsigned) (policy & 0xff), s ?: "",
                                policy & SNP_POLICY_RESERVED_ONE ? "" : "; bit 17 is missing");
        } else if (f->kind == FIELD_PLATFORM) {
                s = snp_platform_bits_text(*(const uint64_t *) p);
                text_putf(t, " (%s)", s ?: "");
        } else if (f->kind == FIELD_TCB && g >= 0) {
                s = snp_tcb_decode(p, g, &tcb) == 0 ? snp_tcb_text(&tcb, g) : NULL;
                text_putf(t, " (%s)",
                                s ?: "bytes that are reserved in this generation's layout are not zero");
        } else if (f->kind == FIELD_VMPL && *(const uint32_t *) p == SNP_VMPL_HOST)
                text_put(t, " (requested by the host, not by the guest)");
        else if (streq(f->name, "version") && *(const uint32_t *) p > SNP_REPORT_VERSION_MAX)
                text_putf(t, " (unknown version: read as version %u)", SNP_REPORT_VERSION_MAX);
        else if (streq(f->name, "signature-algorithm") &&
                        *(const uint32_t *) p == SNP_SIGNATURE_ALGORITHM_P384)
                text_put(t, " (ECDSA P-384 with SHA-384)");
}

/* Why there is no generation, and what to do. */
static void put_unknown_generation(Text *t, const SnpReport *r) {
        if (r->version < 3)
                text_put(t, "unknown: version 2 reports do not name the processor; pass --generation");
        else
                text_putf(t, "unknown: no known processor generation has CPUID family 0x%02x, model 0x%02x",
                                r->cpuid_family, r->cpuid_model);
}

int snp_report_text(const SnpReport *r, SnpGeneration g, char **ret) {
        SnpGeneration layout = snp_report_tcb_layout(r, g);
        _cleanup_(text_done) Text t = {};

        FOREACH_ARRAY(f, rows, ELEMENTSOF(rows)) {
                const void *p = (const uint8_t *) r + f->offset;

                text_putf(&t, "%21s: ", f->label);
                if (r->version < f->since)
                        text_putf(&t, "not in this version of reports");
                else {
                        put_bare(&t, f, p);
                        put_meaning(&t, f, p, layout);
                }
                text_put(&t, "\n");
        }
        text_putf(&t, "%21s: ", "Generation");
        if (g >= 0)
                text_put(&t, snp_generation_product(g));
        else
                put_unknown_generation(&t, r);
        text_put(&t, "\n");
        return text_finish(&t, ret);
}

static Json *tcb_json(const uint8_t raw[static SNP_TCB_SIZE], SnpGeneration g) {
        _cleanup_js_ Json *o = js_object();
        SnpTcb tcb;

        if (!o || js_set(o, "raw", js_hex(raw, SNP_TCB_SIZE)) < 0)
                return NULL;
        if (g >= 0 && snp_tcb_decode(raw, g, &tcb) == 0)
                for (int p = 0; p < _SNP_TCB_PART_MAX; p++)
                        if (snp_generation_has_tcb_part(g, (SnpTcbPart) p) &&
                                        js_set(o, snp_tcb_part_to_string((SnpTcbPart) p),
                                                        js_u64(tcb.part[p])) < 0)
                                return NULL;
        return TAKE_PTR(o);
}

static Json *field_json(const FieldRow *f, const void *p, SnpGeneration g) {
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *s = NULL;

        switch (f->kind) {
        case FIELD_U8:
                return js_u64(*(const uint8_t *) p);
        case FIELD_U32:
        case FIELD_VMPL:
                return js_u64(*(const uint32_t *) p);
        case FIELD_BOOL:
                return js_bool(*(const bool *) p);
        case FIELD_TCB:
                return tcb_json(p, g);
        default:
                put_bare(&t, f, p);
                return text_finish(&t, &s) < 0 ? NULL : js_string(s);
        }
}

int snp_report_json(const SnpReport *r, SnpGeneration g, Json **ret) {
        SnpGeneration layout = snp_report_tcb_layout(r, g);
        _cleanup_js_ Json *o = js_object();
        int k;

        if (!o)
                return -ENOMEM;
        FOREACH_ARRAY(f, rows, ELEMENTSOF(rows)) {
                if (r->version < f->since)
                        continue;
                k = js_set(o, f->name, field_json(f, (const uint8_t *) r + f->offset, layout));
                if (k < 0)
                        return k;
        }
        k = js_set(o, "generation", js_string(snp_generation_to_string(g)));
        if (k == 0)
                k = js_set(o, "version-known", js_bool(r->version <= SNP_REPORT_VERSION_MAX));
        if (k < 0)
                return k;
        *ret = TAKE_PTR(o);
        return 0;
}

int snp_report_field(const SnpReport *r, const char *name, char **ret) {
        _cleanup_(text_done) Text t = {};

        FOREACH_ARRAY(f, rows, ELEMENTSOF(rows))
                if (streq(f->name, name)) {
                        put_bare(&t, f, (const uint8_t *) r + f->offset);
                        return text_finish(&t, ret);
                }
        return -ENOENT;
}

char *snp_report_field_names(void) {
        _cleanup_(text_done) Text t = {};
        char *s = NULL;

        FOREACH_ARRAY(f, rows, ELEMENTSOF(rows))
                text_putf(&t, "%s%s", f == rows ? "" : ", ", f->name);
        return text_finish(&t, &s) < 0 ? NULL : s;
}
