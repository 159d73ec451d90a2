/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From options, policy file and reference tables to one policy. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto-dsse.h"
#include "crypto-hash.h"
#include "encode.h"
#include "error.h"
#include "input.h"
#include "measure-child.h"
#include "report.h"
#include "strutil.h"

#define POLICY_FILE_MAX    (4u * 1024u * 1024u)
#define BOUND_FILE_MAX     (64u * 1024u * 1024u)
#define REFERENCE_FILE_MAX (16u * 1024u * 1024u)
#define KEY_FILE_MAX       (64u * 1024u)

static int accept_text(SnpPolicy *p, SnpBytesField f, const char *option, const char *s, char **reterr) {
        uint8_t value[64];
        int r;

        r = bytes_from_text(s, value, snp_field_size(f), reterr);
        if (r == 0)
                r = snp_policy_accept(p, f, value, reterr);
        return r < 0 ? error_prefix(reterr, r, "--%s", option) : 0;
}

static int accept_list(SnpPolicy *p, SnpBytesField f, const char *option, char **list, char **reterr) {
        STRV_FOREACH(s, list) {
                int r = accept_text(p, f, option, *s, reterr);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int accept_bound(SnpPolicy *p, const char *path, char **reterr) {
        uint8_t digest[SHA512_SIZE];
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        r = input_read("bound-to", path, BOUND_FILE_MAX, &data, &size, reterr);
        if (r < 0)
                return r;
        r = hash_digest(HASH_SHA512, data, size, digest);
        if (r < 0)
                return r;
        return snp_policy_accept(p, SNP_FIELD_REPORT_DATA, digest, reterr);
}

static int read_policy_file(SnpPolicy *p, const char *path, char **reterr) {
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        size_t size;
        int r;

        r = input_read("policy", path, POLICY_FILE_MAX, &text, &size, reterr);
        if (r < 0)
                return r;
        r = js_parse(text, size, &j, reterr);
        if (r == 0)
                r = snp_policy_read(j, p, reterr);
        return r < 0 ? error_prefix(reterr, r, "%s", path) : 0;
}

static int set_vmpl(SnpPolicy *p, const char *s, char **reterr) {
        uint64_t v;

        if (streq(s, "any")) {
                p->vmpl.rule = SNP_RULE_ANY;
                return 0;
        }
        if (parse_u64_max(s, 3, &v) < 0)
                return error_set(reterr, -EINVAL, "--vmpl: expected 0, 1, 2, 3 or any, not '%s'", s);
        p->vmpl = (SnpNumberRule) { SNP_RULE_SET, v };
        return 0;
}

/* One value, or, as `cvmspawn measure --batch=` prints them, one in each line: then an array of them. The first line decides. */
static int parse_table(const char *text, size_t size, Json **ret, char **reterr) {
        _cleanup_js_ Json *rows = NULL, *first = NULL;
        const char *end = memchr(text, '\n', size);
        size_t at = 0;

        if (!end || end == text + size - 1 || js_parse(text, (size_t) (end - text), &first, NULL) < 0)
                return js_parse(text, size, ret, reterr);
        rows = js_array();
        if (!rows)
                return -ENOMEM;
        for (size_t number = 1; at < size; number++) {
                Json *row = NULL;
                size_t n;
                int r;

                end = memchr(text + at, '\n', size - at);
                n = end ? (size_t) (end - text) - at : size - at;
                r = js_parse(text + at, n, &row, reterr);
                if (r >= 0)
                        r = js_append(rows, row);
                if (r < 0)
                        return error_prefix(reterr, r, "line %zu", number);
                at += n + 1;
        }
        *ret = TAKE_PTR(rows);
        return 0;
}

/* The table itself, or the payload of its signed envelope. */
static int open_reference(const char *path, const char *key_path, Json **ret, char **reterr) {
        _cleanup_free_ char *text = NULL, *key = NULL;
        _cleanup_free_ uint8_t *payload = NULL;
        _cleanup_js_ Json *j = NULL;
        const Json *predicate;
        size_t size, key_size;
        int r;

        r = input_read("reference", path, REFERENCE_FILE_MAX, &text, &size, reterr);
        if (r == 0 && strspn(text, " \t\r\n") == size)
                r = error_set(reterr, -EINVAL,
                                "--reference: '%s' is empty; expected the output of 'cvmspawn measure --json' or --batch",
                                path);
        if (r < 0)
                return r;
        r = parse_table(text, size, &j, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "%s", path);
        if (dsse_is_envelope(j) != !!key_path)
                return error_set(reterr, -EINVAL,
                                key_path ? "%s: not signed, but --reference-key was given"
                                         : "%s: signed; pass the signer's public key with --reference-key",
                                path);
        if (key_path) {
                r = input_read("reference-key", key_path, KEY_FILE_MAX, &key, &key_size, reterr);
                if (r < 0)
                        return r;
                r = dsse_open(j, key, key_size, &payload, &size, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "%s with --reference-key=%s", path, key_path);
                j = js_unref(j);
                r = js_parse((const char *) payload, size, &j, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "%s: payload", path);
        }
        predicate = js_get(j, "predicate"); /* of an in-toto statement */
        *ret = js_ref((Json *) (predicate ?: j));
        return 0;
}

static int accept_references(const ReportArguments *a, SnpPolicy *p, SnpReferences *refs, char **reterr) {
        STRV_FOREACH(path, a->references) {
                _cleanup_js_ Json *table = NULL;
                int r = open_reference(*path, a->reference_key, &table, reterr);

                if (r < 0)
                        return r;
                r = snp_references_add(refs, table, *path, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "%s", *path);
        }
        if (a->reference_key && !a->references)
                return error_set(reterr, -EINVAL, "--reference-key without --reference");
        return snp_references_accept(refs, p, reterr);
}

/* The arguments after `--` describe the launch: what measure makes of them is expected. */
static int accept_launch(SnpPolicy *p, char *const *launch, SnpReferences *refs, char **reterr) {
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
        if (r == 0)
                r = snp_references_add(refs, table, "the launch after --", reterr);
        return r < 0 ? r : snp_references_accept(refs, p, reterr);
}

/* The policy file first, then the options on top. */
int report_policy(const ReportArguments *a, char *const *launch, SnpPolicy *p, SnpReferences *refs,
                char **reterr) {
        int r = 0;

        if (a->any_measurement && (a->measurements || a->references || launch))
                return error_set(reterr, -EINVAL,
                                "--insecure-any-measurement excludes an expected measurement: use one of them");
        if (a->any_report_data && (a->report_data || a->bound_to))
                return error_set(reterr, -EINVAL,
                                "--insecure-any-report-data excludes expected report data: use one of them");
        if (a->report_data && a->bound_to)
                return error_set(reterr, -EINVAL,
                                "--report-data and --bound-to both set the expected report data: use one of them");
        if (a->policy)
                r = read_policy_file(p, a->policy, reterr);
        if (r == 0)
                r = accept_list(p, SNP_FIELD_MEASUREMENT, "measurement", a->measurements, reterr);
        if (r == 0)
                r = accept_list(p, SNP_FIELD_REPORT_DATA, "report-data", a->report_data, reterr);
        if (r == 0)
                r = accept_list(p, SNP_FIELD_HOST_DATA, "host-data", a->host_data, reterr);
        if (r == 0)
                r = accept_references(a, p, refs, reterr);
        if (r == 0 && launch)
                r = accept_launch(p, launch, refs, reterr);
        if (r == 0 && a->bound_to)
                r = accept_bound(p, a->bound_to, reterr);
        if (r == 0 && a->vmpl)
                r = set_vmpl(p, a->vmpl, reterr);
        if (r < 0)
                return r;
        p->allow_debug = p->allow_debug || a->allow_debug;
        p->allow_migration_agent = p->allow_migration_agent || a->allow_migration_agent;
        if (a->any_measurement)
                snp_policy_accept_any_measurement_acknowledging_forgery(p);
        if (a->any_report_data)
                snp_policy_accept_any_report_data_acknowledging_replay(p);
        return snp_policy_decided(p, reterr);
}
