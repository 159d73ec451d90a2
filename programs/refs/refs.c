/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn refs: reference bundles, from measuring to what relying parties import. */

#include "refs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "crypto-init.h"
#include "error.h"
#include "guest-policy.h"
#include "log.h"
#include "sev-cpu.h"
#include "strutil.h"

static int set_format(void *userdata, _unused_ const OptionRow *row, const char *value, char **reterr) {
        RefsArguments *a = userdata;

        a->format = refs_export_from_string(value);
        return a->format < 0 ? error_set(reterr, -EINVAL, "expected %s, not '%s'",
                                               values_text(REFS_EXPORT_NAMES).text, value)
                             : 0;
}

static int set_policy(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        RefsArguments *a = userdata;

        if (a->policy_given)
                return option_given_twice(reterr);
        a->policy_given = true;
        return option_set_u64(userdata, row, value, reterr);
}

static int set_sequence(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        RefsArguments *a = userdata;

        if (a->sequence_given)
                return option_given_twice(reterr);
        a->sequence_given = true;
        return option_set_u64(userdata, row, value, reterr);
}

/* A number from 1: zero is that the option was not given. */
static int set_count(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        unsigned *n = (unsigned *) ((char *) userdata + row->offset);

        return *n > 0 ? option_given_twice(reterr)
                      : option_set_number(userdata, row, value, 1, UINT32_MAX, reterr);
}

static int set_family(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        ((RefsArguments *) userdata)->family_given = true;
        return option_set_unsigned(userdata, row, value, reterr);
}

#define AT(member) offsetof(RefsArguments, member)

static const OptionRow rows[] = {
        { "name", 0, OPTION_REQUIRED, "NAME", "What a bundle says (build)", "Set the name of the bundle",
                        NULL, option_set_once, AT(name), 0 },
        { "sequence", 0, OPTION_REQUIRED, "N", NULL,
                        "Set the sequence number: relying parties refuse a smaller one\nthan they have seen (default: the time of issue)",
                        NULL, set_sequence, AT(sequence), 0 },
        { "issued", 0, OPTION_REQUIRED, "DATE", NULL,
                        "Set the time of issue: 2026-01-31, 2026-01-31T12:00:00Z or\n@SECONDS (default: now)",
                        NULL, option_set_once, AT(issued), 0 },
        { "valid", 0, OPTION_REQUIRED, "TIME", NULL,
                        "Let the bundle expire after this time: 90d, 12h (default:\nnever)", NULL,
                        option_set_days, AT(valid), 0 },
        { "guest-policy", 0, OPTION_REQUIRED, "NUMBER", NULL,
                        "Set the guest policy of the SNP launches (default: 0x30000)", NULL, set_policy,
                        AT(guest_policy), 0 },
        { "platform", 0, OPTION_REQUIRED, "WORDS", NULL, "Set what is expected of machines: smt=on,tsme=off",
                        NULL, option_set_once, AT(platform), 0 },
        { "tcb", 0, OPTION_REQUIRED, "GENERATION:PARTS", NULL,
                        "Set the least TCB version of a processor generation; repeatable:\nmilan:bootloader=4,tee=0,snp=24,microcode=219",
                        NULL, option_append, AT(tcb), 0 },
        { "family-vcpus", 0, OPTION_REQUIRED, "N", NULL,
                        "Let a family give the digests of up to N vCPUs and all CPU models\n(default: 512, 0: rows only)",
                        NULL, set_family, AT(family_vcpus), 0 },
        { "id-key", 0, OPTION_REQUIRED, "KEY", "ID blocks (build)",
                        "Sign an ID block for each SNP row with this private ID key\n(P-384): a file (PEM, DER) or a pkcs11: URI",
                        "@file", option_set_once, AT(id_key), 0 },
        { "author-key", 0, OPTION_REQUIRED, "KEY", NULL, "Sign the ID key with this private author key",
                        "@file", option_set_once, AT(author_key), 0 },
        { "passphrase-file", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Read the passphrase of encrypted keys from FILE (first line)", "@file",
                        option_set_once, AT(passphrase_file), 0 },
        { "svn", 0, OPTION_REQUIRED, "N", NULL, "Set the guest security version number (default: 0)", NULL,
                        option_set_unsigned, AT(svn), 0 },
        { "family-id", 0, OPTION_REQUIRED, "ID", NULL, "Set 16 bytes: 32 hex digits, or up to 16 characters",
                        NULL, option_set_once, AT(family_id), 0 },
        { "image-id", 0, OPTION_REQUIRED, "ID", NULL, "Set 16 bytes: 32 hex digits, or up to 16 characters",
                        NULL, option_set_once, AT(image_id), 0 },
        { "good", 0, OPTION_NONE, NULL, "Floors (learn)",
                        "Trust the machines of the reports: they are known to be good", NULL,
                        option_set_true, AT(good), 0 },
        { "lower", 0, OPTION_NONE, NULL, NULL,
                        "Let floors fall, and the expected platform change, where the\nreports say so", NULL,
                        option_set_true, AT(lower), 0 },
        { "key", 0, OPTION_REQUIRED, "FILE", "Signatures (sign)",
                        "Sign with this private key: Ed25519, P-256 or P-384 in PEM, or a\npkcs11: URI; repeatable",
                        "@file", option_append, AT(keys), 0 },
        { "detached", 0, OPTION_NONE, NULL, NULL, "Write the bytes that a key elsewhere must sign", NULL,
                        option_set_true, AT(detached), 0 },
        { "signature", 0, OPTION_REQUIRED, "FILE", NULL, "Add this signature, which was made elsewhere",
                        "@file", option_set_once, AT(signature), 0 },
        { "public-key", 0, OPTION_REQUIRED, "FILE", NULL, "Check that signature with this public key",
                        "@file", option_set_once, AT(public_key), 0 },
        { "signer", 0, OPTION_REQUIRED, "FILE",
                        "What is required of a bundle (verify, show, diff, learn, export)",
                        "Require a signature by this public key; repeatable", "@file", option_append,
                        AT(signers), 0 },
        { "threshold", 0, OPTION_REQUIRED, "N", NULL,
                        "Require signatures by N of these keys (default: all of them)", NULL, set_count,
                        AT(threshold), 0 },
        { "max-age", 0, OPTION_REQUIRED, "TIME", NULL,
                        "Require that the bundle was issued within this time: 30d, 12h", NULL,
                        option_set_days, AT(max_age), 0 },
        { "state", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Require at least the sequence number in FILE, and write the\naccepted one to it",
                        "@file", option_set_once, AT(state), 0 },
        { "previous", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Require at least the sequence number of this bundle", "@file", option_set_once,
                        AT(previous), 0 },
        { "time", 0, OPTION_REQUIRED, "DATE", NULL, "Judge the age as of this time (default: now)", NULL,
                        option_set_once, AT(time), 0 },
        { "insecure-no-signature", 0, OPTION_NONE, NULL, NULL, "Accept a bundle from anybody", NULL,
                        option_set_true, AT(no_signature), 0 },
        { "vcpus", 0, OPTION_REQUIRED, "N", "Output",
                        "Show the digests of N vCPUs, also where only the family has them", NULL, set_count,
                        AT(vcpus), 0 },
        { "vcpu-type", 0, OPTION_REQUIRED, "MODEL", NULL, "Show them for this CPU model (default: EPYC-v4)",
                        SEV_CPU_NAMES, option_set_string, AT(vcpu_type), 0 },
        { "html", 0, OPTION_NONE, NULL, NULL, "Show one self-contained HTML page", NULL, option_set_true,
                        AT(html), 0 },
        { "format", 0, OPTION_REQUIRED, "FORMAT", NULL, "Choose the format of export", REFS_EXPORT_NAMES,
                        set_format, 0, 0 },
        { "uri", 0, OPTION_REQUIRED, "PREFIX", NULL,
                        "Set the reference-value URI that rvps names begin with:\nrvps:///example.org/project",
                        NULL, option_set_string, AT(uri), 0 },
        { "tag", 0, OPTION_REQUIRED, "TAG", NULL, "Set the tag that follows them after a colon", NULL,
                        option_set_string, AT(tag), 0 },
        { "output", 'o', OPTION_REQUIRED, "FILE", NULL, "Write to this file (default: standard output)",
                        "@file", option_set_string, AT(output), 0 },
        VERB_ROWS(NULL),
};

static const OptionCommand commands[] = {
        { "build", "[FILE...] [-- MEASURE...]", "Build a bundle",
                        "name sequence issued valid guest-policy platform tcb family-vcpus id-key author-key"
                        " passphrase-file svn family-id image-id output" },
        { "learn", "BUNDLE REPORT... [-- VERIFY OPTIONS...]", "Set floors from reports of good machines",
                        "good lower sequence issued valid signer threshold output" },
        { "sign", "BUNDLE", "Sign a bundle, or add a signature",
                        "key detached signature public-key output" },
        { "verify", "BUNDLE", "Verify signatures, age and rows",
                        "signer threshold insecure-no-signature max-age state previous time json" },
        { "show", "BUNDLE", "Show what a bundle says", "signer threshold vcpus vcpu-type html json" },
        { "diff", "OLD NEW", "Compare two bundles: rows, inputs, floors", "signer threshold json" },
        { "export", "BUNDLE", "Write the bundle as others import it",
                        "signer threshold format uri tag output" },
};

static const OptionRule rules[] = {
        { "insecure-no-signature", NULL, "signer", "the keys of --signer are the opposite" },
        { "insecure-no-signature", NULL, "state",
                        "what nobody signed must not decide which bundles are too old" },
        { "threshold", "signer", NULL, "it counts the keys of --signer" },
        { "signature", "public-key", "key detached", NULL },
        { "public-key", "signature", NULL, NULL },
        { "detached", NULL, "key", "the key is elsewhere" },
        { "vcpu-type", "vcpus", NULL, NULL },
        { "html", NULL, "json vcpus", "it shows the whole bundle" },
        { "author-key passphrase-file svn family-id image-id", "id-key", NULL, NULL },
        { "uri tag", "format", NULL, "they name the values of --format=rvps" },
};

static const OptionTable table = {
        .program = "cvmspawn refs",
        .summary = "Build, sign, verify, compare and export reference bundles: what relying parties expect of launches.",
        .zone = "verifier",
        .epilog = "FILE is what 'cvmspawn measure --family --json' (or --batch) printed, a lock file or a bundle; MEASURE are\n"
                  "arguments of cvmspawn measure. Exit status: 0 ok, 1 usage or internal error, 2 not authentic, 3 too old,\n"
                  "expired, rows that contradict each other, or (diff) rows of OLD that are not in NEW. See cvmspawn-refs(1).\n",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .commands = commands,
        .n_commands = ELEMENTSOF(commands),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
};

/* --- commands -------------------------------------------------------------------------------------------------------- */

static int refs_export_verb(const RefsArguments *a, char **words, char **reterr) {
        RefsExportOptions options = { .uri = a->uri, .tag = a->tag };
        _cleanup_(refs_file_done) RefsFile f = {};
        _cleanup_free_ char *text = NULL, *why = NULL;
        size_t size;
        int r;

        if (a->format < 0)
                return error_set(reterr, -EINVAL, "export: --format= is required: %s",
                                values_text(REFS_EXPORT_NAMES).text);
        if ((a->uri || a->tag) && a->format != REFS_EXPORT_RVPS)
                return error_set(reterr, -EINVAL, "--uri and --tag name the values of --format=rvps only");
        r = refs_open(a, words[0], &f, reterr);
        if (r >= 0)
                r = refs_check_sound(&f.bundle, reterr);
        /* Not every importer reads the end of its validity, and some forms have none. */
        if (r >= 0 && refs_check_age(&f.bundle, time(NULL), 0, &why) < 0)
                log_warning("%s: %s", words[0], why ?: "not valid now");
        if (r >= 0)
                r = refs_export(&f.bundle, a->format, &options, &text, &size, reterr);
        return r < 0 ? refs_status(r, reterr) : refs_write(a, text, size, reterr);
}

static int refs_run(void *arguments, char **words, char **reterr) {
        static const struct {
                const char *name;
                int (*run)(const RefsArguments *a, char **words, char **reterr);
                size_t words; /* 0: any number */
        } verbs[] = {
                { "build", refs_build, 0 },
                { "learn", refs_learning, 0 },
                { "sign", refs_sign, 1 },
                { "verify", refs_verify, 1 },
                { "show", refs_show, 1 },
                { "diff", refs_compare, 2 },
                { "export", refs_export_verb, 1 },
        };
        int r = crypto_init_terse();

        if (r < 0)
                return r;
        FOREACH_ARRAY(v, verbs, ELEMENTSOF(verbs)) {
                if (!streq(words[0], v->name))
                        continue;
                if (v->words > 0 && strv_length(words) != v->words + 1)
                        return error_set(reterr, -EINVAL, "%s: expected %s, see --help", v->name,
                                        v->words == 1 ? "one bundle" : "two bundles");
                return v->run(arguments, words + 1, reterr);
        }
        return error_set(reterr, -EINVAL, "unknown command '%s'", words[0]);
}

static void refs_init(void *arguments) {
        RefsArguments *a = arguments;

        a->format = _REFS_EXPORT_INVALID;
        a->family_vcpus = REFS_FAMILY_MAX;
        a->guest_policy = SNP_POLICY_DEFAULT;
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(RefsArguments),
        .common = AT(common),
        .init = refs_init,
        .run = refs_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
