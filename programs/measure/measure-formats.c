/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --format=: reference values, signed on request. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "input.h"
#include "measure-cli.h"
#include "measure-format.h"
#include "measure-report.h"
#include "secret.h"
#include "strutil.h"

#define KEY_SIZE_MAX 65536u

typedef struct Collector {
        const MeasureContext *context;
        FormatRow *rows; /* owned */
        size_t n_rows, allocated;
        Json *json; /* owned; an array, or NULL for one row */
} Collector;

static void collector_done(Collector *c) {
        FOREACH_ARRAY(row, c->rows, c->n_rows)
                free(row->name);
        free(c->rows);
        c->json = js_unref(c->json);
}

static int collect(void *userdata, unsigned vcpus, const MeasureCpu *cpu, const LaunchDigest *digest) {
        Collector *c = userdata;
        FormatRow row = { .digest = *digest };
        Json *j = NULL;
        int r;

        if (c->n_rows >= c->allocated) {
                size_t n = MAX(c->allocated * 2, (size_t) 16);
                FormatRow *rows = reallocarray(c->rows, n, sizeof(FormatRow));

                if (!rows)
                        return -ENOMEM;
                c->rows = rows;
                c->allocated = n;
        }
        if (c->json) {
                if (cpu->name ? asprintf(&row.name, "vcpus=%u,cpu=%s", vcpus, cpu->name) < 0
                              : asprintf(&row.name, "vcpus=%u,cpu-signature=0x%x", vcpus, cpu->signature) <
                                                                0)
                        return -ENOMEM;
                r = measure_report_row(c->context, vcpus, cpu, digest, &j);
                if (r >= 0)
                        r = js_append(c->json, j);
                if (r < 0) {
                        free(row.name);
                        return r;
                }
        }
        c->rows[c->n_rows++] = row;
        return 0;
}

static int load_key(const char *path, SignKey **ret, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf pem = {};
        int r = input_read_secret("sign-key", path, KEY_SIZE_MAX, &pem, reterr);

        if (r < 0)
                return r;
        r = sign_key_load(pem.data, pem.size, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "--sign-key: '%s'", path) : 0;
}

int print_format(const CliArguments *a, const MeasureContext *c, char **reterr) {
        const MeasureRequest *q = c->request;
        bool many = q->n_vcpus * q->n_cpus > 1;
        _cleanup_(collector_done) Collector collector = { .context = c };
        _cleanup_sign_key_ SignKey *key = NULL;
        _cleanup_js_ Json *report = NULL;
        _cleanup_free_ char *text = NULL;
        LaunchSpec spec;
        size_t size;
        int r;

        if (a->sign_key) {
                r = load_key(a->sign_key, &key, reterr);
                if (r < 0)
                        return r;
        }
        if (many) {
                collector.json = js_array();
                if (!collector.json)
                        return -ENOMEM;
        }
        r = measure_context_rows(c, collect, &collector, reterr);
        if (r < 0)
                return r;
        measure_context_spec(c, q->vcpus[0], q->cpus, &spec);
        r = measure_report(c, many ? NULL : &spec, many ? NULL : q->cpus, &collector.rows[0].digest,
                        TAKE_PTR(collector.json), &report, reterr);
        if (r >= 0)
                r = format_rows(a->format,
                                &(FormatInput) { a->name, collector.rows, collector.n_rows, report }, key,
                                &text, &size, reterr);
        if (r < 0)
                return r;
        return fwrite(text, 1, size, stdout) == size ? 0 : -EIO;
}
