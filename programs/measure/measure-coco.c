/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn measure --coco=...: the launcher's own options, its own way to make a plan of them, and so exactly the bytes that this
 * launch hands to QEMU. Files are read where they are. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "error.h"
#include "extract-config.h"
#include "foreign-check.h"
#include "launch.h"
#include "log.h"
#include "measure-cli.h"
#include "options.h"
#include "resolve.h"
#include "strutil.h"

/* Options of this program that the launcher does not have, or has in another form. */
static const struct {
        const char *name;
        enum { FLAG, REQUIRED, OPTIONAL } value;
} own_options[] = {
        { "--explain", FLAG },
        { "--expect", REQUIRED },
        { "--dump-vmsa", FLAG },
        { "--vmsa", REQUIRED },
        { "--output-format", REQUIRED },
        { "--es-features", REQUIRED },
        { "--vcpu-sig", REQUIRED },
        { "--json", OPTIONAL },
        { "--family", FLAG },
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

/* The signature of a CPU that is not this machine's: --cpu=host. */
static int take_signature(const CliArguments *a, LaunchPlan *plan, char **reterr) {
        if (a->measure.vcpu_sig && parse_unsigned(a->measure.vcpu_sig, &plan->sev.cpu_signature) < 0)
                return error_set(reterr, -EINVAL, "--vcpu-sig: expected a 32 bit number, not '%s'",
                                a->measure.vcpu_sig);
        return 0;
}

static bool has_option(const OptionTable *t, const char *name, size_t n) {
        FOREACH_ARRAY(row, t->rows, t->n_rows)
                if (strncmp(row->name, name, n) == 0 && !row->name[n])
                        return true;
        return false;
}

/* An option of the other dialect is named as such, instead of being unknown. */
int dialect_check(char *const *argv, bool coco, char **reterr) {
        const OptionTable *here = coco ? &config_option_table : &measure_options;
        const OptionTable *there = coco ? &measure_options : &config_option_table;

        for (size_t i = 1; argv[i] && !streq(argv[i], "--"); i++) {
                const char *name = startswith(argv[i], "--");
                size_t n = name ? strcspn(name, "=") : 0;

                if (n == 0 || has_option(here, name, n) || !has_option(there, name, n))
                        continue;
                if (coco)
                        return error_set(reterr, -EINVAL,
                                        "--%.*s is an option of --mode=... (as in sev-snp-measure), not of --coco=...; see 'cvmspawn measure --help'",
                                        (int) n, name);
                return error_set(reterr, -EINVAL,
                                "--%.*s is a launch option of --coco=..., not of --mode=...; see 'cvmspawn --help'",
                                (int) n, name);
        }
        return 0;
}

/* What QEMU refuses of a launch by systemd-vmspawn: it passes unified kernel images on as they are. */
static int check_vmspawn(const VmConfig *config, const LaunchInputs *inputs, char **reterr) {
        const LaunchPlan *plan = &inputs->plan;
        const ForeignFiles files = {
                .kernel = config->linux_path,
                .initrd = plan->initrd.present ? "initrd" : NULL,
                .has_initrd_size = true,
                .initrd_size = plan_input_size(&plan->initrd),
                .below_4g = foreign_below_4g("q35", config->ram, 0),
                .hashes = true,
                .snp = true,
        };
        _cleanup_free_ char *notice = NULL;
        int r = foreign_check_files(&files, &notice, reterr);

        return r < 0 ? error_prefix(reterr, r, "--from-vmspawn") : 0;
}

/* Registers beside the launch digest: the launcher's options are this program's, too. */
static int take_registers(const VmConfig *config, CliArguments *a, char **reterr) {
        MeasureArguments *m = &a->measure;

        if (!config->edk2) {
                if (coco_of(config->coco)->event_log)
                        log_notice("MRTD covers the firmware only; to predict RTMR1 and RTMR2 of a direct boot, add --edk2=, and for RTMR0 --fw-cfg=, too");
                return 0;
        }
        if (vm_config_reads_tables(config))
                return error_set(reterr, -EINVAL,
                                "--fw-cfg=auto reads QEMU's tables, which only a launch does: use 'cvmspawn --coco=tdx ... --print=digest', or pass a folder with them");
        m->edk2 = strdup(config->edk2);
        m->fw_cfg = config->fw_cfg ? strdup(config->fw_cfg) : NULL;
        m->bios = config->bios ? strdup(config->bios) : NULL;
        if (!m->edk2 || !m->fw_cfg != !config->fw_cfg || !m->bios != !config->bios)
                return -ENOMEM;
        if (asprintf(&m->memory, "%llu", (unsigned long long) config->ram) < 0) {
                m->memory = NULL;
                return -ENOMEM;
        }
        return 0;
}

int coco_request(
                char **launcher, CliArguments *a, LaunchInputs *inputs, MeasureRequest *ret, char **reterr) {
        _cleanup_(vm_config_done) VmConfig config = {};
        _cleanup_(extract_child_done) ExtractChild image = EXTRACT_CHILD_NONE;
        _cleanup_strv_free_ char **notices = NULL;
        _cleanup_free_ char *refusal = NULL;
        ResolveOptions options = {
                .for_launch = false, .transport = TRANSPORT_AUTO, .whole_kernel = a->whole_kernel
        };
        VmmProfile profile = _VMM_PROFILE_INVALID;
        uint64_t es_features = 0;
        int r;

        vm_config_init(&config);
        r = vm_config_parse(&config, (int) strv_length(launcher), launcher, reterr);
        if (r >= 0)
                r = extract_into_config(&config, &image, &notices, reterr);
        STRV_FOREACH(s, notices)
                log_notice("%s", *s);
        if (r < 0)
                return r;
        /* What a launch refuses is still measured: the sentence is the same. */
        if (vm_config_check(&config, &refusal) < 0)
                log_warning("%s", refusal ?: "this launch would be refused");
        options.transport = config.credential_transport;
        r = resolve_launch(&config, &options, inputs, reterr);
        if (r >= 0)
                r = resolve_fill(&config, inputs, /* stop= */ NULL, reterr);
        if (r >= 0 && !a->from_vmspawn)
                r = resolve_adapt(&config, &options, inputs, reterr);
        STRV_FOREACH(s, r < 0 ? NULL : inputs->notices)
                log_warning("%s", *s);
        if (r >= 0)
                r = 0;
        if (r >= 0 && a->from_vmspawn)
                r = check_vmspawn(&config, inputs, reterr);
        if (r >= 0)
                r = take_registers(&config, a, reterr);
        if (r >= 0)
                r = take_signature(a, &inputs->plan, reterr);
        if (r >= 0)
                r = measure_arguments_es_features(&a->measure, &es_features, reterr);
        if (r >= 0)
                r = measure_arguments_vmsa(
                                &a->measure, measure_mode_of_coco(inputs->plan.mode), &profile, reterr);
        return r < 0 ? r : measure_request_from_plan(&inputs->plan, profile, es_features, ret, reterr);
}
