/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --batch=FILE: one launch a line, as a JSON object whose members are named like the options and override them. One line a
 * launch comes out. What the launches share is read once. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cpio-library.h"
#include "cpio-pack.h"
#include "credential.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "input.h"
#include "json.h"
#include "log.h"
#include "measure-batch-file.h"
#include "measure-batch-row.h"
#include "measure-cache.h"
#include "measure-cli.h"
#include "measure-report.h"
#include "measure-suspect.h"
#include "strutil.h"

/* What the lines share. */
typedef struct BatchState {
        MeasureCache *cache; /* owned */
        RequestFiles files;
        SecretBuf archive;   /* room for the largest so far */
        bool bad, different; /* a line, a digest */
} BatchState;

static void batch_state_done(BatchState *b) {
        b->cache = measure_cache_free(b->cache);
        request_files_done(&b->files);
        secret_buf_done(&b->archive);
}

static int add_archive(
                BatchState *b, const CredentialSet *credentials, MeasureRequest *request, char **reterr) {
        SecretBuf *archive = &b->archive;
        PlanInput *in = &request->plan.initrd;
        uint64_t size;
        int r;

        r = cpio_credentials_size(credentials, &size);
        if (r >= 0 && archive->size < size) {
                secret_buf_done(archive);
                r = secret_buf_alloc(archive, size);
        }
        if (r >= 0)
                r = cpio_credentials_write(credentials, archive->data, size, reterr);
        if (r >= 0)
                r = measure_request_pad(in);
        if (r >= 0)
                r = measure_request_bytes(request, "credentials", archive->data, size, in);
        return r;
}

static int row_request(BatchState *b, BatchRow *row, MeasureRequest *ret, char **reterr) {
        int r;

        if (row->arguments.initrd_hash && (row->initrds || row->credentials.n_items > 0))
                return error_set(reterr, -EINVAL,
                                "'initrd-hash' replaces the whole initrd: remove files and credentials");
        r = measure_arguments_read(&row->arguments, &b->files, ret, reterr);
        if (r < 0)
                return r;
        if (!ret->plan.sev.kernel_hashes && (row->initrds || row->credentials.n_items > 0)) {
                measure_request_done(ret);
                return error_set(reterr, -EINVAL, "'kernel' is required with 'initrd' and 'credentials'");
        }
        STRV_FOREACH(file, row->initrds) {
                r = measure_request_pad(&ret->plan.initrd);
                if (r >= 0)
                        r = measure_request_open(ret, *file, &ret->plan.initrd, reterr);
                if (r < 0) {
                        r = error_prefix(reterr, r, "--initrd");
                        break;
                }
        }
        if (r >= 0 && row->credentials.n_items > 0)
                r = add_archive(b, &row->credentials, ret, reterr);
        if (r < 0)
                measure_request_done(ret);
        return r;
}

typedef struct RowOutput {
        const MeasureContext *context;
        const Json *id;
        const char *ovmf, *kernel; /* of a list; else NULL */
        const char *expected;      /* NULL: nothing to compare with */
        char *warning;             /* owned; about the files, or NULL */
        bool different;
} RowOutput;

static int print_json(const Json *j) {
        _cleanup_free_ char *text = js_text(j, JS_SHORT);

        return !text ? -ENOMEM : puts(text) < 0 ? -EIO : 0;
}

/* Adds "expected" and "equal". */
static int compare_row(RowOutput *o, const LaunchDigest *digest, Json *j) {
        uint8_t expected[SHA384_SIZE];
        bool equal;
        int r;

        /* The text was read before, when the row was. */
        r = bytes_from_text(o->expected, expected, digest->size, NULL);
        if (r < 0)
                return r;
        equal = memcmp(expected, digest->bytes, digest->size) == 0;
        o->different = o->different || !equal;
        r = js_set(j, "expected", js_hex(expected, digest->size));
        return r < 0 ? r : js_set(j, "equal", js_bool(equal));
}

static int name_files(const RowOutput *o, Json *j) {
        int r = o->ovmf ? js_set(j, "ovmf", js_string(o->ovmf)) : 0;

        return r >= 0 && o->kernel ? js_set(j, "kernel", js_string(o->kernel)) : r;
}

static int print_row(void *userdata, unsigned vcpus, const MeasureCpu *cpu, const LaunchDigest *digest) {
        RowOutput *o = userdata;
        _cleanup_js_ Json *j = NULL;
        int r;

        r = measure_report_row(o->context, vcpus, cpu, digest, &j);
        if (r >= 0)
                r = js_set(j, "mode", js_string(measure_mode_to_string(o->context->request->mode)));
        if (r >= 0 && o->id)
                r = js_set(j, "id", js_ref((Json *) o->id));
        if (r >= 0)
                r = name_files(o, j);
        if (r >= 0 && o->warning)
                r = js_set(j, "warning", js_string(o->warning));
        if (r >= 0 && o->expected)
                r = compare_row(o, digest, j);
        return r < 0 ? r : print_json(j);
}

/* --family: the launch as a whole, with its inputs and all its rows, in place of one line a row. */
static int print_launch(const RowOutput *o, char **reterr) {
        _cleanup_js_ Json *j = NULL;
        int r = measurement_json(o->context, &j, reterr);

        if (r >= 0 && o->id)
                r = js_set(j, "id", js_ref((Json *) o->id));
        return r < 0 ? r : print_json(j);
}

/* One launch has one digest, of its mode's size. */
static int check_expected(const char *expected, const MeasureRequest *q, char **reterr) {
        uint8_t bytes[SHA384_SIZE];
        int r;

        if (q->n_vcpus * q->n_cpus > 1)
                return error_set(reterr, -EINVAL,
                                "expect: one launch is compared; use one vCPU count and one CPU");
        r = bytes_from_text(expected, bytes, coco_of(q->plan.mode)->digest_size, reterr);
        return r < 0 ? error_prefix(reterr, r, "expect") : 0;
}

/* A bad line as its own row: what comes after it is measured all the same. */
static int print_bad_line(size_t number, const RowOutput *o, const char *sentence) {
        _cleanup_js_ Json *j = NULL;
        int r = js_build(&j, "{s:I, s:s}", "line", (long long) number, "error", sentence);

        if (r >= 0 && o->id)
                r = js_set(j, "id", js_ref((Json *) o->id));
        if (r >= 0)
                r = name_files(o, j);
        return r < 0 ? r : print_json(j);
}

static int measure_row(
                BatchState *b, const CliArguments *a, BatchRow *row, RowOutput *output, char **reterr) {
        _cleanup_(measure_context_done) MeasureContext context = {};
        _cleanup_(measure_request_done) MeasureRequest request = {};
        int r;

        output->context = &context;
        r = row_request(b, row, &request, reterr);
        request.family = a->family;
        if (r >= 0 && output->expected)
                r = check_expected(output->expected, &request, reterr);
        if (r >= 0)
                r = suspect_input(SUSPECT_KERNEL, &request.plan.kernel, &output->warning);
        if (r == 0)
                r = suspect_input(SUSPECT_INITRD, &request.plan.initrd, &output->warning);
        if (r >= 0)
                r = load_context(b->cache, &request, &context, reterr);
        if (r >= 0)
                r = check_foreign(a, &context, reterr);
        if (r < 0)
                return r;
        return a->family ? print_launch(output, reterr)
                         : measure_context_rows(&context, print_row, output, reterr);
}

typedef struct BatchLine {
        const CliArguments *arguments;
        size_t number; /* from 1 on */
        BatchRow row;
        RowOutput output;
} BatchLine;

/* Reports a bad launch as a row. Fails only where the batch cannot go on. */
static int report_bad(BatchState *b, const BatchLine *l, int r, const char *error) {
        if (r >= 0 || r == -ENOMEM || ferror(stdout))
                return r;
        b->bad = true;
        log_error("%s, line %zu: %s", l->arguments->batch, l->number, error ?: strerror(-r));
        return print_bad_line(l->number, &l->output, error ?: strerror(-r));
}

static int take_name(char **to, const char *name) {
        free(*to);
        *to = strdup(name);
        return *to ? 0 : -ENOMEM;
}

/* One combination of the files that are lists; a NULL name is that of the arguments. */
static int measure_launch(BatchState *b, BatchLine *l, const char *ovmf, const char *kernel) {
        _cleanup_free_ char *error = NULL;
        int r = ovmf ? take_name(&l->row.arguments.ovmf, ovmf) : 0;

        if (r >= 0 && kernel)
                r = take_name(&l->row.arguments.kernel, kernel);
        b->files.scratch_end = 0;
        l->output.ovmf = ovmf;
        l->output.kernel = kernel;
        l->output.different = false;
        if (r >= 0)
                r = measure_row(b, l->arguments, &l->row, &l->output, &error);
        b->different = b->different || l->output.different;
        free(TAKE_PTR(l->output.warning));
        return report_bad(b, l, r, error);
}

static int measure_launches(BatchState *b, BatchLine *l) {
        char *const none[] = { NULL, NULL };
        char *const *ovmfs = l->row.ovmfs ?: none, *const *kernels = l->row.kernels ?: none;
        size_t n_ovmfs = MAX(strv_length((char **) l->row.ovmfs), (size_t) 1);
        size_t n_kernels = MAX(strv_length((char **) l->row.kernels), (size_t) 1);
        int r = 0;

        if (l->output.expected && n_ovmfs * n_kernels > 1)
                return report_bad(b, l, -EINVAL,
                                "expect: one launch is compared; use one firmware and one kernel");
        for (size_t i = 0; i < n_ovmfs && r >= 0; i++)
                for (size_t k = 0; k < n_kernels && r >= 0; k++)
                        r = measure_launch(b, l, ovmfs[i], kernels[k]);
        return r;
}

/* Sets bad or different; fails only where the batch cannot go on. */
static int measure_line(BatchState *b, BatchLine *l, const char *line, size_t size) {
        _cleanup_free_ char *error = NULL;
        _cleanup_js_ Json *j = NULL;
        int r;

        if (size > BATCH_LINE_SIZE_MAX)
                r = error_set(&error, -E2BIG, "line is longer than %u bytes", BATCH_LINE_SIZE_MAX);
        else
                r = js_parse(line, size, &j, &error);
        if (r >= 0)
                r = batch_row_read(l->arguments, j, &l->row, &error);
        l->output.id = l->row.id;
        l->output.expected = l->row.expect;
        r = r < 0 ? report_bad(b, l, r, error) : measure_launches(b, l);
        batch_row_done(&l->row);
        return r;
}

int measure_batch(const CliArguments *a, char **reterr) {
        _cleanup_(batch_state_done) BatchState b = { .files = REQUEST_FILES_NONE };
        _cleanup_free_ char *line = malloc(BATCH_LINE_SIZE_MAX + 1);
        size_t number = 0, n;
        FILE *f = NULL;
        int r, k = 0;

        r = line ? batch_open(a->batch, &f, reterr) : -ENOMEM;
        if (r < 0)
                return r;
        r = measure_cache_new(&b.cache);
        while (r >= 0 && (k = batch_read_line(f, line, &n)) > 0) {
                BatchLine l = { .arguments = a, .number = ++number };

                if (strspn(line, " \t\r\n") < n)
                        r = measure_line(&b, &l, line, n);
        }
        if (r >= 0 && k == -E2BIG)
                r = error_set(reterr, k,
                                "--batch: '%s', line %zu is longer than %u bytes: not a batch of JSON lines",
                                a->batch, number + 1, BATCH_LINE_SKIPPED_MAX);
        else if (r >= 0 && k < 0)
                r = input_error("batch", a->batch, 0, k, reterr);
        if (f != stdin)
                (void) fclose(f);
        return r < 0 ? r : b.bad ? 1 : b.different ? MEASURE_DIFFERENT : 0;
}
