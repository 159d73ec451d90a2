/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-reference.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "strutil.h"

void snp_references_done(SnpReferences *r) {
        FOREACH_ARRAY(x, r->list, r->n)
                free(x->text);
        free(r->list);
        *r = (SnpReferences) {};
}

/* In the row, or, where the table is about one launch, among its parameters. */
static const Json *find(const Json *table, const Json *row, const char *name) {
        return js_get(row, name) ?: js_get(js_get(table, "parameters"), name);
}

static char *describe(const Json *table, const Json *row, const char *origin) {
        const char *model = js_string_value(find(table, row, "cpu-model"));
        const char *kernel = js_string_value(js_get(js_get(js_get(table, "parts"), "kernel"), "sha256"));
        const char *firmware = js_string_value(js_get(js_get(js_get(table, "parts"), "firmware"), "sha256"));
        _cleanup_(text_done) Text t = {};
        uint64_t vcpus, signature;
        char *s = NULL;

        if (js_u64_value(find(table, row, "vcpus"), &vcpus) == 0)
                text_putf(&t, "%" PRIu64 " vCPU%s, ", vcpus, vcpus == 1 ? "" : "s");
        if (model)
                text_putf(&t, "%s, ", model);
        else if (js_u64_value(find(table, row, "vcpu-sig"), &signature) == 0)
                text_putf(&t, "CPU signature 0x%" PRIx64 ", ", signature);
        if (kernel)
                text_putf(&t, "kernel %.16s..., ", kernel);
        if (firmware)
                text_putf(&t, "firmware %.16s..., ", firmware);
        text_put(&t, origin);
        return text_finish(&t, &s) < 0 ? NULL : s;
}

static int add_row(SnpReferences *r, const Json *table, const Json *row, const char *origin, char **reterr) {
        const char *hex = js_string_value(js_get(row, "digest"));
        SnpReference x = {}, *list;

        if (!hex || hex_decode_exact(hex, x.digest, sizeof(x.digest)) < 0)
                return error_set(reterr, -EINVAL, "row %zu has no digest of 96 hex digits", r->n);
        if (r->n >= SNP_POLICY_VALUES_MAX)
                return error_set(reterr, -E2BIG, "more than %u rows", SNP_POLICY_VALUES_MAX);
        x.text = describe(table, row, origin);
        list = x.text ? realloc(r->list, (r->n + 1) * sizeof(SnpReference)) : NULL;
        if (!list) {
                free(x.text);
                return -ENOMEM;
        }
        r->list = list;
        r->list[r->n++] = x;
        return 0;
}

static int add_table(SnpReferences *r, const Json *table, const char *origin, char **reterr) {
        const char *mode = js_string_value(js_get(table, "mode"));
        const Json *rows = js_get(table, "rows");

        if (!mode || (!streq(mode, "snp") && !streq(mode, "sev-snp")))
                return error_set(reterr, -EINVAL, "not a reference table for SNP (its mode is %s)",
                                mode ?: "missing");
        if (!rows && js_get(table, "digest"))
                return add_row(r, table, table, origin, reterr); /* one launch alone */
        if (js_length(rows) == 0)
                return error_set(reterr, -EINVAL, "the reference table has no rows");
        for (size_t i = 0; i < js_length(rows); i++) {
                int k = add_row(r, table, js_at(rows, i), origin, reterr);

                if (k < 0)
                        return k;
        }
        return 0;
}

/* The rows of a batch: each says its mode, and one that could not be measured says why. */
static int add_batch(SnpReferences *r, const Json *rows, const char *origin, char **reterr) {
        if (js_length(rows) == 0)
                return error_set(reterr, -EINVAL, "the reference table has no rows");
        for (size_t i = 0; i < js_length(rows); i++) {
                const Json *row = js_at(rows, i);
                const char *bad = js_string_value(js_get(row, "error"));
                int k;

                if (bad)
                        return error_set(reterr, -EINVAL, "row %zu was not measured: %s", i + 1, bad);
                k = add_table(r, row, origin, reterr);
                if (k < 0)
                        return error_prefix(reterr, k, "row %zu", i + 1);
        }
        return 0;
}

int snp_references_add(SnpReferences *r, const Json *table, const char *origin, char **reterr) {
        if (js_is_array(table))
                return add_batch(r, table, origin, reterr);
        return add_table(r, table, origin, reterr);
}

int snp_references_accept(const SnpReferences *r, SnpPolicy *p, char **reterr) {
        FOREACH_ARRAY(x, r->list, r->n) {
                int k = snp_policy_accept(p, SNP_FIELD_MEASUREMENT, x->digest, reterr);

                if (k < 0)
                        return k;
        }
        return 0;
}

const SnpReference *snp_references_find(const SnpReferences *r, const uint8_t measurement[static 48]) {
        FOREACH_ARRAY(x, r->list, r->n)
                if (memcmp(x->digest, measurement, sizeof(x->digest)) == 0)
                        return x;
        return NULL;
}
