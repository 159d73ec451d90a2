/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What forecast says. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "encode.h"
#include "forecast-print.h"
#include "strutil.h"

static size_t rows_of(const RefsLaunch *l) {
        size_t n = 0;

        FOREACH_ARRAY(run, l->runs, l->n_runs)
                n += run->n;
        return n;
}

static bool is_refused(const ForecastChange *c) {
        return c->fact && c->fact->refused;
}

static const char *what_of(const ForecastChange *c) {
        if (c->fact)
                return c->fact->text;
        return refs_launch_sha256(c->launch, "firmware")
                        ? "another firmware image"
                        : "the bundle does not say which firmware image it was";
}

static int change_json(const ForecastChange *c, Json **ret) {
        const RefsLaunch *l = c->launch;
        _cleanup_free_ char *text = NULL;
        Json *then = c->known ? js_hex(c->then.bytes, c->then.size) : js_null();
        int r = refs_launch_text(l, &text);

        if (r < 0) {
                (void) js_unref(then);
                return r;
        }
        return js_build(ret, "{s:s, s:s, s:s, s:s, s:o, s:b, s:o, s:o}", "launch", text, "cause",
                        forecast_subject_to_string(c->subject), "what", what_of(c), "source",
                        c->fact ? c->fact->source : c->firmware->sha256, "rows", js_u64(rows_of(l)),
                        "refused", is_refused(c), "now", js_hex(l->runs->digests, l->digest_size), "then",
                        then);
}

static int list_changes(const Forecast *f, Json **ret) {
        _cleanup_js_ Json *list = js_array();
        int r = list ? 0 : -ENOMEM;

        FOREACH_ARRAY(c, f->changes, f->n) {
                Json *j = NULL;

                if (r >= 0)
                        r = change_json(c, &j);
                if (r >= 0)
                        r = js_append(list, j);
        }
        if (r >= 0)
                *ret = TAKE_PTR(list);
        return r;
}

/* Rows of launches that change because of this package. */
static size_t rows_by(const Forecast *f, const ForecastPackage *p) {
        const RefsLaunch *last = NULL;
        size_t n = 0;

        FOREACH_ARRAY(c, f->changes, f->n) {
                if (!forecast_package_changes(p) || c->subject != p->subject || c->launch == last)
                        continue;
                last = c->launch;
                n += rows_of(last);
        }
        return n;
}

static int list_packages(const Forecast *f, const ForecastWorld *w, Json **ret) {
        _cleanup_js_ Json *list = js_array();
        int r = list ? 0 : -ENOMEM;

        FOREACH_ARRAY(p, w->packages, w->n_packages) {
                Json *j = NULL;

                if (r >= 0)
                        r = js_build(&j, "{s:s, s:s?, s:s?, s:o}", "package", p->name, "installed",
                                        p->installed, "candidate", p->candidate, "rows",
                                        js_u64(rows_by(f, p)));
                if (r >= 0)
                        r = js_append(list, j);
        }
        if (r >= 0)
                *ret = TAKE_PTR(list);
        return r;
}

int forecast_print_json(const Forecast *f, const ForecastWorld *w, JsStyle style) {
        _cleanup_js_ Json *changes = NULL, *packages = NULL, *j = NULL;
        int r = list_changes(f, &changes);

        if (r >= 0 && w->n_packages > 0)
                r = list_packages(f, w, &packages);
        if (r >= 0)
                r = js_build(&j, "{s:s, s:s?, s:O, s:s?}", "kernel", w->kernel_name, "qemu", w->qemu_name,
                                "changes", changes, "firmware",
                                w->n_images > 0 ? w->images[0].sha256 : NULL);
        if (r >= 0 && packages)
                r = js_set(j, "packages", js_ref(packages));
        return r < 0 ? r : verb_print_json(j, style);
}

static int print_change(const ForecastChange *c) {
        const RefsLaunch *l = c->launch;
        _cleanup_free_ char *text = NULL, *now = NULL, *then = NULL;
        size_t n = rows_of(l);
        int r = refs_launch_text(l, &text);

        if (r < 0)
                return r;
        now = hex_encode(l->runs->digests, l->digest_size);
        then = c->known ? hex_encode(c->then.bytes, c->then.size) : NULL;
        if (!now || (c->known && !then))
                return -ENOMEM;
        printf("%-8s  %5zu row%s  %s\n", forecast_subject_to_string(c->subject), n, n == 1 ? " " : "s",
                        text);
        printf("                      %s\n", what_of(c));
        printf("                      first digest %.16s... -> ", now);
        printf(then ? "%.16s...\n" : "%s\n",
                        then
                                        ?: is_refused(c) ? "not started"
                                                         : "known when it is measured");
        return 0;
}

static void print_packages(const Forecast *f, const ForecastWorld *w) {
        printf("%-24s  %-32s  %-32s  %s\n", "PACKAGE", "INSTALLED", "CANDIDATE", "ROWS THAT CHANGE");
        FOREACH_ARRAY(p, w->packages, w->n_packages) {
                printf("%-24s  %-32s  %-32s  ", p->name, p->installed ?: "-", p->candidate ?: "-");
                if (!p->installed)
                        printf("not installed\n");
                else if (p->subject < 0 && forecast_package_changes(p))
                        printf("no known change\n");
                else
                        printf("%zu\n", rows_by(f, p));
        }
}

int forecast_print(const Forecast *f, const ForecastWorld *w) {
        FOREACH_ARRAY(c, f->changes, f->n) {
                int r = print_change(c);

                if (r < 0)
                        return r;
        }
        if (w->n_packages > 0)
                print_packages(f, w);
        printf("Linux %s", w->kernel_name);
        if (w->qemu_name)
                printf(", QEMU %s", w->qemu_name);
        FOREACH_ARRAY(x, w->images, w->n_images)
                printf(", firmware %s", x->name);
        printf(": %s\n", f->n > 0 ? "digests change" : "no known digest changes");
        return 0;
}
