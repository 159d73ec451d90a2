/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any number of reports, each judged by its technology's row. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto-init.h"
#include "error.h"
#include "report-ear.h"
#include "report-html.h"
#include "report-technology.h"
#include "strutil.h"

/* The last one takes what no other one recognises. */
static const ReportTechnology *const technologies[] = {
        &report_technology_tdx,
        &report_technology_snp,
};

void report_answer_done(ReportAnswer *a) {
        js_unref(a->json);
        free(a->text);
        *a = (ReportAnswer) {};
}

/* The worst status of several reports: one that could not be read, then a forgery, then no verdict, then a policy that is not met. */
static int worse(int a, int b) {
        static const int ranks[] = { 0, 4, 3, 1, 2 };

        return ranks[a] >= ranks[b] ? a : b;
}

typedef struct Run {
        const ReportArguments *arguments;
        char *const *launch;                    /* or NULL */
        void *shared[ELEMENTSOF(technologies)]; /* what start() gave; NULL: no report of it came yet */
        size_t n_reports;
        unsigned counts[_VERDICT_MAX], failed;
        Json *list; /* owned; with --json and several reports */
        ReportEar ear;
        bool is_ear;
        int status;
} Run;

static void run_done(Run *u) {
        for (size_t i = 0; i < ELEMENTSOF(technologies); i++)
                technologies[i]->end(u->shared[i]);
        (void) js_unref(u->list);
        report_ear_done(&u->ear);
}

static int put_answer(Run *u, const char *path, ReportAnswer *answer) {
        const VerbCommon *common = &u->arguments->common;
        int r = 0;

        if (u->is_ear)
                return 0;
        if (!common->json && !u->arguments->html) {
                if (u->n_reports > 1)
                        printf("%s:\n", path);
                return fputs(answer->text, stdout) < 0 ? -EIO : 0;
        }
        if (u->n_reports > 1 || u->arguments->html)
                r = js_set(answer->json, "file", js_string(path));
        if (r < 0)
                return r;
        return u->list ? js_append(u->list, TAKE_PTR(answer->json))
                       : verb_print_json(answer->json, common->style);
}

/* A report that cannot be read or judged does not keep the others from it. */
static int put_failure(Run *u, const char *path, int failure, char **reterr) {
        Json *j = NULL;
        int r = 0;

        if (u->n_reports == 1 || failure == -ENOMEM)
                return failure;
        if (u->list)
                r = js_build(&j, "{s:s, s:s, s:s}", "file", path, "verdict",
                                verdict_to_string(VERDICT_UNVERIFIED), "reason",
                                *reterr ?: strerror(-failure));
        if (r >= 0 && u->list)
                r = js_append(u->list, j);
        if (r >= 0 && u->is_ear)
                r = report_ear_add(&u->ear, path, &(SnpEarVector) {}, NULL);
        u->failed++;
        u->status = worse(u->status, 1);
        (void) verb_failed(1, failure, reterr);
        free(*reterr);
        *reterr = NULL;
        return r;
}

/* An option without a meaning for this evidence is an error, as everywhere. */
static int check_options(const Run *u, const ReportTechnology *t, char **reterr) {
        for (const ReportOption *o = t->foreign; o->name; o++) {
                const void *value;

                memcpy(&value, (const char *) u->arguments + o->offset, sizeof(value));
                if (value)
                        return error_set(
                                        reterr, -EINVAL, "--%s has no meaning for %s", o->name, t->evidence);
        }
        if (u->arguments->allow_host_credentials && !t->host_credentials)
                return error_set(reterr, -EINVAL, "--allow-host-credentials has no meaning for %s",
                                t->evidence);
        if (u->is_ear && !t->ear)
                return error_set(reterr, -EINVAL, "--format=ear is not supported for %s", t->evidence);
        if (u->arguments->html && !t->html)
                return error_set(reterr, -EINVAL, "--html is not supported for %s", t->evidence);
        return u->launch && t->launch ? error_set(reterr, -EINVAL, "%s", t->launch) : 0;
}

static size_t technology_of(const char *path) {
        size_t i = 0;

        while (technologies[i]->recognise && !technologies[i]->recognise(path))
                i++;
        return i;
}

static int verify_one(Run *u, const char *path, char **reterr) {
        _cleanup_(report_answer_done) ReportAnswer answer = {};
        size_t i = technology_of(path);
        const ReportTechnology *t = technologies[i];
        int r = t->recognise ? 0 : report_input_check(path, reterr);

        if (r < 0)
                return put_failure(u, path, r, reterr);
        if (!u->shared[i]) {
                r = check_options(u, t, reterr);
                if (r < 0)
                        (void) error_prefix(reterr, r, "'%s'", path);
                if (r == 0)
                        r = t->start(u->arguments, u->launch, &u->shared[i], reterr);
        }
        if (r < 0)
                return r;
        if (u->is_ear) {
                answer.ear = &u->ear;
                answer.name = u->n_reports > 1 ? path : t->ear;
                answer.evidence = u->n_reports == 1;
        }
        r = t->judge(u->shared[i], path, &answer, reterr);
        if (r < 0)
                return put_failure(u, path, r, reterr);
        u->counts[answer.verdict]++;
        u->status = worse(u->status, verdict_exit_status(answer.verdict));
        return put_answer(u, path, &answer);
}

static int finish(Run *u, char **reterr) {
        const char *between = " ";

        if (u->is_ear)
                return report_ear_print(u->arguments, &u->ear, reterr);
        if (u->arguments->html)
                return report_html_print(u->list);
        if (u->list)
                return verb_print_json(u->list, u->arguments->common.style);
        if (u->n_reports == 1 || u->arguments->common.json)
                return 0;
        printf("%zu reports:", u->n_reports);
        for (int v = 0; v < _VERDICT_MAX; v++)
                if (u->counts[v] > 0) {
                        printf("%s%u %s", between, u->counts[v], verdict_to_string((Verdict) v));
                        between = ", ";
                }
        if (u->failed > 0)
                printf("%s%u not readable", between, u->failed);
        return puts("") < 0 ? -EIO : 0;
}

/* Reports come first, then options of measure; "-" is standard input. */
static size_t count_reports(char *const *words) {
        size_t n = 0;

        while (words[n] && (words[n][0] != '-' || streq(words[n], "-")))
                n++;
        return n;
}

static int verify_all(Run *u, char **words, char **reterr) {
        int r = 0;

        if ((u->arguments->common.json && u->n_reports > 1) || u->arguments->html) {
                u->list = js_array();
                r = u->list ? 0 : -ENOMEM;
        }
        for (size_t i = 0; r >= 0 && i < u->n_reports; i++)
                r = verify_one(u, words[i], reterr);
        if (r >= 0)
                r = finish(u, reterr);
        return r < 0 ? r : u->status;
}

int report_verify(const ReportArguments *a, char **words, char **reterr) {
        _cleanup_(run_done) Run u = { .arguments = a };
        int r = crypto_init_terse();

        if (r < 0)
                return r;
        u.is_ear = a->format && streq(a->format, "ear");
        if (a->format && !u.is_ear && !streq(a->format, "words"))
                return error_set(reterr, -EINVAL, "verify: --format: expected words or ear, not '%s'",
                                a->format);
        if (a->sign_key && !u.is_ear)
                return error_set(reterr, -EINVAL, "--sign-key signs what --format=ear prints");
        u.n_reports = words[0] ? count_reports(words) : 0;
        if (u.n_reports == 0)
                return error_set(reterr, -EINVAL, "verify: expected at least one report, see --help");
        if (words[u.n_reports])
                u.launch = words + u.n_reports;
        return verify_all(&u, words, reterr);
}
