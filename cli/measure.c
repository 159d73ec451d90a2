/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn measure: what the launch digest of a guest will be. */

#include <errno.h>
#include <stdio.h>

#include "crypto-init.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "json.h"
#include "launch.h"
#include "log.h"
#include "measure-cli.h"
#include "measure-plan.h"
#include "options.h"
#include "plan.h"
#include "strutil.h"

/* A plan names a handful of parts. */
#define PLAN_SIZE_MAX (1024u * 1024u)

static int set_output_format(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        if (!streq(value, "hex") && !streq(value, "base64"))
                return error_set(reterr, -EINVAL, "expected hex or base64, not '%s'", value);
        return option_set_string(userdata, row, value, reterr);
}

static int set_format(void *userdata, _unused_ const OptionRow *row, const char *value, char **reterr) {
        CliArguments *a = userdata;

        a->format = measure_format_from_string(value);
        return a->format < 0
                        ? error_set(reterr, -EINVAL, "expected text, json, rvps, in-toto or corim, not '%s'",
                                          value)
                        : 0;
}

static const OptionRow rows[] = {
        { .name = "mode",
                        .arg = OPTION_REQUIRED,
                        .metavar = "MODE",
                        .group = "What is measured",
                        .help = "sev, seves, snp, snp:ovmf-hash (the firmware alone) or\nsnp:svsm "
                                "(COCONUT-SVSM before IGVM)",
                        .values = "sev seves snp snp:ovmf-hash snp:svsm",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.mode) },
        { .name = "vcpus",
                        .arg = OPTION_REQUIRED,
                        .metavar = "N",
                        .help = "vCPUs at start; also ranges and lists: 1-64,128",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.vcpus) },
        { .name = "vcpu-type",
                        .arg = OPTION_REQUIRED,
                        .metavar = "MODEL",
                        .help = "CPU model as QEMU names it, or host; also a list",
                        .values = "EPYC-v4 EPYC-Rome EPYC-Milan EPYC-Genoa EPYC-Turin host",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.vcpu_type) },
        { .name = "vcpu-sig",
                        .arg = OPTION_REQUIRED,
                        .metavar = "NUMBER",
                        .help = "CPU signature (CPUID 1 EAX) in place of a model; from:REPORT\ntakes it "
                                "from an attestation report; also a list",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.vcpu_sig) },
        { .name = "vcpu-family",
                        .arg = OPTION_REQUIRED,
                        .metavar = "NUMBER",
                        .help = "CPU family in place of a model, with the next two",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.vcpu_family) },
        { .name = "vcpu-model",
                        .arg = OPTION_REQUIRED,
                        .metavar = "NUMBER",
                        .help = "CPU model number",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.vcpu_model) },
        { .name = "vcpu-stepping",
                        .arg = OPTION_REQUIRED,
                        .metavar = "NUMBER",
                        .help = "CPU stepping",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.vcpu_stepping) },
        { .name = "vmm-type",
                        .arg = OPTION_REQUIRED,
                        .metavar = "VMM",
                        .help = "QEMU (default), ec2, gce or krun",
                        .values = "QEMU ec2 gce krun",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.vmm_type) },
        { .name = "vmsa",
                        .arg = OPTION_REQUIRED,
                        .metavar = "FLAVOUR",
                        .help = "how that VMM sets up its vCPUs: qemu, qemu-pre-6.10, ec2,\nec2-2023, gce, "
                                "krun, svsm, svsm-pre-6.10",
                        .values = "qemu qemu-pre-6.10 ec2 ec2-2023 gce krun svsm svsm-pre-6.10",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.vmsa) },
        { .name = "ovmf",
                        .arg = OPTION_REQUIRED,
                        .metavar = "FILE",
                        .help = "the firmware image",
                        .values = "@file",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.ovmf) },
        { .name = "kernel",
                        .arg = OPTION_REQUIRED,
                        .metavar = "FILE",
                        .help = "the kernel, where its hash is measured (kernel-hashes=on)",
                        .values = "@file",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.kernel) },
        { .name = "initrd",
                        .arg = OPTION_REQUIRED,
                        .metavar = "FILE",
                        .help = "the initrd, with --kernel",
                        .values = "@file",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.initrd) },
        { .name = "append",
                        .arg = OPTION_REQUIRED,
                        .metavar = "WORDS",
                        .help = "the kernel command line, with --kernel; nothing is added",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.append) },
        { .name = "guest-features",
                        .arg = OPTION_REQUIRED,
                        .metavar = "NUMBER",
                        .help = "SEV_FEATURES of the vCPUs, with SNP (default 0x1)",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.guest_features) },
        { .name = "es-features",
                        .arg = OPTION_REQUIRED,
                        .metavar = "NUMBER",
                        .help = "the same with SEV-ES: 0x20 on Linux 6.6 and 6.7 hosts (default 0)",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.es_features) },
        { .name = "svsm",
                        .arg = OPTION_REQUIRED,
                        .metavar = "FILE",
                        .help = "the SVSM image, with snp:svsm",
                        .values = "@file",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.svsm) },
        { .name = "vars-size",
                        .arg = OPTION_REQUIRED,
                        .metavar = "BYTES",
                        .help = "size of the variable store, with snp:svsm",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.vars_size) },
        { .name = "vars-file",
                        .arg = OPTION_REQUIRED,
                        .metavar = "FILE",
                        .help = "the variable store, for its size",
                        .values = "@file",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.vars_file) },
        { .name = "igvm",
                        .arg = OPTION_REQUIRED,
                        .metavar = "FILE",
                        .help = "an IGVM file in place of all of these",
                        .values = "@file",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, igvm) },
        { .name = "ignore-idblock",
                        .arg = OPTION_NONE,
                        .help = "accepts an ID block in the file that expects another digest",
                        .handler = option_set_true,
                        .offset = offsetof(CliArguments, ignore_id_block) },
        { .name = "from-qemu",
                        .arg = OPTION_REQUIRED,
                        .metavar = "PID|FILE",
                        .group = "From another launcher",
                        .help = "a running QEMU, or a file with its command line",
                        .values = "@file",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, from_qemu) },
        { .name = "from-libvirt",
                        .arg = OPTION_REQUIRED,
                        .metavar = "XML",
                        .help = "a libvirt domain",
                        .values = "@file",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, from_libvirt) },
        { .name = "from-vmspawn",
                        .arg = OPTION_REQUIRED,
                        .metavar = "ARGS",
                        .help = "a command line of systemd-vmspawn, as one text",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, from_vmspawn) },
        { .name = "snp-ovmf-hash",
                        .arg = OPTION_REQUIRED,
                        .metavar = "HASH",
                        .group = "Hashes in place of files",
                        .help = "what snp:ovmf-hash gave for the firmware",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.ovmf_hash) },
        { .name = "ovmf-hash",
                        .arg = OPTION_REQUIRED,
                        .metavar = "HASH",
                        .help = "the same",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.ovmf_hash) },
        { .name = "ovmf-metadata",
                        .arg = OPTION_REQUIRED,
                        .metavar = "FILE",
                        .help = "JSON in place of the firmware: hash, sections, reset address",
                        .values = "@file",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.ovmf_metadata) },
        { .name = "kernel-hash",
                        .arg = OPTION_REQUIRED,
                        .metavar = "HASH",
                        .help = "SHA-256 of the kernel",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.kernel_hash) },
        { .name = "initrd-hash",
                        .arg = OPTION_REQUIRED,
                        .metavar = "HASH",
                        .help = "SHA-256 of the initrd",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.initrd_hash) },
        { .name = "cmdline-hash",
                        .arg = OPTION_REQUIRED,
                        .metavar = "HASH",
                        .help = "SHA-256 of the command line and one NUL",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, measure.cmdline_hash) },
        { .name = "tik",
                        .arg = OPTION_REQUIRED,
                        .metavar = "FILE",
                        .group = "Launch measurement of SEV and SEV-ES",
                        .help = "prints HMAC and nonce as query-sev-launch-measure does, with "
                                "this\nintegrity key (16 bytes, or base64)",
                        .values = "@file",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, hmac.tik) },
        { .name = "nonce",
                        .arg = OPTION_REQUIRED,
                        .metavar = "BASE64",
                        .help = "the nonce of the measurement",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, hmac.nonce) },
        { .name = "launch-measure",
                        .arg = OPTION_REQUIRED,
                        .metavar = "BASE64",
                        .help = "a measurement: takes its nonce and compares (status 3: different)",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, hmac.launch_measure) },
        { .name = "policy",
                        .arg = OPTION_REQUIRED,
                        .metavar = "NUMBER",
                        .help = "the launch policy",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, hmac.policy) },
        { .name = "api-major",
                        .arg = OPTION_REQUIRED,
                        .metavar = "NUMBER",
                        .help = "API version of the firmware, as query-sev says",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, hmac.api_major) },
        { .name = "api-minor",
                        .arg = OPTION_REQUIRED,
                        .metavar = "NUMBER",
                        .help = "API version of the firmware",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, hmac.api_minor) },
        { .name = "build-id",
                        .arg = OPTION_REQUIRED,
                        .metavar = "NUMBER",
                        .help = "build of the firmware",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, hmac.build_id) },
        { .name = "launch-digest",
                        .arg = OPTION_REQUIRED,
                        .metavar = "HASH",
                        .help = "a launch digest in place of computing one",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, hmac.launch_digest) },
        { .name = "output-format",
                        .arg = OPTION_REQUIRED,
                        .metavar = "FORMAT",
                        .group = "Output",
                        .help = "hex (default) or base64",
                        .values = "hex base64",
                        .handler = set_output_format,
                        .offset = offsetof(CliArguments, output_format) },
        { .name = "json",
                        .arg = OPTION_OPTIONAL,
                        .metavar = "STYLE",
                        .help = "digest, inputs, intermediate digests and parameters: short\n(canonical, "
                                "default), pretty or off",
                        .values = "short pretty off",
                        .handler = verb_set_json,
                        .offset = offsetof(CliArguments, common) },
        { .name = "expect",
                        .arg = OPTION_REQUIRED,
                        .metavar = "DIGEST",
                        .help = "compares (status 3: different) and says which one or two changes\nwould "
                                "give that digest",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, expect) },
        { .name = "batch",
                        .arg = OPTION_REQUIRED,
                        .metavar = "FILE",
                        .help = "one launch a line, as JSON with members named like the options,\nand one "
                                "line of JSON for each; - is standard input",
                        .values = "@file",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, batch) },
        { .name = "format",
                        .arg = OPTION_REQUIRED,
                        .metavar = "FORMAT",
                        .help = "text (default), json, rvps (Trustee), in-toto or corim",
                        .values = "text json rvps in-toto corim",
                        .handler = set_format },
        { .name = "name",
                        .arg = OPTION_REQUIRED,
                        .metavar = "NAME",
                        .help = "the name of the reference value in these formats",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, name) },
        { .name = "sign-key",
                        .arg = OPTION_REQUIRED,
                        .metavar = "FILE",
                        .help = "signs them: a DSSE envelope, by an Ed25519 or P-384 key in PEM",
                        .values = "@file",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, sign_key) },
        { .name = "explain",
                        .arg = OPTION_NONE,
                        .help = "a line a page: address, type, source, contents, digest so far",
                        .handler = option_set_true,
                        .offset = offsetof(CliArguments, explain) },
        { .name = "dump-vmsa",
                        .arg = OPTION_NONE,
                        .help = "also writes the VMSA pages to vmsa0.bin, vmsa1.bin, ...",
                        .handler = option_set_true,
                        .offset = offsetof(CliArguments, dump_vmsa) },
        { .name = "verbose",
                        .letter = 'v',
                        .arg = OPTION_NONE,
                        .help = "says what the digest is",
                        .handler = option_set_true,
                        .offset = offsetof(CliArguments, verbose) },
        VERB_HELP_ROWS(CliArguments, common),
        { .name = "plan-fd",
                        .arg = OPTION_REQUIRED,
                        .metavar = "FD",
                        .help = "answers a launcher: reads its plan from this descriptor",
                        .handler = option_set_string,
                        .offset = offsetof(CliArguments, plan_fd),
                        .flags = OPTION_HIDDEN },
};

static const OptionTable table = {
        .program = "cvmspawn measure",
        .summary = "Computes and explains the launch digest of a guest",
        .zone = "verifier",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .abbreviations = true, /* as sev-snp-measure */
};

static void arguments_done(CliArguments *a) {
        HmacArguments *h = &a->hmac;

        measure_arguments_done(&a->measure);
        free(h->tik);
        free(h->nonce);
        free(h->launch_measure);
        free(h->policy);
        free(h->api_major);
        free(h->api_minor);
        free(h->build_id);
        free(h->launch_digest);
        free(a->output_format);
        free(a->expect);
        free(a->batch);
        free(a->name);
        free(a->sign_key);
        free(a->igvm);
        free(a->from_qemu);
        free(a->from_libvirt);
        free(a->from_vmspawn);
        free(a->plan_fd);
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
                return error_set(reterr, r, "--plan-fd: '%s' is no descriptor number", number);
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
                return error_set(reterr, -EINVAL, "--launch-digest needs --tik beside it");
        return print_launch_measure(&a->hmac, &d, reterr);
}

static int answer(const CliArguments *a, const MeasureRequest *request, char *const *argv, char **reterr) {
        _cleanup_(measure_context_done) MeasureContext context = {};
        unsigned work = a->common.json || a->format != FORMAT_TEXT ? MEASURE_FIRMWARE_SHA256 : 0;
        int r;

        r = measure_context_load(request, work, &context, reterr);
        if (r < 0)
                return r;
        if (a->dump_vmsa) {
                r = dump_vmsas(&context, reterr);
                if (r < 0)
                        return r;
        }
        if (a->sign_key && a->format == FORMAT_TEXT)
                return error_set(reterr, -EINVAL,
                                "--sign-key signs a format: give --format=in-toto, json, rvps or corim");
        if (a->format != FORMAT_TEXT)
                return print_format(a, &context, reterr);
        if (a->expect)
                return print_expectation(a, &context, argv, reterr);
        return a->hmac.tik ? measure_hmac(a, &context, reterr) : print_measurement(a, &context, reterr);
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
                r = verb_parse(&table, (int) strv_length(own), own, &a, &a.common, &words, reterr);
        if (r != 0)
                return r < 0 ? r : 0;
        return measure_launcher(&a, launcher, argv, reterr);
}

static int measure_vmspawn(CliArguments *a, char *const *argv, char **reterr) {
        _cleanup_strv_free_ char **launcher = NULL;
        int r = vmspawn_launcher_options(a->from_vmspawn, argv[0], &launcher, reterr);

        return r < 0 ? r : measure_launcher(a, launcher, argv, reterr);
}

static int measure(CliArguments *a, char *const *argv, char **reterr) {
        _cleanup_(measure_request_done) MeasureRequest request = {};
        int r;

        if (a->hmac.launch_digest)
                return measure_hmac_given(a, reterr);
        if (a->from_vmspawn)
                return measure_vmspawn(a, argv, reterr);
        r = read_other_launcher(a, reterr);
        if (r < 0)
                return r;
        if (a->igvm)
                return measure_igvm(a, reterr);
        if (a->batch)
                return measure_batch(&a->measure, a->batch, reterr);
        r = measure_request_new(&a->measure, NULL, &request, reterr);
        return r < 0 ? r : answer(a, &request, argv, reterr);
}

static int run(_unused_ int argc, char **argv, char **reterr) {
        _cleanup_strv_free_ char **words = NULL, **expanded = NULL;
        _cleanup_(arguments_done) CliArguments a = {};
        int r;

        if (coco_requested(argv))
                return measure_coco(argv, reterr);
        r = expand_abbreviations(argv, &expanded);
        if (r >= 0)
                r = verb_parse(&table, (int) strv_length(expanded), expanded, &a, &a.common, &words, reterr);
        if (r != 0)
                return r < 0 ? r : 0;
        if (strv_length(words) > 0)
                return error_set(reterr, -EINVAL, "unexpected argument '%s'", words[0]);
        return a.plan_fd ? answer_plan(a.plan_fd, reterr) : measure(&a, argv, reterr);
}

int main(int argc, char **argv) {
        crypto_init_terse();
        return verb_main(&table, argc, argv, run);
}
