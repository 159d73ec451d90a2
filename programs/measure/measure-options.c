/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The options of cvmspawn measure, and which of them have a meaning together. */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "measure-cli.h"
#include "options.h"
#include "sev-cpu.h"
#include "strutil.h"

static int set_format(void *userdata, _unused_ const OptionRow *row, const char *value, char **reterr) {
        CliArguments *a = userdata;

        a->format = measure_format_from_string(value);
        return a->format < 0 ? error_set(reterr, -EINVAL, "expected %s, not '%s'",
                                               values_text(MEASURE_FORMAT_NAMES).text, value)
                             : 0;
}

#define AT(member) offsetof(CliArguments, member)

static const OptionRow rows[] = {
        { "mode", 0, OPTION_REQUIRED, "MODE", "What is measured",
                        "Measure for sev, seves, snp, snp:ovmf-hash (the firmware alone)\nor snp:svsm (COCONUT-SVSM before IGVM)",
                        "sev seves snp snp:ovmf-hash snp:svsm", option_set_string, AT(measure.mode), 0 },
        { "vcpus", 0, OPTION_REQUIRED, "N", NULL,
                        "Set the number of vCPUs at start; also ranges and lists:\n1-64,128", NULL,
                        option_set_string, AT(measure.vcpus), 0 },
        { "vcpu-type", 0, OPTION_REQUIRED, "MODEL", NULL, "Set the CPU model, named as in QEMU; also a list",
                        SEV_CPU_NAMES, option_set_string, AT(measure.vcpu_type), OPTION_COMMAS },
        { "vcpu-sig", 0, OPTION_REQUIRED, "NUMBER", NULL,
                        "Set the CPU signature (CPUID 1 EAX) instead of a model;\nfrom:REPORT takes it from an attestation report; also a list",
                        NULL, option_set_string, AT(measure.vcpu_sig), 0 },
        { "vcpu-family", 0, OPTION_REQUIRED, "NUMBER", NULL,
                        "Set the CPU family instead of a model, with the next two", NULL, option_set_string,
                        AT(measure.vcpu_family), 0 },
        { "vcpu-model", 0, OPTION_REQUIRED, "NUMBER", NULL, "Set the CPU model number", NULL,
                        option_set_string, AT(measure.vcpu_model), 0 },
        { "vcpu-stepping", 0, OPTION_REQUIRED, "NUMBER", NULL, "Set the CPU stepping", NULL,
                        option_set_string, AT(measure.vcpu_stepping), 0 },
        { "vmm-type", 0, OPTION_REQUIRED, "VMM", NULL,
                        "Name the virtual machine monitor that launches the guest\n(default: QEMU)",
                        VMM_TYPE_NAMES, option_set_string, AT(measure.vmm_type), 0 },
        { "vmsa", 0, OPTION_REQUIRED, "PROFILE", NULL,
                        "Choose how that monitor, in that version, starts its vCPUs", VMM_PROFILE_NAMES,
                        option_set_string, AT(measure.vmsa), 0 },
        { "ovmf", 0, OPTION_REQUIRED, "FILE", NULL, "Use this firmware image; also a list: a.fd,b.fd",
                        "@file", option_set_string, AT(measure.ovmf), 0 },
        { "kernel", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Use this kernel, where its hash is measured (kernel-hashes=on)", "@file",
                        option_set_string, AT(measure.kernel), 0 },
        { "initrd", 0, OPTION_REQUIRED, "FILE", NULL, "Use this initrd, with --kernel", "@file",
                        option_set_string, AT(measure.initrd), 0 },
        { "append", 0, OPTION_REQUIRED, "WORDS", NULL, "Use exactly this kernel command line, with --kernel",
                        NULL, option_set_string, AT(measure.append), 0 },
        { "guest-features", 0, OPTION_REQUIRED, "NUMBER", NULL,
                        "Set SEV_FEATURES of the vCPUs, with SNP (default: 0x1)", NULL, option_set_string,
                        AT(measure.guest_features), 0 },
        { "es-features", 0, OPTION_REQUIRED, "NUMBER", NULL,
                        "Set the same with SEV-ES: 0x20 on Linux 6.6 and 6.7 hosts\n(default: 0)", NULL,
                        option_set_string, AT(measure.es_features), 0 },
        { "svsm", 0, OPTION_REQUIRED, "FILE", NULL, "Use this SVSM image, with snp:svsm", "@file",
                        option_set_string, AT(measure.svsm), 0 },
        { "vars-size", 0, OPTION_REQUIRED, "BYTES", NULL,
                        "Set the size of the variable store, with snp:svsm", NULL, option_set_string,
                        AT(measure.vars_size), 0 },
        { "vars-file", 0, OPTION_REQUIRED, "FILE", NULL, "Take that size from this variable store", "@file",
                        option_set_string, AT(measure.vars_file), 0 },
        { "igvm", 0, OPTION_REQUIRED, "FILE", NULL, "Measure this IGVM file instead of all of these",
                        "@file", option_set_string, AT(igvm), 0 },
        { "ignore-idblock", 0, OPTION_NONE, NULL, NULL,
                        "Accept an ID block in the file that expects another digest", NULL, option_set_true,
                        AT(ignore_id_block), 0 },
        { "from-qemu", 0, OPTION_REQUIRED, "PID|FILE", "From another launcher",
                        "Measure a running QEMU, or a file with its command line", "@file",
                        option_set_string, AT(from_qemu), 0 },
        { "from-libvirt", 0, OPTION_REQUIRED, "XML", NULL, "Measure a libvirt domain", "@file",
                        option_set_string, AT(from_libvirt), 0 },
        { "from-vmspawn", 0, OPTION_REQUIRED, "ARGS", NULL,
                        "Measure a command line of systemd-vmspawn, given as one text", NULL,
                        option_set_string, AT(from_vmspawn), 0 },
        { "assume-unmeasured", 0, OPTION_REQUIRED, "NAME", NULL,
                        "Accept an option, property or element of these that is not known\n"
                        "here, as one that changes no measured byte",
                        NULL, option_append, AT(assume_unmeasured), 0 },
        { "launch", 0, OPTION_REQUIRED, "N", NULL, "Take the Nth of several QEMU command lines in a file",
                        NULL, option_set_unsigned, AT(launch), 0 },
        { "verify-by-launch", 0, OPTION_NONE, NULL, NULL,
                        "Launch the same by a real QEMU on the simulated host (cvmspawn\n"
                        "sevsim) and compare both digests",
                        NULL, option_set_true, AT(verify_by_launch), 0 },
        { "qemu", 0, OPTION_REQUIRED, "PATH", NULL,
                        "Use this QEMU for --verify-by-launch (default:\nqemu-system-x86_64)", "@file",
                        option_set_string, AT(qemu), 0 },
        { "snp-ovmf-hash", 0, OPTION_REQUIRED, "HASH", "Hashes in place of files",
                        "Use this result of snp:ovmf-hash for the firmware", NULL, option_set_string,
                        AT(measure.ovmf_hash), 0 },
        { "ovmf-hash", 0, OPTION_REQUIRED, "HASH", NULL, "Use this result, as --snp-ovmf-hash does", NULL,
                        option_set_string, AT(measure.ovmf_hash), 0 },
        { "ovmf-metadata", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Read JSON instead of the firmware: hash, sections, reset address", "@file",
                        option_set_string, AT(measure.ovmf_metadata), 0 },
        { "kernel-hash", 0, OPTION_REQUIRED, "HASH", NULL, "Use this SHA-256 of the kernel", NULL,
                        option_set_string, AT(measure.kernel_hash), 0 },
        { "initrd-hash", 0, OPTION_REQUIRED, "HASH", NULL, "Use this SHA-256 of the initrd", NULL,
                        option_set_string, AT(measure.initrd_hash), 0 },
        { "cmdline-hash", 0, OPTION_REQUIRED, "HASH", NULL,
                        "Use this SHA-256 of the command line and one NUL", NULL, option_set_string,
                        AT(measure.cmdline_hash), 0 },
        { "tik", 0, OPTION_REQUIRED, "FILE", "Launch measurement of SEV and SEV-ES",
                        "Print HMAC and nonce as query-sev-launch-measure does, with\nthis integrity key (16 bytes, or base64)",
                        "@file", option_set_string, AT(hmac.tik), 0 },
        { "nonce", 0, OPTION_REQUIRED, "BASE64", NULL, "Use this nonce for the measurement", NULL,
                        option_set_string, AT(hmac.nonce), 0 },
        { "launch-measure", 0, OPTION_REQUIRED, "BASE64", NULL,
                        "Compare with this measurement and its nonce (status 3:\ndifferent)", NULL,
                        option_set_string, AT(hmac.launch_measure), 0 },
        { "policy", 0, OPTION_REQUIRED, "NUMBER", NULL, "Set the launch policy", NULL, option_set_string,
                        AT(hmac.policy), 0 },
        { "api-major", 0, OPTION_REQUIRED, "NUMBER", NULL,
                        "Set the API version of the firmware, as query-sev says", NULL, option_set_string,
                        AT(hmac.api_major), 0 },
        { "api-minor", 0, OPTION_REQUIRED, "NUMBER", NULL, "Set the API version of the firmware", NULL,
                        option_set_string, AT(hmac.api_minor), 0 },
        { "build-id", 0, OPTION_REQUIRED, "NUMBER", NULL, "Set the build of the firmware", NULL,
                        option_set_string, AT(hmac.build_id), 0 },
        { "launch-digest", 0, OPTION_REQUIRED, "HASH", NULL,
                        "Use this launch digest instead of computing one", NULL, option_set_string,
                        AT(hmac.launch_digest), 0 },
        { "output-format", 0, OPTION_REQUIRED, "FORMAT", "Output", "Print hex (default) or base64",
                        "hex base64", option_set_word, AT(output_format), 0 },
        { "json", 0, OPTION_OPTIONAL, "STYLE", NULL,
                        "Print digest, inputs, intermediate digests and parameters as\nJSON: pretty, short (canonical) or off (default: pretty on a\nterminal, otherwise short)",
                        "short pretty off", verb_set_json, AT(common), 0 },
        { "expect", 0, OPTION_REQUIRED, "DIGEST", NULL,
                        "Compare with this digest (status 3: different) and say which\none or two changes would give it",
                        NULL, option_set_string, AT(expect), 0 },
        { "batch", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Measure one launch per line: JSON with members named like the\noptions, and one line of JSON for each; - is standard input",
                        "@file", option_set_string, AT(batch), 0 },
        { "format", 0, OPTION_REQUIRED, "FORMAT", NULL,
                        "Write reference values for those who check them (default: text)",
                        MEASURE_FORMAT_NAMES, set_format, 0, 0 },
        { "name", 0, OPTION_REQUIRED, "NAME", NULL, "Set the name of the reference value in these formats",
                        NULL, option_set_string, AT(name), 0 },
        { "sign-key", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Sign them: a DSSE envelope, by an Ed25519 or P-384 key in PEM", "@file",
                        option_set_string, AT(sign_key), 0 },
        { "explain", 0, OPTION_NONE, NULL, NULL,
                        "Print one line per page: address, type, source, contents,\ndigest so far", NULL,
                        option_set_true, AT(explain), 0 },
        { "dump-vmsa", 0, OPTION_NONE, NULL, NULL, "Write the VMSA pages to vmsa0.bin, vmsa1.bin, ..., too",
                        NULL, option_set_true, AT(dump_vmsa), 0 },
        { "verbose", 'v', OPTION_NONE, NULL, NULL, "Say what the digest is", NULL, option_set_true,
                        AT(verbose), 0 },
        VERB_HELP_ROWS,
        { "plan-fd", 0, OPTION_REQUIRED, "FD", NULL, "Answer a launcher: read its plan from this descriptor",
                        NULL, option_set_string, AT(plan_fd), OPTION_HIDDEN },
};

/* What describes the guest, and how the result is shown. */
#define INPUTS                                                                                              \
        "vcpus vcpu-type vcpu-sig vcpu-family vcpu-model vcpu-stepping vmm-type "                           \
        "vmsa ovmf kernel initrd append guest-features es-features svsm "                                   \
        "vars-size vars-file snp-ovmf-hash ovmf-hash ovmf-metadata kernel-hash "                            \
        "initrd-hash cmdline-hash "
#define FORMATS "format sign-key name "
#define HMAC    "tik nonce launch-measure policy api-major api-minor build-id "

static const OptionRule rules[] = {
        { "batch", NULL,
                        "json output-format explain dump-vmsa verbose svsm vars-size vars-file igvm launch-digest verify-by-launch " FORMATS
                                        HMAC,
                        "--batch always prints lines of JSON" },
        { "launch-digest", NULL,
                        "igvm mode expect explain json dump-vmsa from-qemu from-libvirt " INPUTS FORMATS,
                        "--launch-digest replaces the computation from files" },
        { "igvm", NULL, "dump-vmsa verbose from-qemu from-libvirt " INPUTS FORMATS HMAC,
                        "everything is read from the IGVM file" },
        { "from-vmspawn", NULL,
                        "mode igvm from-qemu from-libvirt vcpus vcpu-type vcpu-sig vcpu-family vcpu-model vcpu-stepping vmm-type ovmf kernel initrd append guest-features svsm vars-size vars-file snp-ovmf-hash ovmf-hash ovmf-metadata kernel-hash initrd-hash cmdline-hash batch",
                        "that command line describes the guest" },
        { "from-qemu", NULL, "from-libvirt", NULL },
        { "assume-unmeasured", "from-qemu from-libvirt from-vmspawn", NULL,
                        "it applies to their options only" },
        { "launch verify-by-launch", "from-qemu from-libvirt from-vmspawn", NULL, NULL },
        { "qemu", "verify-by-launch", NULL, NULL },
        { "ignore-idblock", "igvm from-qemu from-libvirt", NULL, "only IGVM files have an ID block" },
        { "sign-key name", "format", NULL, "it applies to reference values only" },
        { "nonce launch-measure policy api-major api-minor build-id", "tik", NULL,
                        "it is an input of the keyed measurement" },
        { "nonce", NULL, "launch-measure", "a measurement contains its nonce" },
        { "format", NULL, "json output-format expect explain verbose tik",
                        "it decides how the result is written" },
        { "expect", NULL, "output-format explain verbose tik",
                        "the result is whether the digests are equal" },
        { "tik", NULL, "json output-format explain verbose",
                        "the result is the keyed measurement, in base64" },
        { "explain", NULL, "json output-format verbose", "it shows one line per page" },
        { "json", NULL, "output-format verbose", "JSON has the digest in hexadecimal" },
};

const OptionTable measure_options = {
        .program = "cvmspawn measure",
        .summary = "Compute and explain the launch digest of a guest.",
        .zone = "verifier",
        .epilog = "With --coco=sev, sev-es or sev-snp it takes the launch options of cvmspawn instead (see 'cvmspawn --help'), and\n"
                  "measures what that launch would pass to QEMU. These of the options above work with --coco:\n"
                  "  --expect --json --explain --dump-vmsa --vmsa --es-features --output-format --format --sign-key --name\n"
                  "\n"
                  "Examples:\n"
                  "  cvmspawn measure --mode snp --vcpus 2 --vcpu-type EPYC-v4 --ovmf OVMF.amdsev.fd --kernel vmlinuz --append quiet\n"
                  "  cvmspawn measure --coco=sev-snp --linux=vmlinuz --initrd=initrd --cpus=2 quiet\n",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
        .abbreviations = true, /* as sev-snp-measure */
};
