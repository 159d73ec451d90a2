/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `cvmspawn session`: fresh keys for one launch of a SEV or SEV-ES guest, wrapped for one platform that was verified. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attest-session.h"
#include "coco.h"
#include "config.h"
#include "crypto-random.h"
#include "encode.h"
#include "error.h"
#include "guest-policy.h"
#include "libvirt-client.h"
#include "log.h"
#include "platform.h"
#include "secret.h"
#include "session-files.h"
#include "strutil.h"
#include "verb.h"

typedef struct Arguments {
        PlatformArgs platform;
        char **policy;
        char *coco, *name, *output, *connect;
        bool unverified, xml;
        VerbCommon common;
} Arguments;

#define AT(member) offsetof(Arguments, member)

static const OptionRow rows[] = {
        { "policy", 'p', OPTION_REQUIRED, "WORDS|NUMBER", "Session",
                        "Set the guest policy: a number, or words that change the mode's\ndefault: nodbg, debug, noks, keysharing, es, nosend, domain, sev",
                        COCO_SEV_POLICY_NAMES, option_append, AT(policy), OPTION_COMMAS },
        { "coco", 0, OPTION_REQUIRED, "MODE", NULL,
                        "Make a session for sev or sev-es (default; a number's bit 2\ndecides otherwise)",
                        "sev sev-es", option_set_word, AT(coco), 0 },
        { "name", 'n', OPTION_REQUIRED, "NAME", NULL,
                        "Set NAME of NAME_tik.bin, NAME_tek.bin, NAME_godh.b64,\nNAME_session.b64 (default: vm)",
                        NULL, option_set_string, AT(name), 0 },
        { "output", 'o', OPTION_REQUIRED, "DIR", NULL, "Write the files to this directory (default: .)",
                        "@dir", option_set_string, AT(output), 0 },
        { "connect", 'c', OPTION_REQUIRED, "URI", NULL,
                        "Ask the libvirt there for its platform, instead of a PDH-FILE", NULL,
                        option_set_string, AT(connect), 0 },
        { "xml", 0, OPTION_NONE, NULL, NULL, "Print <launchSecurity> for a libvirt domain instead of names",
                        NULL, option_set_true, AT(xml), 0 },
        VERB_ROWS(NULL),
        PLATFORM_ROWS(platform),
        { "insecure-unverified-platform", 0, OPTION_NONE, NULL, NULL, "Make a session for an unverified PDH",
                        NULL, option_set_true, AT(unverified), 0 },
};

static const OptionRule rules[] = {
        { "xml", NULL, "json", NULL },
        PLATFORM_UNVERIFIED_RULE,
};

static const OptionTable table = {
        .program = "cvmspawn session",
        .arguments = "PDH-FILE [FILE...] [POLICY]",
        .summary = "Make TIK, TEK, launch session and owner certificate for one launch on one verified platform.",
        .zone = "verifier",
        .epilog = "Exit status: 0 success, 1 usage error or failure, 2 the platform is not authentic, 3 another owner, 4 a certificate is missing.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
};

/* The option is called --policy here; the values and their error messages belong to launcher/config. */
static int rename_option(int r, char *sentence, char **reterr) {
        _cleanup_(text_done) Text t = {};
        const char *p = sentence ?: "", *q;

        while ((q = strstr(p, "--coco-policy"))) {
                text_put_n(&t, p, (size_t) (q - p));
                text_put(&t, "--policy");
                p = q + strlen("--coco-policy");
        }
        text_put(&t, p);
        return error_set(reterr, r, "%s", t.data ?: strerror(-r));
}

/* The number among the values, if there is one: its bit 2 says which mode is meant. */
static int find_number(char *const *policy, bool *ret_found, uint64_t *ret) {
        *ret_found = false;
        STRV_FOREACH(s, policy) {
                _cleanup_strv_free_ char **words = NULL;
                int r = strv_split(*s, ',', &words);

                if (r < 0)
                        return r;
                STRV_FOREACH(w, words)
                        *ret_found = parse_u64(*w, ret) >= 0 || *ret_found;
        }
        return 0;
}

static int resolve_policy(const Arguments *a, uint32_t *ret, char **reterr) {
        _cleanup_(vm_config_done) VmConfig c;
        _cleanup_free_ char *sentence = NULL;
        uint64_t number = 0, policy;
        bool found;
        int r;

        vm_config_init(&c);
        r = find_number(a->policy, &found, &number);
        if (r < 0)
                return r;
        if (a->coco)
                c.coco = coco_mode_from_string(a->coco);
        else
                c.coco = found ? coco_mode_from_object("sev-guest", number) : COCO_SEV_ES;
        r = strv_copy(a->policy, &c.coco_policy);
        if (r < 0)
                return r;
        r = vm_config_policy(&c, &policy, &sentence);
        if (r < 0)
                return rename_option(r, sentence, reterr);
        *ret = (uint32_t) policy;
        return 0;
}

static const char *folder(const Arguments *a) {
        return a->output ?: ".";
}

static const char *name(const Arguments *a) {
        return a->name ?: "vm";
}

static int add_session(const SevSession *session, uint32_t policy, const SevChainReport *report, Json *j) {
        if (js_set(j, "policy", js_u64(policy)) < 0 ||
                        js_set(j, "dh-cert", js_base64(session->godh, sizeof(session->godh))) < 0 ||
                        js_set(j, "session-blob", js_base64(session->blob, sizeof(session->blob))) < 0 ||
                        js_set(j, "platform", js_string(verdict_to_string(report->verdict))) < 0 ||
                        js_set(j, "root", js_string(report->generation)) < 0)
                return -ENOMEM;
        return 0;
}

static int print_xml(const SevSession *session, uint32_t policy) {
        _cleanup_free_ char *godh = base64_encode(session->godh, sizeof(session->godh));
        _cleanup_free_ char *blob = base64_encode(session->blob, sizeof(session->blob));

        if (!godh || !blob)
                return -ENOMEM;
        (void) printf("<launchSecurity type='sev'>\n  <policy>0x%04x</policy>\n"
                      "  <dhCert>%s</dhCert>\n  <session>%s</session>\n</launchSecurity>\n",
                        policy, godh, blob);
        return 0;
}

static int print_result(const Arguments *a, const SevSession *session, uint32_t policy,
                const SevChainReport *report) {
        static const char *const keys[_SESSION_FILE_MAX] = { "tik", "tek", "godh", "session" };
        bool json = a->common.json;
        _cleanup_js_ Json *j = js_object();

        if (a->xml)
                return print_xml(session, policy);
        for (SessionFile f = 0; f < _SESSION_FILE_MAX; f++) {
                _cleanup_free_ char *path = session_file_path(folder(a), name(a), f);

                if (!path || js_set(j, keys[f], js_string(path)) < 0)
                        return -ENOMEM;
                if (!json)
                        (void) printf("%s\n", path);
        }
        if (!json)
                return 0;
        if (add_session(session, policy, report, j) < 0)
                return -ENOMEM;
        return verb_print_json(j, a->common.style);
}

static int make(const Arguments *a, const SevChain *chain, uint32_t policy, const SevChainReport *report,
                char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf memory = {};
        SevSession *s;
        int r;

        r = secret_buf_alloc(&memory, sizeof(SevSession));
        if (r < 0)
                return r;
        s = (SevSession *) memory.data;
        r = sev_session_new(&chain->pdh, policy, crypto_random, NULL, s, reterr);
        if (r >= 0)
                r = session_files_write(folder(a), name(a), s, "choose another --name", reterr);
        return r < 0 ? r : print_result(a, s, policy, report);
}

/* As sevctl takes it: the last word may be the policy. */
static int take_policy_word(Arguments *a, char **words) {
        size_t n = strv_length(words);
        uint64_t number;
        int r;

        if (a->policy || n < (a->connect ? 1 : 2) || parse_u64(words[n - 1], &number) < 0)
                return 0;
        r = strv_push(&a->policy, words[n - 1]);
        if (r < 0)
                return r;
        free(words[n - 1]);
        words[n - 1] = NULL;
        return 0;
}

/* What the libvirt at --connect= says of its host. It is the host's word; the chain is verified as any other. */
static int ask_libvirt(Arguments *a, SevChain *chain, char **reterr) {
        _cleanup_(libvirt_platform_done) LibvirtPlatform p = {};
        LibvirtConnection *c = NULL;
        int r;

        r = libvirt_open(a->connect, &c, reterr);
        if (r >= 0)
                r = libvirt_platform(c, &p, reterr);
        libvirt_close(c);
        const struct {
                const char *name, *value;
        } facts[] = { { "pdh", p.pdh }, { "cert-chain", p.cert_chain }, { "cpu0-id", p.cpu0_id } };
        FOREACH_ARRAY(f, facts, ELEMENTSOF(facts))
                if (r >= 0 && f->value)
                        r = platform_add_fact(&a->platform, chain, &a->platform.cek_id, f->name, f->value,
                                        strlen(f->value), reterr);
        return r < 0 ? error_prefix(reterr, r, "--connect='%s'", a->connect) : 0;
}

static int load_platform(Arguments *a, char *const *words, SevChain *chain, char **reterr) {
        int r;

        if (strv_length(words) == 0 && !a->connect)
                return error_set(reterr, -EINVAL,
                                "expected the platform's PDH: a file with its certificates, or --connect=URI");
        r = platform_load_facts(&a->platform, words, chain, reterr);
        if (r >= 0 && a->connect)
                r = ask_libvirt(a, chain, reterr);
        if (r >= 0 && !chain->has_pdh)
                r = error_set(reterr, -EINVAL, "the certificates contain no PDH");
        return r;
}

static int work(Arguments *a, char **words, Verdict *ret, char **reterr) {
        _cleanup_(sev_chain_report_done) SevChainReport report = {};
        _cleanup_free_ SevChain *chain = calloc(1, sizeof(SevChain));
        uint32_t policy = 0;
        int r;

        if (!chain)
                return -ENOMEM;
        r = take_policy_word(a, words);
        if (r < 0)
                return r;
        r = resolve_policy(a, &policy, reterr);
        if (r >= 0)
                r = load_platform(a, words, chain, reterr);
        if (r < 0)
                return r;
        if (a->unverified)
                log_warning("the platform is not verified: anybody who made this PDH can read the session keys");
        else {
                r = platform_verify(&a->platform, chain, &report, reterr);
                if (r < 0)
                        return r;
                *ret = report.verdict;
                if (report.verdict != VERDICT_AUTHENTIC) {
                        const SevChainStep *s = sev_chain_report_problem(&report);

                        return error_set(reterr, -EKEYREJECTED, "the platform is not verified: %s, %s: %s",
                                        s ? s->subject : "chain", s ? s->check : "complete",
                                        s && s->detail ? s->detail : verdict_to_string(report.verdict));
                }
        }
        r = make(a, chain, policy, &report, reterr);
        *ret = r < 0 ? VERDICT_UNVERIFIED : VERDICT_AUTHENTIC;
        return r;
}

static int session_run(void *arguments, char **words, char **reterr) {
        Verdict verdict = VERDICT_UNVERIFIED;
        int r;

        secret_forbid_core();
        r = work(arguments, words, &verdict, reterr);
        return r < 0 && verdict != VERDICT_AUTHENTIC ? verb_failed(verdict_exit_status(verdict), r, reterr)
                                                     : r;
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(Arguments),
        .common = AT(common),
        .run = session_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
