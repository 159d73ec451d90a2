/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Formats that carry expectations, and not only digests:
 *
 *   rego       a policy for Trustee's attestation service (trust_claims) and other engines of Rego v1 (allow), with the bundle's values in it
 *   cel        one expression of Common Expression Language, true for a report that is expected; `snp` has the members that Trustee's claims have
 *   contrast   reference values of Contrast's manifest (SNPReferenceValues, 2026-04): an entry for each digest and processor generation
 *   contrast-family   the form of 2026-05: the digest of one vCPU and the reset address of the others (APEIP). Contrast derives the digests of up to
 *                     220 vCPUs of EPYC-Milan or EPYC-Genoa, by product, with QEMU's registers and guest features 0x1 (internal/snp/guest.go) */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "encode.h"
#include "error.h"
#include "guest-policy.h"
#include "refs-export-internal.h"
#include "sev-cpu.h"

SnpGeneration refs_only_generation(const RefsBundle *b, unsigned *ret_n) {
        SnpGeneration only = _SNP_GENERATION_INVALID;

        *ret_n = 0;
        for (int g = 0; g < _SNP_GENERATION_MAX; g++)
                if (b->has_tcb[g]) {
                        only = (SnpGeneration) g;
                        (*ret_n)++;
                }
        return *ret_n == 1 ? only : _SNP_GENERATION_INVALID;
}

static int check(const RefsBundle *b, const char *format, char **reterr) {
        bool snp = false;

        FOREACH_ARRAY(l, b->launches, b->n_launches)
                snp = snp || l->mode == COCO_SEV_SNP;
        if (!snp)
                return error_set(reterr, -EINVAL, "%s: the bundle has no sev-snp launch", format);
        if (!b->platform.has_smt || !b->platform.has_tsme || !b->has_guest_policy)
                return error_set(reterr, -EINVAL,
                                "%s: the bundle does not say all of SMT, TSME and guest policy; add them with 'refs build --platform= --guest-policy=' or 'refs learn'",
                                format);
        return 0;
}

/* --- Rego and CEL ---------------------------------------------------------------------------------------------------- */

static int put_measurements(const RefsBundle *b, Text *t) {
        const char *between = "\n";

        FOREACH_ARRAY(l, b->launches, b->n_launches) {
                if (l->mode != COCO_SEV_SNP)
                        continue;
                FOREACH_ARRAY(run, l->runs, l->n_runs)
                        for (size_t i = 0; i < run->n; i++) {
                                _cleanup_free_ char *hex = hex_encode(
                                                run->digests + i * l->digest_size, l->digest_size);

                                if (!hex)
                                        return -ENOMEM;
                                text_putf(t, "%s  \"%s\"", between, hex);
                                between = ",\n";
                        }
        }
        text_put(t, "\n]");
        return t->error;
}

/* Each condition on a line, between head and tail. */
static void put_hardware(const SnpTcb *tcb, const char *head, Text *t) {
        static const SnpTcbPart parts[] = { SNP_TCB_BOOTLOADER, SNP_TCB_TEE, SNP_TCB_SNP,
                SNP_TCB_MICROCODE };

        FOREACH_ARRAY(part, parts, ELEMENTSOF(parts))
                text_putf(t, "%ssnp.reported_tcb_%s >= %u\n", head, snp_tcb_part_to_string(*part),
                                tcb->part[*part]);
}

static void put_configuration(const RefsBundle *b, const char *head, Text *t) {
        uint64_t p = b->guest_policy;
        const struct {
                const char *claim;
                bool value;
        } truths[] = {
                { "policy_debug_allowed", false },
                { "policy_migrate_ma", false },
                { "platform_smt_enabled", b->platform.smt },
                { "platform_tsme_enabled", b->platform.tsme },
                { "policy_single_socket", p & SNP_POLICY_SINGLE_SOCKET },
                { "policy_smt_allowed", p & SNP_POLICY_SMT },
        };

        FOREACH_ARRAY(x, truths, ELEMENTSOF(truths))
                text_putf(t, "%ssnp.%s == %s\n", head, x->claim, x->value ? "true" : "false");
        text_putf(t, "%ssnp.policy_abi_major == %u\n%ssnp.policy_abi_minor >= %u\n", head,
                        (unsigned) (p >> 8 & 0xff), head, (unsigned) (p & 0xff));
}

static void put_rules(const RefsBundle *b, const SnpTcb *tcb, Text *t) {
        text_put(t,
                        "default executables := 33\ndefault hardware := 97\ndefault configuration := 36\ndefault allow := false\n\n"
                        "executables := 3 if {\n  input.snp.measurement in measurements\n}\n\nhardware := 2 if {\n");
        put_hardware(tcb, "  input.", t);
        text_put(t, "}\n\nconfiguration := 2 if {\n");
        put_configuration(b, "  input.", t);
        text_put(t,
                        "}\n\ntrust_claims := {\"executables\": executables, \"hardware\": hardware, \"configuration\": configuration}\n\n"
                        "allow if {\n  executables == 3\n  hardware == 2\n  configuration == 2\n}\n");
}

/* The floor that a policy can say: claims do not name the processor. */
static int policy_tcb(const RefsBundle *b, const char *format, SnpGeneration *ret, char **reterr) {
        unsigned n;
        SnpGeneration g = refs_only_generation(b, &n);
        int r = check(b, format, reterr);

        if (r < 0)
                return r;
        if (g < 0)
                return error_set(reterr, -EINVAL,
                                "%s: expected TCB versions of exactly one generation, not of %u: claims do not name the processor",
                                format, n);
        *ret = g;
        return 0;
}

int refs_export_rego(
                const RefsBundle *b, _unused_ const RefsExportOptions *options, Text *t, char **reterr) {
        SnpGeneration g;
        int r = policy_tcb(b, "rego", &g, reterr);

        if (r < 0)
                return r;
        text_putf(t,
                        "package policy\n\nimport rego.v1\n\n# cvmspawn refs export --format=rego: sequence %" PRIu64
                        ", %s\n\nmeasurements := [",
                        b->sequence, snp_generation_product(g));
        r = put_measurements(b, t);
        if (r < 0)
                return r;
        text_put(t, "\n\n");
        put_rules(b, b->tcb + g, t);
        return t->error;
}

int refs_export_cel(const RefsBundle *b, _unused_ const RefsExportOptions *options, Text *t, char **reterr) {
        SnpGeneration g;
        int r = policy_tcb(b, "cel", &g, reterr);

        if (r < 0)
                return r;
        text_putf(t, "// cvmspawn refs export --format=cel: sequence %" PRIu64 ", %s\nsnp.measurement in [",
                        b->sequence, snp_generation_product(g));
        r = put_measurements(b, t);
        if (r < 0)
                return r;
        text_put(t, "\n");
        put_hardware(b->tcb + g, "&& ", t);
        put_configuration(b, "&& ", t);
        return t->error;
}

/* --- Contrast -------------------------------------------------------------------------------------------------------- */

/* The products that a manifest knows. */
static const struct {
        const char *generation, *cpu;
} products[] = { { "milan", "EPYC-Milan" }, { "genoa", "EPYC-Genoa" } };

/* What the digests of one run or family have in common. */
typedef struct ContrastEntries {
        const RefsBundle *bundle;
        Json *list;
} ContrastEntries;

/* go-sev-guest's abi.SnpPolicy, abi.SnpPlatformInfo and Contrast's SNPTCB, by the names of their Go members. */
static int add_entry(const ContrastEntries *e, SnpGeneration g, const uint8_t *digest, unsigned vcpus,
                const char *ap_eip) {
        const RefsBundle *b = e->bundle;
        const SnpTcb *tcb = b->tcb + g;
        uint64_t p = b->guest_policy;
        _cleanup_js_ Json *j = NULL;
        int r = js_build(&j,
                        "{s:s, s:o, s:{s:o, s:o, s:o, s:o}, s:{s:o, s:o, s:b, s:b, s:b, s:b}, s:{s:b, s:b}, s:I, s:o}",
                        "ProductName", snp_generation_product(g), "TrustedMeasurement", js_hex(digest, 48),
                        "MinimumTCB", "BootloaderVersion", js_u64(tcb->part[SNP_TCB_BOOTLOADER]),
                        "TEEVersion", js_u64(tcb->part[SNP_TCB_TEE]), "SNPVersion",
                        js_u64(tcb->part[SNP_TCB_SNP]), "MicrocodeVersion",
                        js_u64(tcb->part[SNP_TCB_MICROCODE]), "GuestPolicy", "ABIMajor",
                        js_u64(p >> 8 & 0xff), "ABIMinor", js_u64(p & 0xff), "SMT",
                        (p & SNP_POLICY_SMT) != 0, "MigrateMA", (p & SNP_POLICY_MIGRATE_MA) != 0, "Debug",
                        (p & SNP_POLICY_DEBUG) != 0, "SingleSocket", (p & SNP_POLICY_SINGLE_SOCKET) != 0,
                        "PlatformInfo", "SMTEnabled", b->platform.smt, "TSMEEnabled", b->platform.tsme,
                        "MinimumMitigationVector", 0LL, "CPUs", js_u64(vcpus));

        if (r >= 0 && ap_eip)
                r = js_set(j, "APEIP", js_string(ap_eip));
        return r < 0 ? r : js_append(e->list, TAKE_PTR(j));
}

static int add_digest(
                void *userdata, const RefsLaunch *l, const RefsRun *run, size_t i, const uint8_t *digest) {
        const ContrastEntries *e = userdata;
        int r = 0;

        FOREACH_ARRAY(product, products, l->mode == COCO_SEV_SNP ? ELEMENTSOF(products) : 0) {
                SnpGeneration g = snp_generation_from_string(product->generation);

                if (r >= 0 && e->bundle->has_tcb[g])
                        r = add_entry(e, g, digest, run->vcpus + (unsigned) i, NULL);
        }
        return r;
}

/* The digest of one vCPU, from which Contrast goes on with the reset address. */
static int add_family(const ContrastEntries *e, const LaunchFamily *f) {
        char ap_eip[16];

        (void) snprintf(ap_eip, sizeof(ap_eip), "%08" PRIx32, f->reset_address);
        FOREACH_ARRAY(product, products, ELEMENTSOF(products)) {
                SnpGeneration g = snp_generation_from_string(product->generation);
                LaunchDigest digest;
                uint32_t signature;
                int r;

                if (!e->bundle->has_tcb[g])
                        continue;
                r = sev_cpu_resolve(product->cpu, &signature, NULL);
                if (r >= 0)
                        r = launch_family_digest(f, 1, signature, &digest);
                if (r >= 0)
                        r = add_entry(e, g, digest.bytes, 1, ap_eip);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int put_entries(const ContrastEntries *e, const char *format, Text *t, char **reterr) {
        _cleanup_js_ Json *j = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        if (js_length(e->list) == 0)
                return error_set(reterr, -EINVAL,
                                "%s: the bundle has no TCB versions of milan or genoa; add them with 'refs build --tcb=' or 'refs learn'",
                                format);
        r = js_build(&j, "{s:O}", "snp", e->list);
        if (r < 0)
                return r;
        text = js_text(j, JS_PRETTY);
        if (!text)
                return -ENOMEM;
        text_put(t, text);
        text_put(t, "\n");
        return t->error;
}

int refs_export_contrast(
                const RefsBundle *b, _unused_ const RefsExportOptions *options, Text *t, char **reterr) {
        _cleanup_js_ Json *list = js_array();
        ContrastEntries e = { b, list };
        int r = list ? check(b, "contrast", reterr) : -ENOMEM;

        if (r >= 0)
                r = refs_each_row(b, add_digest, &e);
        return r < 0 ? r : put_entries(&e, "contrast", t, reterr);
}

int refs_export_contrast_family(
                const RefsBundle *b, _unused_ const RefsExportOptions *options, Text *t, char **reterr) {
        _cleanup_js_ Json *list = js_array();
        ContrastEntries e = { b, list };
        int r = list ? check(b, "contrast-family", reterr) : -ENOMEM;

        FOREACH_ARRAY(l, b->launches, r < 0 ? 0 : b->n_launches) {
                if (l->mode != COCO_SEV_SNP)
                        continue;
                if (!l->has_family || l->family.profile != VMM_QEMU || l->family.features != 1)
                        return error_set(reterr, -EINVAL,
                                        "contrast-family: launch %td: expected a family with --vmsa=qemu and guest features 0x1, which is what Contrast goes on from; export --format=contrast instead",
                                        l - b->launches + 1);
                r = add_family(&e, &l->family);
                if (r < 0)
                        break;
        }
        return r < 0 ? r : put_entries(&e, "contrast-family", t, reterr);
}
