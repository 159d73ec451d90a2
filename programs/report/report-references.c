/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "report-references.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "input.h"
#include "measure-child.h"
#include "refs-build.h"
#include "sev-cpu.h"
#include "strutil.h"

#define KEY_FILE_MAX (64u * 1024u)

void report_references_done(ReportReferences *r) {
        snp_references_done(&r->tables);
        FOREACH_ARRAY(b, r->bundles, r->n_bundles)
                refs_file_done(&b->file);
        free(r->bundles);
        free(r->where);
        *r = (ReportReferences) {};
}

void report_match_done(ReportMatch *m) {
        free(m->text);
        free(m->floor);
        free(m->nearest);
        *m = (ReportMatch) {};
}

/* --- files ----------------------------------------------------------------------------------------------------------- */

typedef struct Reading {
        CocoMode mode; /* what the evidence is of */
        const ReportArguments *arguments;
        ReportReferences *refs; /* weak: what is read goes there */
        char *key;              /* owned: the content of --reference-key=, or NULL */
        size_t key_size;
} Reading;

static void reading_done(Reading *g) {
        free(g->key);
}

static int open_signed(const Reading *g, const char *path, Json **j, char **reterr) {
        _cleanup_free_ uint8_t *payload = NULL;
        size_t size;
        int r;

        if (dsse_is_envelope(*j) != !!g->key)
                return error_set(reterr, -EINVAL,
                                g->key ? "%s: not signed, but --reference-key was given"
                                       : "%s: signed; pass the signer's public key with --reference-key",
                                path);
        if (!g->key)
                return 0;
        r = dsse_open(*j, g->key, g->key_size, &payload, &size, reterr);
        if (r < 0)
                return error_prefix(
                                reterr, r, "%s with --reference-key=%s", path, g->arguments->reference_key);
        *j = js_unref(*j);
        r = js_parse((const char *) payload, size, j, reterr);
        return r < 0 ? error_prefix(reterr, r, "%s: payload", path) : 0;
}

/* The table itself, or the payload of its signed envelope. */
static int add_table(const Reading *g, const char *path, const char *text, size_t size, char **reterr) {
        _cleanup_js_ Json *j = NULL;
        int r = refs_read_json(text, size, &j, reterr);

        if (r < 0)
                return error_prefix(reterr, r, "%s", path);
        r = open_signed(g, path, &j, reterr);
        if (r < 0)
                return r;
        r = snp_references_add(&g->refs->tables, js_get(j, "predicate") /* of an in-toto statement */ ?: j,
                        path, reterr);
        return r < 0 ? error_prefix(reterr, r, "%s", path) : 0;
}

static int check_bundle(const RefsFile *f, CocoMode mode, bool has_key, int64_t now, char **reterr) {
        bool any = false;

        FOREACH_ARRAY(l, f->bundle.launches, f->bundle.n_launches)
                any = any || l->mode == mode;
        if (!any)
                return error_set(reterr, -EINVAL, "the bundle has no %s launch", coco_mode_to_string(mode));
        if (f->is_signed && !has_key)
                return error_set(reterr, -EINVAL,
                                "signed; pass the signer's public key with --reference-key");
        return refs_check_age(&f->bundle, now, 0, reterr);
}

static int add_bundle(const Reading *g, const char *path, const char *text, size_t size, char **reterr) {
        const DsseKey keys[] = { { g->arguments->reference_key, g->key, g->key_size } };
        ReportReferences *refs = g->refs;
        const RefsSigners signers = { keys, ELEMENTSOF(keys), 1 };
        ReportBundle *grown = reallocarray(refs->bundles, refs->n_bundles + 1, sizeof(ReportBundle)), *b;
        int64_t now;
        int r = report_time(g->arguments->time, &now, reterr);

        if (!grown)
                return -ENOMEM;
        refs->bundles = grown;
        if (r < 0)
                return r;
        b = grown + refs->n_bundles++;
        *b = (ReportBundle) { .path = path };
        r = refs_file_open(text, size, g->key ? &signers : NULL, &b->file, reterr);
        if (r >= 0)
                r = check_bundle(&b->file, g->mode, g->key, now, reterr);
        return r < 0 ? error_prefix(reterr, r, "%s", path) : 0;
}

static int read_file(const Reading *g, const char *path, char **reterr) {
        _cleanup_free_ char *text = NULL;
        bool is_bundle;
        size_t size;
        int r = input_read("reference", path, REFS_SIZE_MAX, &text, &size, reterr);

        if (r >= 0 && strspn(text, " \t\r\n") == size)
                r = error_set(reterr, -EINVAL,
                                "--reference: '%s' is empty; expected a bundle of 'cvmspawn refs build', or the output of 'cvmspawn measure --json' or --batch",
                                path);
        if (r < 0)
                return r;
        is_bundle = refs_file_is(text, size);
        if (!is_bundle && coco_of(g->mode)->event_log)
                return error_set(reterr, -EINVAL,
                                "--reference: '%s' is not a bundle of 'cvmspawn refs build', which TDX quotes are compared with",
                                path);
        return is_bundle ? add_bundle(g, path, text, size, reterr) : add_table(g, path, text, size, reterr);
}

/* The arguments after `--` describe the launch: what measure makes of them is expected. */
static int add_launch(char *const *launch, ReportReferences *refs, char **reterr) {
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *table = NULL;
        int r, status;

        r = strv_copy(launch, &words);
        if (r == 0)
                r = strv_push(&words, "--json=short");
        if (r == 0)
                r = measure_child(words, &text, &status, reterr);
        if (r < 0)
                return r;
        if (status != 0)
                return error_set(reterr, -EINVAL,
                                "cvmspawn measure could not compute the launch that is described after --");
        r = js_parse(text, strlen(text), &table, reterr);
        return r < 0 ? r : snp_references_add(&refs->tables, table, "the launch after --", reterr);
}

/* How violations name the digests of bundles. */
static int expect_bundles(ReportReferences *refs, SnpPolicy *p, char **reterr) {
        _cleanup_(text_done) Text t = {};
        int r;

        if (refs->n_bundles == 0)
                return 0;
        FOREACH_ARRAY(b, refs->bundles, refs->n_bundles) {
                size_t families = 0;

                FOREACH_ARRAY(l, b->file.bundle.launches, b->file.bundle.n_launches)
                        families += l->has_family;
                text_putf(&t, "%s%zu row%s and %zu famil%s of %s", b == refs->bundles ? "one of " : ", ",
                                b->file.bundle.n_rows, b->file.bundle.n_rows == 1 ? "" : "s", families,
                                families == 1 ? "y" : "ies", b->path);
        }
        r = text_finish(&t, &refs->where);
        return r < 0 ? r : snp_policy_expect_elsewhere(p, SNP_FIELD_MEASUREMENT, refs->where, reterr);
}

static int read_files(Reading *g, char **reterr) {
        const ReportArguments *a = g->arguments;
        int r = a->reference_key ? input_read("reference-key", a->reference_key, KEY_FILE_MAX, &g->key,
                                                   &g->key_size, reterr)
                                 : 0;

        for (char **path = a->references; r >= 0 && path && *path; path++)
                r = read_file(g, *path, reterr);
        return r;
}

int report_references_bundles(
                const ReportArguments *a, CocoMode mode, ReportReferences *ret, char **reterr) {
        _cleanup_(reading_done) Reading g = { .mode = mode, .arguments = a, .refs = ret };

        return read_files(&g, reterr);
}

int report_references_read(const ReportArguments *a, char *const *launch, SnpPolicy *p,
                ReportReferences *ret, char **reterr) {
        _cleanup_(reading_done) Reading g = { .arguments = a, .refs = ret, .mode = COCO_SEV_SNP };
        int r = read_files(&g, reterr);

        if (r >= 0 && launch)
                r = add_launch(launch, ret, reterr);
        if (r >= 0)
                r = snp_references_accept(&ret->tables, p, reterr);
        return r < 0 ? r : expect_bundles(ret, p, reterr);
}

/* --- one report ------------------------------------------------------------------------------------------------------ */

static int found(const ReportBundle *b, SnpGeneration g, SnpPolicy *p, ReportMatch *m, char **reterr) {
        _cleanup_free_ char *text = NULL;
        int r = refs_match_text(&m->where, &text);

        if (r >= 0 &&
                        asprintf(&m->text, "%s; %s (sequence %" PRIu64 ")", text, b->path,
                                        b->file.bundle.sequence) < 0) {
                m->text = NULL;
                r = -ENOMEM;
        }
        if (r >= 0)
                r = refs_policy_text(&b->file.bundle, g, &m->floor);
        if (r >= 0)
                r = refs_policy_apply(&b->file.bundle, p, reterr);
        if (r < 0)
                return r;
        m->bundle = b;
        p->bytes[SNP_FIELD_MEASUREMENT] =
                        (SnpBytesRule) { .rule = SNP_RULE_SET, .values = m->digest, .n_values = 1 };
        return 0;
}

static int find_nearest(const ReportReferences *refs, const uint8_t *digest, uint32_t signature, Text *t) {
        FOREACH_ARRAY(b, refs->bundles, refs->n_bundles) {
                _cleanup_(refs_nearest_done) RefsNearest n = {};
                int r = refs_bundle_nearest(&b->file.bundle, digest, 48, signature, &n);

                if (r < 0)
                        return r;
                text_putf(t, "%s%s; %s", t->size > 0 ? "; " : "", n.text, b->path);
        }
        return 0;
}

/* Said with what is nearest, since a member that was not tried is a miss. */
static void say_partial(Text *t) {
        text_put(t, "; not all members of the families were tried, since they are too many for one report: split the bundle, or build it with a smaller --family-vcpus");
}

static bool is_accepted(const SnpPolicy *p, const uint8_t digest[static 48]) {
        const SnpBytesRule *b = p->bytes + SNP_FIELD_MEASUREMENT;

        for (size_t i = 0; i < b->n_values; i++)
                if (memcmp(b->values + i * 48, digest, 48) == 0)
                        return true;
        return false;
}

int report_references_find(const ReportReferences *refs, const SnpReport *report, SnpGeneration g,
                SnpPolicy *p, ReportMatch *ret, char **reterr) {
        uint32_t signature = report->cpuid_family == 0
                        ? 0
                        : sev_cpu_signature(
                                          report->cpuid_family, report->cpuid_model, report->cpuid_stepping);
        const SnpReference *row;
        _cleanup_(text_done) Text t = {};
        bool partial = false;
        int r = 0;

        memcpy(ret->digest, report->measurement, sizeof(ret->digest));
        FOREACH_ARRAY(b, refs->bundles, refs->n_bundles) {
                r = refs_bundle_find(&b->file.bundle, ret->digest, sizeof(ret->digest), signature,
                                &ret->where, reterr);
                if (r != 0)
                        return r < 0 ? error_prefix(reterr, r, "%s", b->path) : found(b, g, p, ret, reterr);
                partial = partial || ret->where.partial;
        }
        row = snp_references_find(&refs->tables, ret->digest);
        if (row) {
                ret->text = strdup(row->text);
                return ret->text ? 0 : -ENOMEM;
        }
        if (refs->n_bundles == 0 || is_accepted(p, ret->digest))
                return 0;
        r = find_nearest(refs, ret->digest, signature, &t);
        if (partial)
                say_partial(&t);
        return r < 0 ? r : text_finish(&t, &ret->nearest);
}
