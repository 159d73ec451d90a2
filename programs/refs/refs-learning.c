/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* refs learn: floors from the reports of good machines. `report verify` judges them, as a child. */

#include <errno.h>
#include <string.h>

#include "date.h"
#include "error.h"
#include "input.h"
#include "log.h"
#include "measure-child.h"
#include "refs-learn.h"
#include "refs.h"

#define REPORT_MAX ((size_t) 1 << 20)

/* What `report verify` says of all reports, as a list. Its own messages say why a report could not be read. */
static int verify_reports(char *const *reports, size_t n, Json **ret, char **reterr) {
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL, *list = NULL;
        int r = strv_push(&words, "verify"), status;

        STRV_FOREACH(s, reports)
                if (r >= 0)
                        r = strv_push(&words, *s);
        if (r >= 0)
                r = strv_push(&words, "--json=short");
        if (r >= 0)
                r = strv_push(&words, "--insecure-any-measurement");
        if (r >= 0)
                r = strv_push(&words, "--insecure-any-report-data");
        if (r >= 0)
                r = verb_child("report", words, -EBADF, &text, &status, reterr);
        if (r < 0)
                return r;
        if (!text[0])
                return error_set(reterr, -EINVAL, "cvmspawn report verify gave no verdict (status %d)",
                                status);
        r = js_parse(text, strlen(text), &j, reterr);
        if (r < 0)
                return r;
        if (js_is_object(j)) {
                list = js_array();
                r = list ? js_append(list, TAKE_PTR(j)) : -ENOMEM;
        } else
                list = TAKE_PTR(j);
        if (r >= 0 && js_length(list) != n)
                r = error_set(reterr, -EINVAL, "cvmspawn report verify gave %zu verdicts for %zu reports",
                                js_length(list), n);
        if (r >= 0)
                *ret = TAKE_PTR(list);
        return r;
}

static int hash_report(const char *path, uint8_t ret[static SHA256_SIZE], char **reterr) {
        _cleanup_free_ char *data = NULL, *file = NULL;
        size_t size;
        int r = input_read(NULL, path, REPORT_MAX, &data, &size, NULL);

        /* A directory of the kernel's TSM tree has the report in a file. */
        if (r < 0 && asprintf(&file, "%s/outblob", path) < 0)
                return -ENOMEM;
        if (r < 0)
                r = input_read(NULL, file, REPORT_MAX, &data, &size, reterr);
        return r < 0 ? r : hash_digest(HASH_SHA256, data, size, ret);
}

static int reissue(const RefsArguments *a, RefsBundle *b, char **reterr) {
        int64_t issued;
        int r = parse_date(a->issued, &issued, reterr);

        if (r < 0)
                return error_prefix(reterr, r, "--issued");
        if (issued < 0)
                return error_set(reterr, -EINVAL, "--issued: expected a date after 1970");
        if ((a->sequence_given ? a->sequence : (uint64_t) issued) <= b->sequence)
                return error_set(reterr, -EINVAL,
                                "the bundle has sequence number %llu already; pass a greater one with --sequence=",
                                (unsigned long long) b->sequence);
        b->issued = (uint64_t) issued;
        b->sequence = a->sequence_given ? a->sequence : b->issued;
        if (a->valid > 0)
                b->expires = b->issued + a->valid / 1000000;
        if (b->expires > 0 && b->expires < b->issued)
                return error_set(reterr, -EINVAL, "the bundle has expired; pass --valid=");
        return 0;
}

static int learn(const RefsArguments *a, RefsBundle *b, char **reports, size_t n, char **reterr) {
        _cleanup_free_ RefsSeen *seen = calloc(n, sizeof(RefsSeen));
        _cleanup_(text_done) Text notes = {};
        _cleanup_strv_free_ char **lines = NULL;
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *results = NULL;
        int r = seen ? verify_reports(reports, n, &results, reterr) : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < n; i++) {
                seen[i].path = reports[i];
                seen[i].result = js_at(results, i);
                r = hash_report(reports[i], seen[i].sha256, reterr);
        }
        if (r >= 0)
                r = refs_learn(b, &(RefsLesson) { seen, n, b->issued, a->lower }, &notes, reterr);
        if (r >= 0)
                r = text_finish(&notes, &text);
        if (r >= 0)
                r = strv_split(text, '\n', &lines);
        STRV_FOREACH(line, r < 0 ? NULL : lines)
                if (**line)
                        log_notice("%s", *line);
        return r;
}

int refs_learning(const RefsArguments *a, char **words, char **reterr) {
        _cleanup_(refs_file_done) RefsFile f = {};
        _cleanup_free_ char *text = NULL;
        size_t n = 0;
        int r;

        if (!a->good)
                return error_set(reterr, -EINVAL,
                                "learn: --good is required: you say that the machines of these reports are good");
        while (words[0] && words[n + 1] && words[n + 1][0] != '-')
                n++;
        if (n == 0)
                return error_set(reterr, -EINVAL, "learn: expected a bundle and at least one report");
        r = refs_open(a, words[0], &f, reterr);
        if (r >= 0)
                r = refs_check_sound(&f.bundle, reterr);
        if (r >= 0)
                r = reissue(a, &f.bundle, reterr);
        if (r >= 0)
                r = learn(a, &f.bundle, words + 1, n, reterr);
        if (r == -ENODATA)
                return verb_failed(REFS_NO_VERDICT, r, reterr);
        if (r >= 0)
                r = refs_bundle_text(&f.bundle, &text);
        return r < 0 ? refs_status(r, reterr) : refs_write(a, text, strlen(text), reterr);
}
