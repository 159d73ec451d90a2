/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn forecast: which launch digests change when the kernel, QEMU or firmware of a host do. */

#include <errno.h>
#include <string.h>

#include "crypto-init.h"
#include "error.h"
#include "forecast-print.h"
#include "input.h"
#include "log.h"
#include "refs-build.h"
#include "refs-file.h"
#include "strutil.h"

#define STATUS_CHANGES 3

#define AT(member) offsetof(ForecastArguments, member)

static const OptionRow rows[] = {
        { "against", 0, OPTION_REQUIRED, "FILE", "Forecast",
                        "Compare with this bundle of 'cvmspawn refs', lock file or output\nof 'cvmspawn measure --family --json'",
                        "@file", option_set_once, AT(against), 0 },
        { "upgrade", 0, OPTION_NONE, NULL, NULL,
                        "Predict for what apt would install: kernel, QEMU and firmware.\nNothing is installed",
                        NULL, option_set_true, AT(upgrade), 0 },
        { "kernel", 0, OPTION_REQUIRED, "RELEASE", NULL,
                        "Predict for this Linux, such as 6.12.43 (default: the running\none)", NULL,
                        option_set_once, AT(kernel), 0 },
        { "qemu", 0, OPTION_REQUIRED, "VERSION", NULL,
                        "Predict for this QEMU, such as 10.0.2 (default: the installed one)", NULL,
                        option_set_once, AT(qemu), 0 },
        { "firmware", 0, OPTION_REQUIRED, "FILE", NULL, "Predict for this firmware image", "@file",
                        option_set_once, AT(firmware), 0 },
        { "host-caps", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Take kernel and QEMU from what 'cvmspawn check-host --json'\nprinted on another host",
                        "@file", option_set_once, AT(host_caps), 0 },
        VERB_ROWS("Output"),
};

static const OptionRule rules[] = {
        { "kernel", NULL, "host-caps", "each names a kernel" },
        { "upgrade", NULL, "host-caps", "apt knows the packages of this host" },
        { "upgrade", NULL, "kernel", "each names a kernel" },
        { "upgrade", NULL, "qemu", "each names a QEMU" },
        { "upgrade", NULL, "firmware", "each names firmware" },
};

static const OptionTable table = {
        .program = "cvmspawn forecast",
        .summary = "Predict which launch digests change when a host's kernel, QEMU or firmware does.",
        .zone = "verifier",
        .epilog = "Exit status: 0 nothing changes, 1 usage or internal error, 3 something changes. See cvmspawn-forecast(1).\n",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
};

static int read_against(const char *path, RefsBundle *ret, char **reterr) {
        _cleanup_(refs_file_done) RefsFile f = {};
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        size_t size;
        int r = input_read("against", path, REFS_SIZE_MAX, &text, &size, reterr);

        if (r < 0)
                return r;
        if (refs_file_is(text, size)) {
                r = refs_file_open(text, size, NULL, &f, reterr);
                if (r >= 0)
                        *ret = TAKE_STRUCT(f.bundle, (RefsBundle) {});
        } else {
                r = refs_read_json(text, size, &j, reterr);
                if (r >= 0)
                        r = refs_build_add(ret, j, REFS_FAMILY_MAX, reterr);
        }
        return r < 0 ? error_prefix(reterr, r, "--against: %s", path) : 0;
}

/* Its digest depends on the firmware alone; its RTMR0 has QEMU's tables, and no facts about these are known. */
static void warn_of_tds(const RefsBundle *b) {
        size_t n = 0;

        FOREACH_ARRAY(l, b->launches, b->n_launches)
                n += coco_of(l->mode)->event_log;
        if (n > 0)
                log_warning("%zu launch%s of TDs: only a change of the firmware is foretold, none by QEMU or the kernel, which RTMR0 depends on",
                                n, n == 1 ? "" : "es");
}

/* What the forecast borrows stays in the world. */
static int predict(const RefsBundle *b, ForecastWorld *w, Forecast *ret) {
        ForecastHost host = { &w->kernel, w->qemu_name ? &w->qemu : NULL, NULL, w->n_images };

        w->firmware = calloc(MAX(w->n_images, (size_t) 1), sizeof(ForecastFirmware));
        if (!w->firmware)
                return -ENOMEM;
        for (size_t i = 0; i < w->n_images; i++)
                w->firmware[i] = (ForecastFirmware) { w->images[i].name, w->images[i].sha256,
                        &w->images[i].image };
        host.firmware = w->firmware;
        return forecast_make(b, &host, ret);
}

static int run(void *arguments, char **words, char **reterr) {
        const ForecastArguments *a = arguments;
        _cleanup_(refs_bundle_done) RefsBundle b = {};
        _cleanup_(forecast_world_done) ForecastWorld w = {};
        _cleanup_(forecast_done) Forecast f = {};
        int r = crypto_init_terse();

        if (r < 0)
                return r;
        if (words && words[0])
                return error_set(reterr, -EINVAL, "unexpected argument '%s'", words[0]);
        if (!a->against)
                return error_set(reterr, -EINVAL,
                                "--against= is required: the bundle or lock file whose digests are predicted");
        r = read_against(a->against, &b, reterr);
        if (r >= 0)
                r = forecast_world_find(a, &w, reterr);
        if (r >= 0 && a->upgrade)
                r = forecast_upgrade(&b, &w, reterr);
        if (r >= 0)
                warn_of_tds(&b);
        if (r >= 0)
                r = predict(&b, &w, &f);
        if (r >= 0)
                r = a->common.json ? forecast_print_json(&f, &w, a->common.style) : forecast_print(&f, &w);
        return r < 0 ? r : f.n > 0 ? STATUS_CHANGES : 0;
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(ForecastArguments),
        .common = AT(common),
        .run = run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
