/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn measure --coco=...: the launcher's own options, its own way to make a plan of them, and so exactly the bytes that this
 * launch hands to QEMU. Files are read where they are. */

#include <errno.h>
#include <string.h>

#include "config.h"
#include "error.h"
#include "launch.h"
#include "log.h"
#include "measure-cli.h"
#include "resolve.h"
#include "strutil.h"

/* Options of this program that the launcher does not have, or has in another form. */
static const struct {
        const char *name;
        enum { FLAG, REQUIRED, OPTIONAL } value;
} own_options[] = {
        { "--explain", FLAG },
        { "--dump-vmsa", FLAG },
        { "--vmsa", REQUIRED },
        { "--output-format", REQUIRED },
        { "--es-features", REQUIRED },
        { "--json", OPTIONAL },
        { "--format", REQUIRED },
        { "--sign-key", REQUIRED },
        { "--name", REQUIRED },
};

bool coco_requested(char *const *argv) {
        for (size_t i = 1; argv[i]; i++) {
                if (streq(argv[i], "--"))
                        return false;
                if (startswith(argv[i], "--coco"))
                        return true;
        }
        return false;
}

/* The length of an own option's name at the beginning of arg, or 0. */
static size_t own_option(const char *arg, bool *ret_value) {
        for (size_t i = 0; i < ELEMENTSOF(own_options); i++) {
                const char *rest = startswith(arg, own_options[i].name);

                if (rest && (*rest == 0 || (*rest == '=' && own_options[i].value != FLAG))) {
                        *ret_value = own_options[i].value == REQUIRED;
                        return strlen(own_options[i].name);
                }
        }
        return 0;
}

int coco_split(char *const *argv, char ***ret_own, char ***ret_launcher) {
        _cleanup_strv_free_ char **own = NULL, **launcher = NULL;
        bool ended = false;
        int r;

        r = strv_push(&own, argv[0]);
        if (r >= 0)
                r = strv_push(&launcher, argv[0]);
        for (size_t i = 1; r >= 0 && argv[i]; i++) {
                bool value = false;
                size_t n = ended ? 0 : own_option(argv[i], &value);

                ended = ended || streq(argv[i], "--");
                r = strv_push(n > 0 ? &own : &launcher, argv[i]);
                if (r >= 0 && value && argv[i][n] == 0 && argv[i + 1])
                        r = strv_push(&own, argv[++i]);
        }
        if (r < 0)
                return r;
        *ret_own = TAKE_PTR(own);
        *ret_launcher = TAKE_PTR(launcher);
        return 0;
}

static int take_outputs(const VmConfig *config, CliArguments *a) {
        if (config->expect) {
                a->expect = strdup(config->expect);
                if (!a->expect)
                        return -ENOMEM;
        }
        return 0;
}

int coco_request(
                char **launcher, CliArguments *a, LaunchInputs *inputs, MeasureRequest *ret, char **reterr) {
        _cleanup_(vm_config_done) VmConfig config = {};
        _cleanup_free_ char *refusal = NULL;
        ResolveOptions options = { .for_launch = false, .transport = TRANSPORT_AUTO };
        int r;

        vm_config_init(&config);
        r = vm_config_parse(&config, (int) strv_length(launcher), launcher, reterr);
        if (r < 0)
                return r;
        /* What a launch refuses is still measured: the sentence is the same. */
        if (vm_config_check(&config, &refusal) < 0)
                log_warning("%s", refusal ?: "this launch would be refused");
        options.transport = config.credential_transport;
        r = resolve_launch(&config, &options, inputs, reterr);
        STRV_FOREACH(s, r < 0 ? NULL : inputs->notices)
                log_warning("%s", *s);
        if (r >= 0)
                r = take_outputs(&config, a);
        if (r >= 0)
                r = measure_request_from_plan(
                                &inputs->plan, a->measure.vmsa, a->measure.es_features, ret, reterr);
        return r;
}
