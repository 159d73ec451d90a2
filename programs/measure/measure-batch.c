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
#include "measure-cache.h"
#include "measure-cli.h"
#include "measure-report.h"
#include "measure-suspect.h"
#include "strutil.h"

/* A line holds the credentials of one launch: 1 MiB, in base64. */

typedef struct BatchRow {
        MeasureArguments arguments; /* owned */
        const Json *id;             /* weak: in the line's object */
        char **initrds;             /* owned; more than one are merged */
        CredentialSet credentials;
        char *expect; /* owned, or NULL */
} BatchRow;

static void batch_row_done(BatchRow *row) {
        measure_arguments_done(&row->arguments);
        strv_free(row->initrds);
        free(row->expect);
        credential_set_done(&row->credentials);
}

/* Numbers may stand as such. */
static int member_text(const Json *value, char **ret, char **reterr) {
        const char *s = js_string_value(value);
        uint64_t v;

        free(TAKE_PTR(*ret));
        if (s) {
                *ret = strdup(s);
                return *ret ? 0 : -ENOMEM;
        }
        if (js_u64_value(value, &v) < 0)
                return error_set(reterr, -EINVAL, "expected a text or a number");
        return asprintf(ret, "%llu", (unsigned long long) v) < 0 ? -ENOMEM : 0;
}

static int read_initrd(const Json *value, BatchRow *row, char **reterr) {
        const char *s = js_string_value(value);

        row->initrds = strv_free(row->initrds);
        if (s)
                return strv_push(&row->initrds, s);
        if (!js_is_array(value))
                return error_set(reterr, -EINVAL, "expected a file name or an array of them");
        for (size_t i = 0; i < js_length(value); i++) {
                int r;

                s = js_string_value(js_at(value, i));
                r = s ? strv_push(&row->initrds, s) : error_set(reterr, -EINVAL, "expected file names");
                if (r < 0)
                        return r;
        }
        return 0;
}

/* {"foo":"hello","key":{"base64":"..."}}: the archive that the launcher would append. */
static int read_credentials(const Json *value, BatchRow *row, char **reterr) {
        if (!js_is_object(value))
                return error_set(reterr, -EINVAL, "expected an object of names and values");
        for (void *i = js_iter(value); i; i = js_iter_next(value, i)) {
                const Json *v = js_iter_value(i), *binary = js_is_object(v) ? js_get(v, "base64") : NULL;
                const char *s = js_string_value(binary ?: v);
                _cleanup_(secret_buf_done) SecretBuf secret = {};
                _cleanup_free_ uint8_t *data = NULL;
                size_t size;
                int r;

                if (!s)
                        return error_set(reterr, -EINVAL,
                                        "credential '%s': expected a text or {\"base64\":...}",
                                        js_iter_key(i));
                if (binary && base64_decode(s, js_string_length(binary), &data, &size) < 0)
                        return error_set(reterr, -EINVAL, "credential '%s': not base64", js_iter_key(i));
                r = secret_buf_copy(&secret, binary ? (const void *) data : s,
                                binary ? size : js_string_length(v));
                if (r >= 0)
                        r = credential_set_add(&row->credentials, js_iter_key(i), &secret, reterr);
                if (r < 0)
                        return r;
        }
        return credential_set_check(&row->credentials, reterr);
}

static int read_member(const char *key, const Json *value, BatchRow *row, char **reterr) {
        static const struct {
                const char *key;
                size_t offset;
        } texts[] = {
                { "mode", offsetof(MeasureArguments, mode) },
                { "vmm-type", offsetof(MeasureArguments, vmm_type) },
                { "vmsa", offsetof(MeasureArguments, vmsa) },
                { "vcpus", offsetof(MeasureArguments, vcpus) },
                { "vcpu-type", offsetof(MeasureArguments, vcpu_type) },
                { "vcpu-sig", offsetof(MeasureArguments, vcpu_sig) },
                { "guest-features", offsetof(MeasureArguments, guest_features) },
                { "es-features", offsetof(MeasureArguments, es_features) },
                { "ovmf", offsetof(MeasureArguments, ovmf) },
                { "ovmf-metadata", offsetof(MeasureArguments, ovmf_metadata) },
                { "snp-ovmf-hash", offsetof(MeasureArguments, ovmf_hash) },
                { "kernel", offsetof(MeasureArguments, kernel) },
                { "append", offsetof(MeasureArguments, append) },
                { "kernel-hash", offsetof(MeasureArguments, kernel_hash) },
                { "initrd-hash", offsetof(MeasureArguments, initrd_hash) },
                { "cmdline-hash", offsetof(MeasureArguments, cmdline_hash) },
        };

        if (streq(key, "id")) {
                row->id = value;
                return 0;
        }
        if (streq(key, "initrd"))
                return read_initrd(value, row, reterr);
        if (streq(key, "expect"))
                return member_text(value, &row->expect, reterr);
        if (streq(key, "credentials"))
                return read_credentials(value, row, reterr);
        FOREACH_ARRAY(t, texts, ELEMENTSOF(texts))
                if (streq(key, t->key))
                        return member_text(value, (char **) ((char *) &row->arguments + t->offset), reterr);
        return error_set(reterr, -EINVAL, "no such member in a batch");
}

/* Starts from the command line's options. */
static int read_row(const CliArguments *a, const Json *line, BatchRow *row, char **reterr) {
        char *const *from = (char *const *) &a->measure;
        char **to = (char **) &row->arguments;
        int r;

        for (size_t i = 0; i < sizeof(MeasureArguments) / sizeof(char *); i++)
                if (from[i]) {
                        to[i] = strdup(from[i]);
                        if (!to[i])
                                return -ENOMEM;
                }
        if (a->expect) {
                row->expect = strdup(a->expect);
                if (!row->expect)
                        return -ENOMEM;
        }
        if (row->arguments.initrd) {
                r = strv_consume(&row->initrds, TAKE_PTR(row->arguments.initrd));
                if (r < 0)
                        return r;
        }
        if (!js_is_object(line))
                return error_set(reterr, -EINVAL, "expected a JSON object");
        for (void *i = js_iter(line); i; i = js_iter_next(line, i)) {
                r = read_member(js_iter_key(i), js_iter_value(i), row, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "member '%s'", js_iter_key(i));
        }
        return 0;
}

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
        const char *expected; /* NULL: nothing to compare with */
        char *warning;        /* owned; about the files, or NULL */
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

static int print_row(void *userdata, unsigned vcpus, const MeasureCpu *cpu, const LaunchDigest *digest) {
        RowOutput *o = userdata;
        _cleanup_js_ Json *j = NULL;
        int r;

        r = measure_report_row(o->context, vcpus, cpu, digest, &j);
        if (r >= 0)
                r = js_set(j, "mode", js_string(measure_mode_to_string(o->context->request->mode)));
        if (r >= 0 && o->id)
                r = js_set(j, "id", js_ref((Json *) o->id));
        if (r >= 0 && o->warning)
                r = js_set(j, "warning", js_string(o->warning));
        if (r >= 0 && o->expected)
                r = compare_row(o, digest, j);
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
static int print_bad_line(size_t number, const Json *id, const char *sentence) {
        _cleanup_js_ Json *j = NULL;
        int r = js_build(&j, "{s:I, s:s}", "line", (long long) number, "error", sentence);

        if (r >= 0 && id)
                r = js_set(j, "id", js_ref((Json *) id));
        return r < 0 ? r : print_json(j);
}

static int measure_row(BatchState *b, BatchRow *row, RowOutput *output, char **reterr) {
        _cleanup_(measure_context_done) MeasureContext context = {};
        _cleanup_(measure_request_done) MeasureRequest request = {};
        int r;

        output->context = &context;
        r = row_request(b, row, &request, reterr);
        if (r >= 0 && output->expected)
                r = check_expected(output->expected, &request, reterr);
        if (r >= 0)
                r = suspect_input(SUSPECT_KERNEL, &request.plan.kernel, &output->warning);
        if (r == 0)
                r = suspect_input(SUSPECT_INITRD, &request.plan.initrd, &output->warning);
        if (r >= 0)
                r = measure_context_load_cached(b->cache, &request, &context, reterr);
        return r < 0 ? r : measure_context_rows(&context, print_row, output, reterr);
}

/* Sets bad or different; fails only where the batch cannot go on. */
static int measure_line(BatchState *b, const CliArguments *a, const char *line, size_t size, size_t number) {
        _cleanup_(batch_row_done) BatchRow row = {};
        _cleanup_free_ char *error = NULL;
        _cleanup_js_ Json *j = NULL;
        RowOutput output = {};
        int r;

        b->files.scratch_end = 0;
        if (size > BATCH_LINE_SIZE_MAX)
                r = error_set(&error, -E2BIG, "line is longer than %u bytes", BATCH_LINE_SIZE_MAX);
        else
                r = js_parse(line, size, &j, &error);
        if (r >= 0)
                r = read_row(a, j, &row, &error);
        output.id = row.id;
        output.expected = row.expect;
        if (r >= 0)
                r = measure_row(b, &row, &output, &error);
        b->different = b->different || output.different;
        free(output.warning);
        if (r >= 0 || r == -ENOMEM || ferror(stdout))
                return r;
        b->bad = true;
        log_error("%s, line %zu: %s", a->batch, number, error ?: strerror(-r));
        return print_bad_line(number, row.id, error ?: strerror(-r));
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
                number++;
                if (strspn(line, " \t\r\n") < n)
                        r = measure_line(&b, a, line, n, number);
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
