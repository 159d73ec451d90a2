/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "refs-export.h"
#include "refs-export-internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "guest-policy.h"
#include "strutil.h"

static int put_json(Text *t, const Json *j) {
        _cleanup_free_ char *text = js_text(j, JS_SHORT);

        if (!text)
                return -ENOMEM;
        text_put(t, text);
        text_put(t, "\n");
        return 0;
}

/* --- Trustee --------------------------------------------------------------------------------------------------------- */

typedef struct Rvps {
        const RefsExportOptions *options;
        Json *payload;
} Rvps;

static int rvps_set(const Rvps *v, const char *name, Json *value) {
        _cleanup_js_ Json *taken = value;
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *full = NULL;
        int r;

        if (v->options->uri)
                text_putf(&t, "%s/", v->options->uri);
        text_put(&t, name);
        if (v->options->tag)
                text_putf(&t, ":%s", v->options->tag);
        r = text_finish(&t, &full);
        return r < 0 ? r : js_set(v->payload, full, TAKE_PTR(taken));
}

static int add_measurement(void *userdata, const RefsLaunch *l, _unused_ const RefsRun *run,
                _unused_ size_t i, const uint8_t *digest) {
        return l->mode == COCO_SEV_SNP ? js_append(userdata, js_hex(digest, l->digest_size)) : 0;
}

/* The policy looks a value up in a list: each generation's floor is one accepted value. */
static int rvps_tcb(const Rvps *v, const RefsBundle *b, const char *name, SnpTcbPart part) {
        _cleanup_js_ Json *list = js_array();
        bool seen[UINT8_MAX + 1] = {};
        int r = list ? 0 : -ENOMEM;

        for (int g = 0; g < _SNP_GENERATION_MAX; g++)
                if (b->has_tcb[g])
                        seen[b->tcb[g].part[part]] = true;
        for (unsigned n = 0; r >= 0 && n < ELEMENTSOF(seen); n++)
                if (seen[n])
                        r = js_append(list, js_u64(n));
        return r < 0 ? r : rvps_set(v, name, TAKE_PTR(list));
}

static int rvps_check(const RefsBundle *b, size_t n_measurements, char **reterr) {
        bool any = false;

        for (int g = 0; g < _SNP_GENERATION_MAX; g++)
                any = any || b->has_tcb[g];
        if (n_measurements == 0)
                return error_set(reterr, -EINVAL, "rvps: the bundle has no sev-snp launch");
        if (!any)
                return error_set(reterr, -EINVAL,
                                "rvps: the bundle has no TCB versions; add them with 'refs build --tcb=' or 'refs learn'");
        if (!b->platform.has_smt || !b->platform.has_tsme)
                return error_set(reterr, -EINVAL,
                                "rvps: the bundle does not say whether SMT and TSME are on; add it with 'refs build --platform=' or 'refs learn'");
        if (!b->has_guest_policy)
                return error_set(reterr, -EINVAL,
                                "rvps: the bundle has no guest policy; add it with 'refs build --guest-policy='");
        return 0;
}

/* The names and types of confidential-containers/trustee, attestation-service/src/ear_token/ear_default_policy_cpu.rego: lists where the policy
 * says `in`, single values where it says `==`. */
static int rvps_values(const Rvps *v, const RefsBundle *b, Json *measurements) {
        uint64_t policy = b->guest_policy;
        int r = rvps_set(v, "snp_launch_measurement", measurements);

        if (r >= 0)
                r = rvps_tcb(v, b, "snp_bootloader", SNP_TCB_BOOTLOADER);
        if (r >= 0)
                r = rvps_tcb(v, b, "snp_tee_svn", SNP_TCB_TEE);
        if (r >= 0)
                r = rvps_tcb(v, b, "snp_snp_svn", SNP_TCB_SNP);
        if (r >= 0)
                r = rvps_tcb(v, b, "snp_microcode", SNP_TCB_MICROCODE);
        if (r >= 0)
                r = rvps_set(v, "snp_smt_enabled", js_bool(b->platform.smt));
        if (r >= 0)
                r = rvps_set(v, "snp_tsme_enabled", js_bool(b->platform.tsme));
        if (r >= 0)
                r = rvps_set(v, "snp_guest_abi_major", js_u64(policy >> 8 & 0xff));
        if (r >= 0)
                r = rvps_set(v, "snp_guest_abi_minor", js_u64(policy & 0xff));
        if (r >= 0)
                r = rvps_set(v, "snp_single_socket", js_bool(policy & SNP_POLICY_SINGLE_SOCKET));
        return r < 0 ? r : rvps_set(v, "snp_smt_allowed", js_bool(policy & SNP_POLICY_SMT));
}

/* The names that the same policy has for TDX, as far as a bundle says them; mr_seam, tcb_svn and xfam belong to the machine. */
static int rvps_registers(const Rvps *v, const RefsBundle *b, char **reterr) {
        static const struct {
                const char *name, *reference;
        } names[] = { { "rtmr1", "rtmr_1" }, { "rtmr2", "rtmr_2" } };
        _cleanup_js_ Json *mrtd = js_array();
        Json *lists[] = { js_array(), js_array() };
        int r = mrtd && lists[0] && lists[1] ? 0 : -ENOMEM;

        FOREACH_ARRAY(l, b->launches, r < 0 ? 0 : b->n_launches) {
                if (!coco_of(l->mode)->event_log)
                        continue;
                r = js_append(mrtd, js_hex(l->runs->digests, l->digest_size));
                for (size_t i = 0; r >= 0 && i < ELEMENTSOF(names); i++) {
                        const Json *value = js_get(l->registers, names[i].name);

                        r = value ? js_append(lists[i], js_ref((Json *) value))
                                  : error_set(reterr, -EINVAL,
                                                    "rvps: a tdx launch has no %s: predict it with --edk2=",
                                                    names[i].name);
                }
                if (r < 0)
                        break;
        }
        if (r >= 0)
                r = rvps_set(v, "mr_td", js_ref(mrtd));
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(names); i++)
                r = rvps_set(v, names[i].reference, js_ref(lists[i]));
        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                js_unref(lists[i]);
        return r;
}

static bool has_registers(const RefsBundle *b) {
        FOREACH_ARRAY(l, b->launches, b->n_launches)
                if (coco_of(l->mode)->event_log)
                        return true;
        return false;
}

static int export_rvps(const RefsBundle *b, const RefsExportOptions *options, Text *t, char **reterr) {
        _cleanup_js_ Json *measurements = js_array(), *payload = js_object(), *message = NULL;
        _cleanup_free_ char *text = NULL;
        Rvps v = { options, payload };
        int r;

        if (!measurements || !payload)
                return -ENOMEM;
        r = refs_each_row(b, add_measurement, measurements);
        if (r >= 0 && has_registers(b))
                r = rvps_registers(&v, b, reterr);
        if (r >= 0 && (js_length(measurements) > 0 || !has_registers(b))) {
                r = rvps_check(b, js_length(measurements), reterr);
                if (r >= 0)
                        r = rvps_values(&v, b, TAKE_PTR(measurements));
        }
        if (r < 0)
                return r;
        text = js_text(payload, JS_SHORT);
        if (!text)
                return -ENOMEM;
        r = js_build(&message, "{s:s, s:s, s:o}", "version", "0.1.0", "type", "sample", "payload",
                        js_base64(text, strlen(text)));
        return r < 0 ? r : put_json(t, message);
}

/* --- in-toto --------------------------------------------------------------------------------------------------------- */

static int add_subject(Json *subjects, const Json *part) {
        const char *name = js_string_value(js_get(part, "name"));
        const char *sha256 = js_string_value(js_get(part, "sha256"));
        Json *subject = NULL;
        int r;

        for (size_t i = 0; i < js_length(subjects); i++) {
                const Json *other = js_at(subjects, i);

                if (streq(js_string_value(js_get(other, "name")), name) &&
                                streq(js_string_value(js_get(js_get(other, "digest"), "sha256")), sha256))
                        return 0;
        }
        r = js_build(&subject, "{s:s, s:{s:s}}", "name", name, "digest", "sha256", sha256);
        return r < 0 ? r : js_append(subjects, subject);
}

static int add_subjects(const RefsBundle *b, Json *subjects) {
        FOREACH_ARRAY(l, b->launches, b->n_launches)
                for (void *i = js_iter(l->inputs); i; i = js_iter_next(l->inputs, i)) {
                        const Json *parts = js_get(js_iter_value(i), "parts");

                        for (size_t k = 0; k < js_length(parts); k++) {
                                int r = add_subject(subjects, js_at(parts, k));

                                if (r < 0)
                                        return r;
                        }
                }
        return 0;
}

static int export_in_toto(
                const RefsBundle *b, _unused_ const RefsExportOptions *options, Text *t, char **reterr) {
        _cleanup_js_ Json *subjects = js_array(), *bundle = NULL, *statement = NULL;
        int r = subjects ? add_subjects(b, subjects) : -ENOMEM;

        if (r >= 0 && js_length(subjects) == 0)
                r = error_set(reterr, -EINVAL, "in-toto: the bundle names no input file");
        if (r >= 0)
                r = refs_bundle_json(b, &bundle);
        if (r >= 0)
                r = js_build(&statement, "{s:s, s:O, s:s, s:O}", "_type", REFS_STATEMENT_TYPE, "subject",
                                subjects, "predicateType", REFS_PREDICATE_TYPE, "predicate", bundle);
        return r < 0 ? r : put_json(t, statement);
}

/* --- tables ---------------------------------------------------------------------------------------------------------- */

typedef struct TableStyle {
        const char *head, *begin, *between, *end;
        bool quotes; /* as RFC 4180 */
} TableStyle;

static const TableStyle csv = {
        "technology,launch,cpu,vcpu_sig,vcpus,firmware_sha256,kernel_sha256,initrd_sha256,cmdline_sha256,digest\r\n",
        "", ",", "\r\n", true
};
static const TableStyle markdown = {
        "| technology | launch | CPU | signature | vCPUs | firmware | kernel | initrd | command line | launch digest |\n"
        "|---|---|---|---|---|---|---|---|---|---|\n",
        "| ", " | ", " |\n", false
};
static const TableStyle plain = {
        "TECHNOLOGY\tLAUNCH\tCPU\tSIGNATURE\tVCPUS\tFIRMWARE\tKERNEL\tINITRD\tCMDLINE\tDIGEST\n", "", "\t",
        "\n", false
};

typedef struct Table {
        const TableStyle *style;
        Text *text;
} Table;

/* What could end a cell becomes a blank; CSV has quotes for it. */
static void put_cell(const Table *table, const char *s) {
        bool quoted = table->style->quotes && (strpbrk(s, ",\"\r\n") || strchr("=+-@", s[0]));

        if (quoted)
                text_put(table->text, "\"");
        for (; *s; s++) {
                char c = *s;

                if (table->style->quotes && c == '"')
                        text_put(table->text, "\"");
                if (!table->style->quotes && ((unsigned char) c < 0x20 || c == 0x7f || c == '|'))
                        c = ' ';
                text_put_n(table->text, &c, 1);
        }
        if (quoted)
                text_put(table->text, "\"");
}

static int put_row(
                void *userdata, const RefsLaunch *l, const RefsRun *run, size_t i, const uint8_t *digest) {
        static const char *const inputs[] = { "firmware", "kernel", "initrd", "cmdline" };
        const Table *table = userdata;
        const TableStyle *style = table->style;
        _cleanup_free_ char *hex = hex_encode(digest, l->digest_size);
        char signature[32] = "", vcpus[16] = "";

        if (!hex)
                return -ENOMEM;
        if (run->has_signature)
                (void) snprintf(signature, sizeof(signature), "0x%08" PRIx64, run->signature);
        if (run->vcpus > 0)
                (void) snprintf(vcpus, sizeof(vcpus), "%u", run->vcpus + (unsigned) i);
        text_put(table->text, style->begin);
        {
                const char *const cells[] = { coco_mode_to_string(l->mode), l->name ?: "", run->model ?: "",
                        signature, vcpus };

                FOREACH_ARRAY(cell, cells, ELEMENTSOF(cells)) {
                        put_cell(table, *cell);
                        text_put(table->text, style->between);
                }
        }
        FOREACH_ARRAY(name, inputs, ELEMENTSOF(inputs)) {
                put_cell(table, refs_launch_sha256(l, *name) ?: "");
                text_put(table->text, style->between);
        }
        text_put(table->text, hex);
        text_put(table->text, style->end);
        return table->text->error;
}

static int export_table(const RefsBundle *b, const TableStyle *style, Text *t) {
        Table table = { style, t };

        text_put(t, style->head);
        return refs_each_row(b, put_row, &table);
}

static int export_csv(const RefsBundle *b, _unused_ const RefsExportOptions *options, Text *t,
                _unused_ char **reterr) {
        return export_table(b, &csv, t);
}

static int export_markdown(const RefsBundle *b, _unused_ const RefsExportOptions *options, Text *t,
                _unused_ char **reterr) {
        return export_table(b, &markdown, t);
}

static int export_plain(const RefsBundle *b, _unused_ const RefsExportOptions *options, Text *t,
                _unused_ char **reterr) {
        return export_table(b, &plain, t);
}

/* --- the formats ----------------------------------------------------------------------------------------------------- */

typedef int (*ExportFunction)(const RefsBundle *b, const RefsExportOptions *options, Text *t, char **reterr);

static const struct {
        const char *name;
        ExportFunction function;
        bool registers; /* says registers of TDs, too */
} formats[] = {
        [REFS_EXPORT_RVPS] = { "rvps", export_rvps, true },
        [REFS_EXPORT_IN_TOTO] = { "in-toto", export_in_toto, true },
        [REFS_EXPORT_CSV] = { "csv", export_csv, true },
        [REFS_EXPORT_MARKDOWN] = { "markdown", export_markdown, true },
        [REFS_EXPORT_TABLE] = { "table", export_plain, true },
        [REFS_EXPORT_ID_BLOCKS] = { "id-blocks", refs_export_id_blocks },
        [REFS_EXPORT_CORIM] = { "corim", refs_export_corim, true },
        [REFS_EXPORT_VERAISON] = { "corim-veraison", refs_export_veraison },
        [REFS_EXPORT_REGO] = { "rego", refs_export_rego },
        [REFS_EXPORT_CEL] = { "cel", refs_export_cel },
        [REFS_EXPORT_CONTRAST] = { "contrast", refs_export_contrast },
        [REFS_EXPORT_CONTRAST_FAMILY] = { "contrast-family", refs_export_contrast_family },
        [REFS_EXPORT_C8S] = { "c8s", refs_export_c8s, true },
        [REFS_EXPORT_TINFOIL] = { "tinfoil", refs_export_tinfoil, true },
};
static_assert(ELEMENTSOF(formats) == _REFS_EXPORT_MAX, "every format has a row");

RefsExport refs_export_from_string(const char *s) {
        for (int i = 0; i < _REFS_EXPORT_MAX; i++)
                if (streq(s, formats[i].name))
                        return (RefsExport) i;
        return _REFS_EXPORT_INVALID;
}

int refs_export(const RefsBundle *b, RefsExport format, const RefsExportOptions *options, char **ret,
                size_t *ret_size, char **reterr) {
        _cleanup_(text_done) Text t = {};
        int r;

        if (has_registers(b) && !formats[format].registers)
                return error_set(reterr, -EINVAL,
                                "%s: the bundle has launches of TDs (tdx), which cvmspawn does not write in this format: use --format=rvps, or a bundle without them",
                                formats[format].name);
        r = formats[format].function(b, options, &t, reterr);
        *ret_size = t.size;
        return r < 0 ? r : text_finish(&t, ret);
}
