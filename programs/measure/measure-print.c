/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "atomic-file.h"
#include "encode.h"
#include "error.h"
#include "json.h"
#include "measure-cli.h"
#include "measure-report.h"
#include "measure-tdx.h"
#include "strutil.h"

/* As sev-snp-measure names its modes in a verbose answer. */
static const char *const verbose_names[] = {
        [MEASURE_SEV] = "SEV",
        [MEASURE_SEV_ES] = "SEV_ES",
        [MEASURE_SNP] = "SEV_SNP",
        [MEASURE_OVMF_HASH] = NULL,
        [MEASURE_SVSM] = "SEV_SNP_SVSM",
        [MEASURE_TDX] = "TDX",
};

/* --- one row --------------------------------------------------------------------------------------------------------- */

static int print_text(const CliArguments *a, const MeasureContext *c, const LaunchDigest *d) {
        /* sev-snp-measure ignores the output format for the hash of a firmware, and prints it bare. */
        bool bare = c->request->mode == MEASURE_OVMF_HASH;
        bool base64 = !bare && a->output_format && streq(a->output_format, "base64");
        _cleanup_free_ char *text =
                        base64 ? base64_encode(d->bytes, d->size) : hex_encode(d->bytes, d->size);

        if (!text)
                return -ENOMEM;
        if (a->verbose && !bare)
                return printf("Calculated %s guest measurement: %s\n", verbose_names[c->request->mode],
                                       text) < 0
                                ? -EIO
                                : 0;
        return printf("%s\n", text) < 0 ? -EIO : 0;
}

int print_step(_unused_ void *userdata, const LaunchStep *s) {
        _cleanup_free_ char *contents = hex_encode(s->contents, s->n_digest),
                            *digest = hex_encode(s->digest, s->n_digest);

        if (!contents || !digest)
                return -ENOMEM;
        return printf("%6" PRIu64 " 0x%012" PRIx64 " 0x%-8" PRIx64 " %-10s %-18s %s %s\n", s->index, s->gpa,
                               s->size, s->type, s->source, contents, digest) < 0
                        ? -EIO
                        : 0;
}

static int print_explanation(const MeasureContext *c, const LaunchSpec *spec, char **reterr) {
        bool whole = launch_is_whole(spec->mode);
        _cleanup_free_ char *hex = NULL;
        LaunchDigest d;
        int r;

        if (printf("# cvmspawn measure, mode %s, %s %s\n"
                   "# %4s %-14s %-10s %-10s %-18s contents, digest so far\n",
                            measure_mode_to_string(c->request->mode), whole ? "page order" : "vmsa",
                            whole ? tdx_page_order_to_string(spec->two_pass)
                                  : vmm_profile_to_string(c->request->profile),
                            "page", "gpa", "size", "type", "source") < 0)
                return -EIO;
        r = measure_context_digest(c, spec, print_step, NULL, &d, reterr);
        if (r < 0)
                return r;
        hex = hex_encode(d.bytes, d.size);
        if (!hex)
                return -ENOMEM;
        return printf("%s\n", hex) < 0 ? -EIO : 0;
}

static int print_one(const CliArguments *a, const MeasureContext *c, char **reterr) {
        LaunchDigest d;
        LaunchSpec spec;
        int r;

        measure_context_spec(c, c->request->vcpus[0], c->request->cpus, &spec);
        if (a->explain)
                return print_explanation(c, &spec, reterr);
        r = measure_context_digest(c, &spec, NULL, NULL, &d, reterr);
        return r < 0 ? r : print_text(a, c, &d);
}

/* --- many rows ------------------------------------------------------------------------------------------------------- */

typedef struct RowPrinter {
        const CliArguments *arguments;
        const char *files; /* after the digest: "", or a blank and names */
} RowPrinter;

static int print_row(void *userdata, unsigned vcpus, const MeasureCpu *cpu, const LaunchDigest *digest) {
        const RowPrinter *p = userdata;
        const CliArguments *a = p->arguments;
        bool base64 = a->output_format && streq(a->output_format, "base64");
        _cleanup_free_ char *text = base64 ? base64_encode(digest->bytes, digest->size)
                                           : hex_encode(digest->bytes, digest->size);

        if (!text)
                return -ENOMEM;
        return printf("%5u %-14s 0x%08x %s%s\n", vcpus, cpu->name ?: "-", cpu->signature, text, p->files) < 0
                        ? -EIO
                        : 0;
}

int print_table_head(const char *files) {
        return printf("%5s %-14s %-10s DIGEST%s\n", "VCPUS", "CPU", "SIGNATURE", files) < 0 ? -EIO : 0;
}

int print_table_rows(const CliArguments *a, const MeasureContext *c, const char *files, char **reterr) {
        RowPrinter printer = { .arguments = a, .files = files };

        return measure_context_rows(c, print_row, &printer, reterr);
}

typedef struct RowCollector {
        const MeasureContext *context;
        Json *rows;
} RowCollector;

static int collect_row(void *userdata, unsigned vcpus, const MeasureCpu *cpu, const LaunchDigest *digest) {
        RowCollector *collector = userdata;
        Json *row = NULL;
        int r = measure_report_row(collector->context, vcpus, cpu, digest, &row);

        return r < 0 ? r : js_append(collector->rows, row);
}

static int one_json(const MeasureContext *c, Json **ret, char **reterr) {
        const MeasureCpu *cpu = c->request->cpus;
        LaunchDigest d;
        LaunchSpec spec;
        int r;

        measure_context_spec(c, c->request->vcpus[0], cpu, &spec);
        r = measure_context_digest(c, &spec, NULL, NULL, &d, reterr);
        return r < 0 ? r : measure_report(c, &spec, cpu, &d, NULL, ret, reterr);
}

int measurement_json(const MeasureContext *c, Json **ret, char **reterr) {
        _cleanup_js_ Json *rows = NULL;
        RowCollector collector = { .context = c };
        int r;

        if (c->request->n_vcpus * c->request->n_cpus <= 1)
                return one_json(c, ret, reterr);
        rows = js_array();
        if (!rows)
                return -ENOMEM;
        collector.rows = rows;
        r = measure_context_rows(c, collect_row, &collector, reterr);
        return r < 0 ? r : measure_report(c, NULL, NULL, NULL, TAKE_PTR(rows), ret, reterr);
}

static int print_json(const CliArguments *a, const MeasureContext *c, char **reterr) {
        _cleanup_js_ Json *report = NULL;
        int r = measurement_json(c, &report, reterr);

        return r < 0 ? r : verb_print_json(report, a->common.style);
}

int print_measurement(const CliArguments *a, const MeasureContext *c, char **reterr) {
        int r;

        if (c->request->n_vcpus * c->request->n_cpus > 1) {
                if (a->explain)
                        return error_set(reterr, -EINVAL,
                                        "--explain shows one launch: pass one vCPU count and one CPU");
                if (a->common.json)
                        return print_json(a, c, reterr);
                r = print_table_head("");
                return r < 0 ? r : print_table_rows(a, c, "", reterr);
        }
        /* The rules leave only one of both. */
        return a->common.json ? print_json(a, c, reterr) : print_one(a, c, reterr);
}

int dump_vmsas(const MeasureContext *c, char **reterr) {
        const MeasureRequest *q = c->request;
        bool svsm = q->mode == MEASURE_SVSM;
        VmsaSpec vmsa = { .profile = q->profile,
                .entry = svsm ? (uint32_t) c->svsm_gpa + c->svsm.info.svsm_entry
                              : c->firmware.info.reset_address,
                .signature = q->cpus[0].signature };
        LaunchSpec spec;

        if (!measure_mode_has_vcpus(q->mode))
                return error_set(reterr, -EINVAL, "--dump-vmsa: mode %s measures no VMSA",
                                measure_mode_to_string(q->mode));
        measure_context_spec(c, q->vcpus[0], q->cpus, &spec);
        vmsa.features = spec.features;
        for (unsigned i = 0; i < q->vcpus[0]; i++) {
                uint8_t page[SEV_PAGE_SIZE];
                char name[32];
                int r;

                vmsa.application = i > 0;
                vmsa_build(&vmsa, page);
                (void) snprintf(name, sizeof(name), "vmsa%u.bin", i);
                r = file_write_atomic(name, page, sizeof(page), 0666, ATOMIC_FILE_REPLACE);
                if (r < 0)
                        return error_set(
                                        reterr, r, "--dump-vmsa: cannot write '%s': %s", name, strerror(-r));
        }
        return 0;
}
