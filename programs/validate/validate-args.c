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

#define AT(member) offsetof(ValidateArgs, member)

static const OptionRow rows[] = {
        /* The original's order: ambiguous abbreviations list their candidates in it. */
        { "help", 'h', OPTION_NONE, NULL, "Options", "Show this help", NULL, option_set_true, AT(help), 0 },
        { "debug", 'd', OPTION_NONE, NULL, NULL, "Show hashes and measured data; keys are not shown", NULL,
                        option_set_true, AT(debug), 0 },
        { "quiet", 'q', OPTION_NONE, NULL, NULL, "Print neither OK nor ERROR", NULL, option_set_true,
                        AT(quiet), 0 },
        { "measurement", 'm', OPTION_REQUIRED, "BASE64", "Virtual machine launch state",
                        "Validate this measurement and nonce, which the host reports", NULL,
                        option_set_string, AT(measurement), 0 },
        { "api-major", 0, OPTION_REQUIRED, "NUMBER", NULL, "Set the SEV API major version of the host", NULL,
                        validate_set_int, AT(api_major), 0 },
        { "api-minor", 0, OPTION_REQUIRED, "NUMBER", NULL, "Set the SEV API minor version of the host", NULL,
                        validate_set_int, AT(api_minor), 0 },
        { "build-id", 0, OPTION_REQUIRED, "NUMBER", NULL, "Set the SEV build of the host", NULL,
                        validate_set_int, AT(build_id), 0 },
        { "policy", 0, OPTION_REQUIRED, "NUMBER", NULL, "Set the guest policy of the launch, decimal", NULL,
                        validate_set_int, AT(policy), 0 },
        { "firmware", 'f', OPTION_REQUIRED, "PATH", "Virtual machine config", "Use this firmware image",
                        "@file", option_set_string, AT(firmware), 0 },
        { "kernel", 'k', OPTION_REQUIRED, "PATH", NULL, "Use this kernel of a direct boot", "@file",
                        option_set_string, AT(kernel), 0 },
        { "initrd", 'r', OPTION_REQUIRED, "PATH", NULL, "Use this initrd of a direct boot", "@file",
                        option_set_string, AT(initrd), 0 },
        { "cmdline", 'e', OPTION_REQUIRED, "STRING", NULL, "Use this kernel command line of a direct boot",
                        NULL, option_set_string, AT(cmdline), 0 },
        { "num-cpus", 'n', OPTION_REQUIRED, "COUNT", NULL, "Set the number of virtual CPUs (SEV-ES)", NULL,
                        validate_set_int, AT(num_cpus), 0 },
        { "vmsa-cpu0", '0', OPTION_REQUIRED, "PATH", NULL, "Use this initial state of the boot CPU (SEV-ES)",
                        "@file", option_set_string, AT(vmsa_cpu0), 0 },
        { "vmsa-cpu1", '1', OPTION_REQUIRED, "PATH", NULL,
                        "Use this initial state of every other CPU (SEV-ES)", "@file", option_set_string,
                        AT(vmsa_cpu1), 0 },
        { "cpu-family", 0, OPTION_REQUIRED, "NUMBER", NULL, "Build the initial states for this CPU family",
                        NULL, validate_set_int, AT(cpu_family), 0 },
        { "cpu-model", 0, OPTION_REQUIRED, "NUMBER", NULL, "Set the CPU model for it", NULL,
                        validate_set_int, AT(cpu_model), 0 },
        { "cpu-stepping", 0, OPTION_REQUIRED, "NUMBER", NULL, "Set the CPU stepping for it", NULL,
                        validate_set_int, AT(cpu_stepping), 0 },
        { "sev-vm-type", 0, OPTION_REQUIRED, "TYPE", NULL,
                        "Build the initial states as for this KVM VM type: legacy\n(KVM_SEV_ES_INIT, default) or new (KVM_SEV_INIT2)",
                        "legacy new", validate_set_vm_type, AT(new_vm_type), VALIDATE_OPTION_OURS },
        { "tik", 0, OPTION_REQUIRED, "PATH", NULL, "Use this transport integrity key, 16 bytes", "@file",
                        option_set_string, AT(tik), 0 },
        { "tek", 0, OPTION_REQUIRED, "PATH", NULL, "Use this transport encryption key, 16 bytes", "@file",
                        option_set_string, AT(tek), 0 },
        { "tk", 0, OPTION_REQUIRED, "PATH", NULL, "Use TEK and TIK from one file, 32 bytes", "@file",
                        option_set_string, AT(tk), 0 },
        { "session", 0, OPTION_REQUIRED, "PATH", NULL,
                        "Check first that keys and policy belong to this session\nblob", "@file",
                        option_set_string, AT(session), VALIDATE_OPTION_OURS },
        { "connect", 'c', OPTION_REQUIRED, "URI", "Libvirt guest connection",
                        "Connect to this libvirt (default: qemu:///system)", NULL, option_set_string,
                        AT(connect), 0 },
        { "domain", 'o', OPTION_REQUIRED, "ID|NAME|UUID", NULL, "Ask this libvirt domain", NULL,
                        option_set_string, AT(domain), 0 },
        { "insecure", 'i', OPTION_NONE, NULL, NULL, "Continue although the result cannot be trusted", NULL,
                        option_set_true, AT(insecure), 0 },
        { "ignore-config", 'g', OPTION_NONE, NULL, NULL, "Skip the check of the domain's configuration",
                        NULL, option_set_true, AT(ignore_config), 0 },
        { "inject-secret", 's', OPTION_REQUIRED, "ALIAS-OR-GUID:PATH", "Secret injection parameters",
                        "Inject the secret in this file (repeatable); alias: luks-key", NULL, option_append,
                        AT(inject_secrets), 0 },
        { "secret-payload", 0, OPTION_REQUIRED, "PATH", NULL, "Write the packet's payload to this file",
                        "@file", option_set_string, AT(secret_payload), 0 },
        { "secret-header", 0, OPTION_REQUIRED, "PATH", NULL, "Write the packet's header to this file",
                        "@file", option_set_string, AT(secret_header), 0 },
        { "strict-compat", 0, OPTION_NONE, NULL, "Compatibility",
                        "Behave as virt-qemu-sev-validate 12.8 does\nwhere it is wrong, too", NULL,
                        option_set_true, AT(strict), VALIDATE_OPTION_OURS },
        { "no-search", 0, OPTION_NONE, NULL, NULL, "Skip the search for a launch that fits after a mismatch",
                        NULL, option_set_true, AT(no_search), VALIDATE_OPTION_OURS },
};

/* Of the options that the original does not have; its own have the original's checks (validate-usage.c). */
static const OptionRule rules[] = {
        { "sev-vm-type", "cpu-family cpu-model cpu-stepping domain", NULL,
                        "it is about initial states that are built here" },
        { "session", NULL, "strict-compat", "the original has no such check" },
        { "no-search", NULL, "strict-compat", "the original does not search" },
};

const OptionTable validate_table = {
        .program = "cvmspawn validate",
        .summary = "Validate the launch measurement of a SEV or SEV-ES guest and seal secrets for it.",
        .zone = "verifier",
        .epilog = "Exit status: 0 the guest can be trusted, 1 it cannot, 2 not possible this way, 3 not secure this\n"
                  "way, 4 and 5 the domain's configuration or state, 6 anything else.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
        .abbreviations = true,
};

void validate_args_done(ValidateArgs *a) {
        options_free(&validate_table, a);
        *a = (ValidateArgs) {};
}
