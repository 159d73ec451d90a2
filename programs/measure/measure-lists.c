/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --ovmf=a.fd,b.fd and --kernel=a,b: one table over all combinations, each file read once. */

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "error.h"
#include "json.h"
#include "log.h"
#include "measure-cache.h"
#include "measure-cli.h"
#include "measure-suspect.h"
#include "strutil.h"

int file_list(const char *option, const char *text, char ***ret, char **reterr) {
        _cleanup_strv_free_ char **names = NULL;
        int r;

        *ret = NULL;
        if (!text || !strchr(text, ',') || access(text, F_OK) == 0)
                return 0;
        r = strv_split(text, ',', &names);
        if (r < 0)
                return r;
        STRV_FOREACH(name, names)
                if (!**name)
                        return error_set(reterr, -EINVAL,
                                        "--%s: an empty name in the list '%s', and no file is named like that",
                                        option, text);
        *ret = TAKE_PTR(names);
        return 0;
}

typedef struct Lists {
        const CliArguments *arguments;
        MeasureCache *cache; /* owned */
        RequestFiles files;
        Json *reports; /* owned, with --json */
} Lists;

static void lists_done(Lists *l) {
        l->cache = measure_cache_free(l->cache);
        request_files_done(&l->files);
        js_unref(l->reports);
}

/* What is printed of one launch has no place in a table. */
static int check_options(const CliArguments *a, char **reterr) {
        const struct {
                const char *option;
                bool given;
        } single[] = {
                { "expect", a->expect },
                { "format", a->format != FORMAT_TEXT },
                { "explain", a->explain },
                { "dump-vmsa", a->dump_vmsa },
                { "tik", a->hmac.tik },
                { "verbose", a->verbose },
                { "verify-by-launch", a->verify_by_launch },
        };

        FOREACH_ARRAY(s, single, ELEMENTSOF(single))
                if (s->given)
                        return error_set(reterr, -EINVAL,
                                        "--%s has no meaning together with a list of files: it applies to one launch",
                                        s->option);
        return 0;
}

static int warn_suspects(const MeasureRequest *q, const MeasureArguments *m) {
        _cleanup_free_ char *sentence = NULL;
        int r = suspect_input(SUSPECT_KERNEL, &q->plan.kernel, &sentence);

        if (r > 0)
                log_warning("--kernel=%s: %s", m->kernel, sentence);
        return r < 0 ? r : 0;
}

int load_context(MeasureCache *cache, const MeasureRequest *request, MeasureContext *ret, char **reterr) {
        return request->family ? measure_context_load(request, MEASURE_FIRMWARE_SHA256, ret, reterr)
                               : measure_context_load_cached(cache, request, ret, reterr);
}

/* With the names of one combination; those that are lists are shown. */
static int measure_one(Lists *l, const MeasureArguments *m, const char *shown, char **reterr) {
        _cleanup_(measure_context_done) MeasureContext context = {};
        _cleanup_(measure_request_done) MeasureRequest request = {};
        Json *report = NULL;
        int r = measure_arguments_read(m, &l->files, &request, reterr);

        request.family = l->arguments->family;
        if (r >= 0)
                r = warn_suspects(&request, m);
        if (r >= 0)
                r = load_context(l->cache, &request, &context, reterr);
        if (r >= 0)
                r = check_foreign(l->arguments, &context, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--ovmf=%s%s%s", m->ovmf ?: "", m->kernel ? " --kernel=" : "",
                                m->kernel ?: "");
        if (!l->reports)
                return print_table_rows(l->arguments, &context, shown, reterr);
        r = measurement_json(&context, &report, reterr);
        return r < 0 ? r : js_append(l->reports, report);
}

static int combine(Lists *l, MeasureArguments *m, char *const *ovmfs, char *const *kernels, char **reterr) {
        char *const one_ovmf[] = { m->ovmf, NULL }, *const one_kernel[] = { m->kernel, NULL };
        size_t n_ovmfs = ovmfs ? strv_length(ovmfs) : 1, n_kernels = kernels ? strv_length(kernels) : 1;

        for (size_t i = 0; i < n_ovmfs; i++)
                for (size_t k = 0; k < n_kernels; k++) {
                        _cleanup_free_ char *shown = NULL;
                        int r;

                        m->ovmf = (ovmfs ?: one_ovmf)[i];
                        m->kernel = (kernels ?: one_kernel)[k];
                        if (asprintf(&shown, "%s%s%s%s", ovmfs ? " " : "", ovmfs ? m->ovmf : "",
                                            kernels ? " " : "", kernels ? m->kernel : "") < 0)
                                return -ENOMEM;
                        r = measure_one(l, m, shown, reterr);
                        if (r < 0)
                                return r;
                }
        return 0;
}

int measure_lists(CliArguments *a, char *const *ovmfs, char *const *kernels, char **reterr) {
        _cleanup_(lists_done) Lists l = { .arguments = a, .files = REQUEST_FILES_NONE };
        MeasureArguments borrowed = a->measure;
        int r = check_options(a, reterr);

        if (r >= 0)
                r = measure_cache_new(&l.cache);
        if (r < 0)
                return r;
        if (a->common.json) {
                l.reports = js_array();
                if (!l.reports)
                        return -ENOMEM;
        } else {
                r = print_table_head(ovmfs && kernels ? " OVMF KERNEL" : ovmfs ? " OVMF" : " KERNEL");
                if (r < 0)
                        return r;
        }
        r = combine(&l, &borrowed, ovmfs, kernels, reterr);
        return r < 0 || !l.reports ? r : verb_print_json(l.reports, a->common.style);
}
