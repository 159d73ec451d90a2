/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-batch-row.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "strutil.h"

void batch_row_done(BatchRow *row) {
        measure_arguments_done(&row->arguments);
        strv_free(row->initrds);
        strv_free(row->ovmfs);
        strv_free(row->kernels);
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

static int read_names(const Json *value, char ***names, char **reterr) {
        const char *s = js_string_value(value);

        *names = strv_free(*names);
        if (s)
                return strv_push(names, s);
        if (!js_is_array(value))
                return error_set(reterr, -EINVAL, "expected a file name or an array of them");
        for (size_t i = 0; i < js_length(value); i++) {
                int r;

                s = js_string_value(js_at(value, i));
                r = s ? strv_push(names, s) : error_set(reterr, -EINVAL, "expected file names");
                if (r < 0)
                        return r;
        }
        return 0;
}

/* One name replaces that of the command line; several make a launch each. */
static int read_list(const Json *value, char **one, char ***names, char **reterr) {
        int r = 0;

        if (!js_is_array(value)) {
                *names = strv_free(*names);
                return member_text(value, one, reterr);
        }
        if (js_length(value) == 0)
                return error_set(reterr, -EINVAL, "expected a file name or an array of them");
        r = read_names(value, names, reterr);
        free(TAKE_PTR(*one));
        return r;
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
                { "page-order", offsetof(MeasureArguments, page_order) },
                { "vcpu-type", offsetof(MeasureArguments, vcpu_type) },
                { "vcpu-sig", offsetof(MeasureArguments, vcpu_sig) },
                { "guest-features", offsetof(MeasureArguments, guest_features) },
                { "es-features", offsetof(MeasureArguments, es_features) },
                { "ovmf-metadata", offsetof(MeasureArguments, ovmf_metadata) },
                { "snp-ovmf-hash", offsetof(MeasureArguments, ovmf_hash) },
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
                return read_names(value, &row->initrds, reterr);
        if (streq(key, "ovmf"))
                return read_list(value, &row->arguments.ovmf, &row->ovmfs, reterr);
        if (streq(key, "kernel"))
                return read_list(value, &row->arguments.kernel, &row->kernels, reterr);
        if (streq(key, "expect"))
                return member_text(value, &row->expect, reterr);
        if (streq(key, "credentials"))
                return read_credentials(value, row, reterr);
        FOREACH_ARRAY(t, texts, ELEMENTSOF(texts))
                if (streq(key, t->key))
                        return member_text(value, (char **) ((char *) &row->arguments + t->offset), reterr);
        return error_set(reterr, -EINVAL, "no such member in a batch");
}

int batch_row_read(const CliArguments *a, const Json *line, BatchRow *row, char **reterr) {
        char *const *from = (char *const *) &a->measure;
        char **to = (char **) &row->arguments;
        int r;

        for (size_t i = 0; i < sizeof(MeasureArguments) / sizeof(char *); i++)
                if (from[i]) {
                        to[i] = strdup(from[i]);
                        if (!to[i])
                                return -ENOMEM;
                }
        r = file_list("ovmf", a->measure.ovmf, &row->ovmfs, reterr);
        if (r >= 0)
                r = file_list("kernel", a->measure.kernel, &row->kernels, reterr);
        if (r < 0)
                return r;
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
