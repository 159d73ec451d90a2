/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The command line. The original reads it with Python's argparse, whose dialect differs from getopt's: all arguments are
 * classified before any is used, abbreviations and clusters have their own rules, and integers are Python's. One option
 * table still makes help and completion. Options that the original does not know must be spelled out, so that its
 * abbreviations keep their meaning. */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "strutil.h"
#include "validate.h"

#define AT(member) .offset = offsetof(ValidateArgs, member)
#define FLAG(n, l, member, text)                                                                            \
        { .name = n, .letter = l, .arg = OPTION_NONE, .help = text, .handler = option_set_true, AT(member) }
#define TEXT(n, l, var, vals, member, text)                                                                 \
        {                                                                                                   \
                .name = n, .letter = l, .arg = OPTION_REQUIRED, .metavar = var, .values = vals,             \
                .help = text, .handler = option_set_string, AT(member)                                      \
        }
#define INT(n, l, var, member, text)                                                                        \
        {                                                                                                   \
                .name = n, .letter = l, .arg = OPTION_REQUIRED, .metavar = var, .help = text,               \
                .handler = validate_set_int, AT(member)                                                     \
        }

static const OptionRow rows[] = {
        /* The original's order: ambiguous abbreviations list their candidates in it. */
        { .name = "help",
                        .letter = 'h',
                        .arg = OPTION_NONE,
                        .group = "Options",
                        .help = "Print this text",
                        .handler = option_set_true,
                        AT(help) },
        FLAG("debug", 'd', debug, "Show hashes and measured data; keys are not shown"),
        FLAG("quiet", 'q', quiet, "Print neither OK nor ERROR"),
        { .name = "measurement",
                        .letter = 'm',
                        .arg = OPTION_REQUIRED,
                        .metavar = "BASE64",
                        .group = "Virtual machine launch state",
                        .help = "Measurement and nonce that the host reports",
                        .handler = option_set_string,
                        AT(measurement) },
        INT("api-major", 0, "NUMBER", api_major, "SEV API major version of the host"),
        INT("api-minor", 0, "NUMBER", api_minor, "SEV API minor version of the host"),
        INT("build-id", 0, "NUMBER", build_id, "SEV build of the host"),
        INT("policy", 0, "NUMBER", policy, "Guest policy of the launch, decimal"),
        { .name = "firmware",
                        .letter = 'f',
                        .arg = OPTION_REQUIRED,
                        .metavar = "PATH",
                        .group = "Virtual machine config",
                        .help = "Firmware image",
                        .values = "@file",
                        .handler = option_set_string,
                        AT(firmware) },
        TEXT("kernel", 'k', "PATH", "@file", kernel, "Kernel of a direct boot"),
        TEXT("initrd", 'r', "PATH", "@file", initrd, "Initrd of a direct boot"),
        TEXT("cmdline", 'e', "STRING", NULL, cmdline, "Kernel command line of a direct boot"),
        INT("num-cpus", 'n', "COUNT", num_cpus, "Number of virtual CPUs (SEV-ES)"),
        TEXT("vmsa-cpu0", '0', "PATH", "@file", vmsa_cpu0, "Initial state of the boot CPU (SEV-ES)"),
        TEXT("vmsa-cpu1", '1', "PATH", "@file", vmsa_cpu1, "Initial state of every other CPU (SEV-ES)"),
        INT("cpu-family", 0, "NUMBER", cpu_family, "Build the initial states for this CPU family"),
        INT("cpu-model", 0, "NUMBER", cpu_model, "CPU model for it"),
        INT("cpu-stepping", 0, "NUMBER", cpu_stepping, "CPU stepping for it"),
        { .name = "sev-vm-type",
                        .arg = OPTION_REQUIRED,
                        .metavar = "TYPE",
                        .values = "legacy new",
                        .help = "How QEMU made the guest, for built states: legacy\n(KVM_SEV_ES_INIT, "
                                "default) or new (KVM_SEV_INIT2)",
                        .handler = validate_set_vm_type,
                        AT(new_vm_type),
                        .flags = VALIDATE_OPTION_OURS },
        TEXT("tik", 0, "PATH", "@file", tik, "Transport integrity key, 16 bytes"),
        TEXT("tek", 0, "PATH", "@file", tek, "Transport encryption key, 16 bytes"),
        TEXT("tk", 0, "PATH", "@file", tk, "TEK and TIK in one file, 32 bytes"),
        { .name = "session",
                        .arg = OPTION_REQUIRED,
                        .metavar = "PATH",
                        .values = "@file",
                        .help = "Session blob: checks that keys and policy\nbelong to it before anything "
                                "else",
                        .handler = option_set_string,
                        AT(session),
                        .flags = VALIDATE_OPTION_OURS },
        { .name = "connect",
                        .letter = 'c',
                        .arg = OPTION_REQUIRED,
                        .metavar = "URI",
                        .group = "Libvirt guest connection",
                        .help = "Libvirt connection (qemu:///system)",
                        .handler = option_set_string,
                        AT(connect) },
        TEXT("domain", 'o', "ID|NAME|UUID", NULL, domain, "Libvirt domain to ask"),
        FLAG("insecure", 'i', insecure, "Go on although the result cannot be trusted"),
        FLAG("ignore-config", 'g', ignore_config, "Do not check the domain's configuration"),
        { .name = "inject-secret",
                        .letter = 's',
                        .arg = OPTION_REQUIRED,
                        .metavar = "ALIAS-OR-GUID:PATH",
                        .group = "Secret injection parameters",
                        .help = "File with a secret to inject (repeatable); alias: luks-key",
                        .handler = option_append,
                        AT(inject_secrets) },
        TEXT("secret-payload", 0, "PATH", "@file", secret_payload, "Where to write the packet's payload"),
        TEXT("secret-header", 0, "PATH", "@file", secret_header, "Where to write the packet's header"),
        { .name = "strict-compat",
                        .arg = OPTION_NONE,
                        .group = "Compatibility",
                        .help = "Behave as virt-qemu-sev-validate 12.8 does\nwhere it is wrong, too",
                        .handler = option_set_true,
                        AT(strict),
                        .flags = VALIDATE_OPTION_OURS },
        { .name = "no-search",
                        .arg = OPTION_NONE,
                        .help = "After a mismatch do not look for a launch that fits",
                        .handler = option_set_true,
                        AT(no_search),
                        .flags = VALIDATE_OPTION_OURS },
};

const OptionTable validate_table = {
        .program = "cvmspawn validate",
        .summary = "Validates the launch measurement of a SEV or SEV-ES guest and seals secrets for it.",
        .zone = "verifier",
        .epilog = "Exit status: 0 the guest can be trusted, 1 it cannot, 2 not possible this way, 3 not "
                  "secure this\n"
                  "way, 4 and 5 the domain's configuration or state, 6 anything else.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .abbreviations = true,
};

void validate_args_done(ValidateArgs *a) {
        char **const strings[] = { &a->measurement, &a->firmware, &a->kernel, &a->initrd, &a->cmdline,
                &a->vmsa_cpu0, &a->vmsa_cpu1, &a->tik, &a->tek, &a->tk, &a->connect, &a->domain,
                &a->secret_payload, &a->secret_header, &a->session };

        FOREACH_ARRAY(s, strings, ELEMENTSOF(strings))
                free(**s);
        strv_free(a->inject_secrets);
        *a = (ValidateArgs) {};
}
