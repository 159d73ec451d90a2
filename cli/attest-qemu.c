/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `cvmspawn attest-qemu`: see attest-qemu.h. */

#include "attest-qemu.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "log.h"
#include "session-files.h"
#include "strutil.h"

#define AT(member) offsetof(QemuArgs, member)

static int set_policy(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        QemuArgs *a = userdata;
        int r = option_set_u64(userdata, row, value, reterr);

        if (r >= 0 && a->policy > UINT32_MAX)
                r = error_set(reterr, -EINVAL, "a policy has 32 bits");
        a->policy_set = r >= 0;
        return r;
}

static const OptionRow rows[] = {
        { "qmp", 0, OPTION_REQUIRED, "SOCKET", "QEMU",
                        "the monitor's UNIX socket: -qmp unix:SOCKET,server,nowait", "@file",
                        option_set_string, AT(qmp), 0 },
        { "expect", 0, OPTION_REQUIRED, "DIGEST", NULL,
                        "with --owner-dir: the launch digest, from 'cvmspawn measure';\nrepeatable: any of "
                        "them",
                        NULL, option_append, AT(expect), 0 },
        { "on-refusal", 0, OPTION_REQUIRED, "WHAT", NULL, "quit (default) or keep QEMU paused", "quit keep",
                        option_set_string, AT(on_refusal), 0 },
        { "qemu", 0, OPTION_REQUIRED, "PATH", "Prepare",
                        "ask this QEMU for the platform, if no --qmp is given\n(qemu-system-x86_64)",
                        "@file", option_set_string, AT(qemu), 0 },
        { "coco", 0, OPTION_REQUIRED, "MODE", NULL, "sev or sev-es (default)", "sev sev-es",
                        option_set_string, AT(coco), 0 },
        { "policy", 'p', OPTION_REQUIRED, "NUMBER", NULL,
                        "the guest policy; else 0x3 or 0x7, or what the service says", NULL, set_policy,
                        AT(policy), 0 },
        { "session-dir", 0, OPTION_REQUIRED, "DIR", NULL,
                        "with --attestation-service: NAME_godh.b64, NAME_session.b64,\nNAME_launch-id",
                        "@dir", option_set_string, AT(session_dir), 0 },
        { "launch-id", 0, OPTION_REQUIRED, "ID", NULL, "with --attestation-service, without --session-dir",
                        NULL, option_set_string, AT(launch_id), 0 },
        DESK_ROWS,
        VERB_ROWS("Output", QemuArgs, common),
};

static const OptionTable table = {
        .program = "cvmspawn attest-qemu",
        .arguments = "[prepare]",
        .summary = "Has the owner of a SEV or SEV-ES guest check a QEMU that was started with -S, injects "
                   "the secrets "
                   "and lets it run.",
        .zone = "verifier",
        .epilog = "Exit status: 0 it runs (prepare: the session is there), 1 usage or failure, 2 not "
                  "authentic, 3 not "
                  "what the owner wants, 4 a certificate is missing or the service was not reached.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
};

static void arguments_done(QemuArgs *a) {
        desk_args_done(&a->desk);
        free(a->qmp);
        free(a->qemu);
        free(a->session_dir);
        free(a->launch_id);
        free(a->on_refusal);
        free(a->coco);
        strv_free(a->expect);
}

void qemu_result_done(QemuResult *r) {
        attestor_outcome_done(&r->outcome);
        free(r->launch_id);
}

static int check_usage(const QemuArgs *a, char *const *words, bool *ret_prepare, char **reterr) {
        bool prepare = strv_length(words) > 0;

        if (prepare && (strv_length(words) > 1 || !streq(words[0], "prepare")))
                return error_set(reterr, -EINVAL, "'%s': the only word is prepare", words[0]);
        if (!prepare && !a->qmp)
                return error_set(reterr, -EINVAL,
                                "--qmp=SOCKET is missing: the monitor of a QEMU started with -S");
        if (a->desk.owner_dir && !prepare && !a->expect)
                return error_set(reterr, -EINVAL,
                                "--expect=DIGEST is missing: what 'cvmspawn measure' computes of the files "
                                "that the "
                                "guest shall be made of");
        if (a->desk.service && a->expect)
                return error_set(reterr, -EINVAL,
                                "--expect goes with --owner-dir: a service has its own digests");
        if (a->desk.service && prepare && !a->session_dir)
                return error_set(reterr, -EINVAL,
                                "--session-dir=DIR is missing: where the session's files go");
        if (!a->desk.service && (a->session_dir || a->launch_id))
                return error_set(reterr, -EINVAL,
                                "--session-dir and --launch-id go with --attestation-service");
        if (a->coco && !streq(a->coco, "sev") && !streq(a->coco, "sev-es"))
                return error_set(reterr, -EINVAL, "--coco: expected sev or sev-es, not '%s'", a->coco);
        if (a->on_refusal && !streq(a->on_refusal, "quit") && !streq(a->on_refusal, "keep"))
                return error_set(reterr, -EINVAL, "--on-refusal: expected quit or keep, not '%s'",
                                a->on_refusal);
        *ret_prepare = prepare;
        return 0;
}

static void notice(_unused_ void *userdata, const char *sentence) {
        log_notice("%s", sentence);
}

static int add_files(const QemuArgs *a, Json *j) {
        const char *folder = a->desk.owner_dir ?: a->session_dir, *name = a->desk.name ?: "vm";
        _cleanup_free_ char *godh = session_file_path(folder, name, SESSION_FILE_GODH);
        _cleanup_free_ char *session = session_file_path(folder, name, SESSION_FILE_SESSION);

        if (!godh || !session || js_set(j, "dh-cert-file", js_string(godh)) < 0 ||
                        js_set(j, "session-file", js_string(session)) < 0)
                return -ENOMEM;
        return 0;
}

static int show_json(const QemuArgs *a, const QemuResult *r, bool prepare) {
        bool agreed = r->outcome.verdict == VERDICT_AUTHENTIC;
        _cleanup_js_ Json *j = js_object();

        if (!j || js_set(j, "verdict", js_string(verdict_to_string(r->outcome.verdict))) < 0 ||
                        (r->launch_id && js_set(j, "launch-id", js_string(r->launch_id)) < 0) ||
                        (r->outcome.code && js_set(j, "code", js_string(r->outcome.code)) < 0) ||
                        (r->outcome.reason && js_set(j, "reason", js_string(r->outcome.reason)) < 0))
                return -ENOMEM;
        if (agreed && js_set(j, "policy", js_u64(r->policy)) < 0)
                return -ENOMEM;
        if (prepare && agreed && add_files(a, j) < 0)
                return -ENOMEM;
        if (!prepare &&
                        (js_set(j, "secrets", js_bool(r->secrets)) < 0 ||
                                        js_set(j, "running", js_bool(r->running)) < 0 ||
                                        js_set(j, "ended", js_bool(r->ended)) < 0))
                return -ENOMEM;
        return verb_print_json(j, a->common.style);
}

/* For people: QEMU's properties after prepare, else one sentence. */
static int show_text(const QemuArgs *a, const QemuResult *r, bool prepare) {
        _cleanup_js_ Json *j = js_object();

        if (r->outcome.verdict != VERDICT_AUTHENTIC)
                return 0;
        if (!prepare) {
                (void) printf("the guest runs: measured as its owner expects%s\n",
                                r->secrets ? ", and given its secrets" : "");
                return 0;
        }
        if (!j || add_files(a, j) < 0)
                return -ENOMEM;
        (void) printf("policy=%u,dh-cert-file=%s,session-file=%s\n", r->policy,
                        js_string_value(js_get(j, "dh-cert-file")),
                        js_string_value(js_get(j, "session-file")));
        return 0;
}

static int run_for(const QemuArgs *a, bool prepare, char **reterr) {
        const AttestorPatience patience = { .notice = notice };
        _cleanup_(qemu_result_done) QemuResult result = {};
        _cleanup_attestor_ Attestor *attestor = NULL;
        int r;

        r = desk_attestor_new(&a->desk, &patience, &attestor, reterr);
        if (r >= 0)
                r = prepare ? qemu_prepare(a, attestor, &result, reterr)
                            : qemu_attest(a, attestor, &result, reterr);
        if (r < 0)
                return r;
        r = a->common.json ? show_json(a, &result, prepare) : show_text(a, &result, prepare);
        if (r < 0)
                return r;
        if (result.outcome.verdict == VERDICT_AUTHENTIC)
                return 0;
        log_error("refused: %s%s", result.outcome.reason ?: "",
                        prepare                        ? ""
                                        : result.ended ? "; QEMU is ended"
                                                       : "; QEMU stays paused");
        return verdict_exit_status(result.outcome.verdict);
}

static int run(int argc, char **argv, char **reterr) {
        _cleanup_(arguments_done) QemuArgs a = {};
        _cleanup_strv_free_ char **words = NULL;
        bool prepare;
        int r;

        secret_forbid_core();
        desk_args_init(&a.desk);
        r = verb_parse(&table, argc, argv, &a, &a.common, &words, reterr);
        if (r != 0)
                return r < 0 ? r : 0;
        if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;
        r = check_usage(&a, words, &prepare, reterr);
        return r < 0 ? r : run_for(&a, prepare, reterr);
}

int main(int argc, char **argv) {
        return verb_main(&table, argc, argv, run);
}
