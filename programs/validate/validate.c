/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The guest owner's check of a SEV or SEV-ES launch, on a machine that the owner trusts: see validate.h. */

#include "validate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "secret.h"
#include "stdout.h"
#include "strutil.h"

static void validate_done(Validate *v) {
        validate_args_done(&v->args);
        free(v->error);
        free(v->firmware);
        hash_free(v->firmware_state);
        secret_buf_done(&v->keys);
        free(v->session);
        secret_table_done(&v->secrets);
        validate_domain_free(v->domain);
}

static void say(const Validate *v, const char *text) {
        if (!v->args.quiet)
                (void) printf("%s\n", text);
}

static int load_inputs(Validate *v) {
        const ValidateArgs *a = &v->args;
        int r = 0;

        if (a->firmware)
                r = validate_load_firmware(v, a->firmware);
        if (r >= 0)
                r = validate_load_keys(v);
        if (r >= 0 && a->kernel)
                r = validate_hash_file(v, a->kernel, &v->kernel);
        if (r >= 0 && a->initrd)
                r = validate_hash_file(v, a->initrd, &v->initrd);
        if (r >= 0 && a->cmdline)
                r = validate_hash_words(v, a->cmdline);
        if (r >= 0 && a->vmsa_cpu0)
                r = validate_load_vmsa(v, 0, a->vmsa_cpu0);
        if (r >= 0 && a->vmsa_cpu1)
                r = validate_load_vmsa(v, 1, a->vmsa_cpu1);
        if (r >= 0 && a->domain)
                r = validate_load_domain(v);
        /* The original builds the pages for every policy, and so asks any firmware for a table. */
        if (r >= 0 && a->cpu_family.given && (a->strict || validate_is_es(v)))
                r = validate_build_vmsas(v, a->cpu_family.low, a->cpu_model.low, a->cpu_stepping.low);
        return r;
}

static int deliver_secrets(Validate *v) {
        if (v->domain)
                return validate_inject(v);
        return validate_write_secrets(v);
}

/* The original says OK before it has looked at the secrets. */
static int attest_strictly(Validate *v) {
        int r = validate_measure(v);

        if (r < 0)
                return r;
        say(v, "OK: Looks good to me");
        r = validate_load_secrets(v);
        if (r >= 0 && v->args.inject_secrets)
                r = validate_measure(
                                v); /* it computes, and shows, the measurement once more for the packet */
        if (r >= 0 && v->args.inject_secrets)
                r = deliver_secrets(v);
        return r;
}

static int attest(Validate *v) {
        int r;

        r = validate_check_session(v);
        if (r >= 0)
                r = validate_load_secrets(v);
        if (r >= 0)
                r = validate_measure(v);
        if (r >= 0 && v->args.inject_secrets)
                r = deliver_secrets(v);
        if (r >= 0)
                say(v, "OK: Looks good to me");
        return r;
}

static int validate_run(Validate *v) {
        char text[64];
        int r;

        r = validate_check_usage(v);
        if (r >= 0)
                r = load_inputs(v);
        if (r >= 0)
                r = v->args.strict ? attest_strictly(v) : attest(v);
        if (r >= 0 && v->args.inject_secrets) {
                (void) snprintf(text, sizeof(text), "OK: Injected %zu secrets",
                                strv_length(v->args.inject_secrets));
                say(v, text);
        }
        return r;
}

/* What users call us: the original's name, if we stand in for it. */
static const char *program_name(const char *argv0) {
        const char *slash = argv0 ? strrchr(argv0, '/') : NULL, *name = slash ? slash + 1 : argv0;

        return name && streq(name, "virt-qemu-sev-validate") ? name : validate_table.program;
}

static int say_error(const char *text) {
        (void) fprintf(stderr, "ERROR: %s\n", text);
        return VALIDATE_ERROR;
}

/* A failure has been explained already; a success whose output was lost has not. */
static int finish(int status) {
        _cleanup_free_ char *error = NULL;

        if (stdout_finish(0, &error) >= 0)
                return status;
        return status == VALIDATE_OK ? say_error(error ?: "out of memory") : VALIDATE_ERROR;
}

int main(int argc, char **argv) {
        _cleanup_(validate_done) Validate v = {};
        _cleanup_free_ char *error = NULL;
        int r;

        secret_forbid_core();
        r = stdout_open();
        if (r < 0)
                return say_error(strerror(-r));
        if (options_dump_requested(&validate_table, argc, argv))
                return finish(0);
        r = validate_args_parse(argc, argv, &v.args, &error);
        if (r < 0) {
                const char *name = program_name(argv[0]);

                (void) fprintf(stderr, "usage: %s [OPTIONS...]\n%s: error: %s\n", name, name,
                                error ?: strerror(-r));
                return VALIDATE_UNSUPPORTED;
        }
        if (v.args.help) {
                options_help(&validate_table, stdout);
                return finish(0);
        }

        r = validate_run(&v);
        if (r < 0 && v.status == VALIDATE_OK)
                v.status = VALIDATE_ERROR;
        if (r < 0 && !v.args.quiet) {
                (void) fflush(stdout);
                (void) fprintf(stderr, "ERROR: %s\n",
                                v.error ?: "out of memory, or the crypto library does not work");
        }
        if (v.status == VALIDATE_FAILED)
                validate_search(&v);
        return finish((int) v.status);
}
