/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn measure: what the launch digest of a guest will be. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto-init.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "json.h"
#include "launch.h"
#include "log.h"
#include "measure-cli.h"
#include "measure-plan.h"
#include "measure-suspect.h"
#include "options.h"
#include "plan.h"
#include "strutil.h"

/* A plan names a handful of parts. */
#define PLAN_SIZE_MAX (1024u * 1024u)

static void arguments_done(CliArguments *a) {
        foreign_result_done(&a->foreign);
        options_free(&measure_options, a);
}

static int answer_plan(const char *number, char **reterr) {
        _cleanup_(launch_plan_done) LaunchPlan plan = {};
        _cleanup_js_ Json *j = NULL, *answer = NULL;
        _cleanup_free_ char *text = NULL, *line = NULL;
        unsigned fd;
        size_t size;
        int r;

        r = parse_unsigned(number, &fd);
        if (r < 0)
                return error_set(reterr, r, "--plan-fd: '%s' is not a descriptor number", number);
        r = fd_read_all((int) fd, PLAN_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_set(reterr, r, "cannot read the launch plan: %s", strerror(-r));
        r = js_parse(text, size, &j, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "launch plan");
        r = launch_plan_from_json(j, &plan, reterr);
        if (r < 0)
                return r;
        r = measure_plan(&plan, &answer, reterr);
        if (r < 0)
                return r;
        line = js_text(answer, JS_SHORT);
        if (!line)
                return -ENOMEM;
        return printf("%s\n", line) < 0 ? -EIO : 0;
}

/* The digest of the first row, or the one that was given, as LAUNCH_MEASURE signs it. */
static int measure_hmac(const CliArguments *a, const MeasureContext *context, char **reterr) {
        LaunchSpec spec;
        LaunchDigest d;
        int r;

        measure_context_spec(context, context->request->vcpus[0], context->request->cpus, &spec);
        r = measure_context_digest(context, &spec, NULL, NULL, &d, reterr);
        return r < 0 ? r : print_launch_measure(&a->hmac, &d, reterr);
}

static int measure_hmac_given(const CliArguments *a, char **reterr) {
        LaunchDigest d = { .algorithm = HASH_SHA256, .size = SHA256_SIZE };
        int r = bytes_from_text(a->hmac.launch_digest, d.bytes, SHA256_SIZE, reterr);

        if (r < 0)
                return error_prefix(reterr, r, "--launch-digest");
        if (!a->hmac.tik)
                return error_set(reterr, -EINVAL, "--launch-digest requires --tik");
        return print_launch_measure(&a->hmac, &d, reterr);
}

/* The drop-in dialect computes what sev-snp-measure computes, also where QEMU would not launch it: then it says so. */
static int warn_inputs(const MeasureRequest *q, const MeasureContext *c) {
        const PlanInput *inputs[_SUSPECT_INPUT_MAX] = {
                [SUSPECT_KERNEL] = &q->plan.kernel, [SUSPECT_INITRD] = &q->plan.initrd
        };

        for (int i = 0; i < _SUSPECT_INPUT_MAX; i++) {
                _cleanup_free_ char *sentence = NULL;
                int r;

                /* A TD's kernel is started by its firmware; print_registers() refuses what that could not start. */
                if (i == SUSPECT_KERNEL && launch_is_whole(q->plan.mode))
                        continue;
                r = suspect_input((SuspectInput) i, inputs[i], &sentence);
                if (r < 0)
                        return r;
                if (r > 0)
                        log_warning("%s", sentence);
        }
        if (c->firmware.info_error && !launch_is_whole(q->plan.mode))
                log_warning("--ovmf: %s", c->firmware.info_error);
        if (measure_mode_has_vcpus(q->mode) && q->vcpus[0] == 0)
                log_warning("--vcpus=0: QEMU does not launch a guest without vCPUs");
        return 0;
}

static int show(const CliArguments *a, const MeasureContext *context, char *const *argv, char **reterr) {
        int r;

        if (a->dump_vmsa) {
                r = dump_vmsas(context, reterr);
                if (r < 0)
                        return r;
        }
        if (a->sign_key && a->format == FORMAT_TEXT)
                return error_set(reterr, -EINVAL,
                                "--sign-key has no meaning with --format=text: text is not signed");
        if (registers_wanted(a))
                return print_registers(a, context, reterr);
        if (a->format != FORMAT_TEXT)
                return print_format(a, context, reterr);
        if (a->expect)
                return print_expectation(a, context, argv, reterr);
        return a->hmac.tik ? measure_hmac(a, context, reterr) : print_measurement(a, context, reterr);
}

static int answer(const CliArguments *a, MeasureRequest *request, char *const *argv, char **reterr) {
        _cleanup_(measure_context_done) MeasureContext context = {};
        unsigned work = a->common.json || a->format != FORMAT_TEXT ? MEASURE_FIRMWARE_SHA256 : 0;
        int r, k;

        request->family = a->family;
        r = measure_context_load(request, work, &context, reterr);
        if (r < 0)
                return r;
        r = check_foreign(a, &context, reterr);
        if (r >= 0)
                r = show(a, &context, argv, reterr);
        if (r < 0 || coco_requested(argv))
                return r;
        k = warn_inputs(request, &context);
        return k < 0 ? k : r;
}

/* The launcher's dialect: its options in `launcher`, ours in `a`. */
static int measure_launcher(CliArguments *a, char **launcher, char *const *argv, char **reterr) {
        _cleanup_(launch_inputs_done) LaunchInputs inputs = {};
        _cleanup_(measure_request_done) MeasureRequest request = {};
        int r = coco_request(launcher, a, &inputs, &request, reterr);

        return r < 0 ? r : answer(a, &request, argv, reterr);
}

static int measure_coco(char *const *argv, char **reterr) {
        _cleanup_strv_free_ char **own = NULL, **launcher = NULL, **words = NULL;
        _cleanup_(arguments_done) CliArguments a = {};
        int r;

        r = coco_split(argv, &own, &launcher);
        if (r >= 0)
                r = dialect_check(launcher, /* coco= */ true, reterr);
        if (r >= 0)
                r = verb_parse(&measure_options, (int) strv_length(own), own, &a, &a.common, &words, reterr);
        if (r != 0)
                return r < 0 ? r : 0;
        return measure_launcher(&a, launcher, argv, reterr);
}

static int measure_vmspawn(CliArguments *a, char *const *argv, char **reterr) {
        _cleanup_strv_free_ char **launcher = NULL;
        int r = vmspawn_launcher_options(
                        a->from_vmspawn, argv[0], a->assume_unmeasured, &launcher, &a->whole_kernel, reterr);

        return r < 0 ? r : measure_launcher(a, launcher, argv, reterr);
}

static int measure(CliArguments *a, char *const *argv, char **reterr) {
        _cleanup_strv_free_ char **ovmfs = NULL, **kernels = NULL;
        _cleanup_(measure_request_done) MeasureRequest request = {};
        int r;

        if (a->hmac.launch_digest)
                return measure_hmac_given(a, reterr);
        if (a->from_ccel && !a->measure.mode)
                return measure_log(a, reterr);
        if (a->from_vmspawn)
                return measure_vmspawn(a, argv, reterr);
        r = read_other_launcher(a, reterr);
        if (r < 0)
                return r;
        if (a->igvm && a->batch)
                return error_set(reterr, -EINVAL,
                                "--batch has no meaning here: that guest is described by an IGVM file");
        if (a->igvm)
                return measure_igvm(a, reterr);
        if (a->batch)
                return measure_batch(a, reterr);
        r = file_list("ovmf", a->measure.ovmf, &ovmfs, reterr);
        if (r >= 0)
                r = file_list("kernel", a->measure.kernel, &kernels, reterr);
        if (r >= 0 && (ovmfs || kernels))
                return measure_lists(a, ovmfs, kernels, reterr);
        if (r >= 0)
                r = measure_arguments_read(&a->measure, NULL, &request, reterr);
        if (r >= 0 && a->from_ccel && !launch_is_whole(request.plan.mode))
                r = error_set(reterr, -EINVAL,
                                "--from-ccel requires --mode=tdx: only a TD has such an event log");
        return r < 0 ? r : answer(a, &request, argv, reterr);
}

static int measure_run(_unused_ int argc, char **argv, char **reterr) {
        _cleanup_strv_free_ char **words = NULL, **expanded = NULL;
        _cleanup_(arguments_done) CliArguments a = {};
        int r = crypto_init_terse();

        if (r < 0)
                return r;
        if (coco_requested(argv))
                return measure_coco(argv, reterr);
        r = expand_abbreviations(argv, &expanded);
        if (r >= 0)
                r = dialect_check(expanded, /* coco= */ false, reterr);
        if (r >= 0)
                r = verb_parse(&measure_options, (int) strv_length(expanded), expanded, &a, &a.common,
                                &words, reterr);
        if (r != 0)
                return r < 0 ? r : 0;
        r = take_words(&a, words, reterr);
        if (r < 0)
                return r;
        return a.plan_fd ? answer_plan(a.plan_fd, reterr) : measure(&a, argv, reterr);
}

int main(int argc, char **argv) {
        return verb_main_dialect(measure_options.program, &measure_options, argc, argv, measure_run);
}
