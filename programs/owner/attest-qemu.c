/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `cvmspawn attest-qemu`: see attest-qemu.h. */

#include "attest-qemu.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "coco.h"
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
                        "Connect to QEMU's monitor: -qmp unix:SOCKET,server,nowait", "@file",
                        option_set_string, AT(qmp), 0 },
        { "expect", 0, OPTION_REQUIRED, "DIGEST", NULL,
                        "Expect this launch digest, from 'cvmspawn measure', with\n--owner-dir; repeatable: any of them",
                        NULL, option_append, AT(expect), 0 },
        { "on-refusal", 0, OPTION_REQUIRED, "WHAT", NULL,
                        "Quit QEMU (default) or keep it paused after a refusal", "quit keep",
                        option_set_word, AT(on_refusal), 0 },
        { "qemu", 0, OPTION_REQUIRED, "PATH", "Prepare",
                        "Ask this QEMU for the platform, if no --qmp is given\n(default: qemu-system-x86_64)",
                        "@file", option_set_string, AT(qemu), 0 },
        { "coco", 0, OPTION_REQUIRED, "MODE", NULL, "Make a session for sev or sev-es (default)",
                        "sev sev-es", option_set_word, AT(coco), 0 },
        { "policy", 'p', OPTION_REQUIRED, "NUMBER", NULL,
                        "Set the guest policy (default: 0x3 or 0x7, or what the service\nsays)", NULL,
                        set_policy, AT(policy), 0 },
        { "session-dir", 0, OPTION_REQUIRED, "DIR", NULL,
                        "Keep the files of the service's session here: NAME_godh.b64,\nNAME_session.b64, NAME_launch-id",
                        "@dir", option_set_string, AT(session_dir), 0 },
        { "launch-id", 0, OPTION_REQUIRED, "ID", NULL,
                        "Name the launch, with --attestation-service, without\n--session-dir", NULL,
                        option_set_string, AT(launch_id), 0 },
        OWNER_ROWS,
        VERB_ROWS("Output"),
};

static const OptionCommand commands[] = {
        { NULL, NULL, NULL, OWNER_OPTIONS "qmp expect on-refusal session-dir launch-id json" },
        { "prepare", NULL, "Make a session for a QEMU that is not started yet",
                        OWNER_OPTIONS OWNER_LAUNCH_OPTIONS "qmp qemu coco policy session-dir json" },
};

static const OptionRule rules[] = {
        { "qemu", NULL, "qmp", "the QEMU behind that socket is asked" },
        { "attestation-service", NULL, "expect", "a service has its own digests" },
        { "session-dir launch-id", "attestation-service", NULL, NULL },
        { "launch-id", NULL, "session-dir", "the session's files have the id" },
        OWNER_RULES,
};

static const OptionTable table = {
        .program = "cvmspawn attest-qemu",
        .arguments = "[prepare]",
        .summary = "Check a QEMU that was started with -S for the owner of its SEV or SEV-ES guest, inject the secrets and let it run.",
        .zone = "verifier",
        .epilog = "Exit status: 0 it runs (prepare: the session was written), 1 usage error or failure, 2 not authentic, 3 requirements not met, "
                  "4 a certificate is missing or the service was not reached.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .commands = commands,
        .n_commands = ELEMENTSOF(commands),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
};

void qemu_result_done(QemuResult *r) {
        owner_outcome_done(&r->outcome);
        free(r->launch_id);
}

static int check_usage(const QemuArgs *a, char *const *words, bool *ret_prepare, char **reterr) {
        bool prepare = strv_length(words) > 0;

        if (strv_length(words) > 1)
                return error_set(reterr, -EINVAL, "unexpected argument '%s'", words[1]);
        if (!prepare && !a->qmp)
                return error_set(reterr, -EINVAL,
                                "--qmp=SOCKET is missing: give the monitor of a QEMU started with -S");
        if (a->owner.owner_dir && !prepare && !a->expect)
                return error_set(reterr, -EINVAL,
                                "--expect=DIGEST is missing: pass the launch digest that 'cvmspawn measure' computes from the guest's files");
        if (a->owner.service && prepare && !a->session_dir)
                return error_set(reterr, -EINVAL,
                                "--session-dir=DIR is missing: where the session's files go");
        *ret_prepare = prepare;
        return 0;
}

static void notice(_unused_ void *userdata, const char *sentence) {
        log_notice("%s", sentence);
}

static int add_files(const QemuArgs *a, Json *j) {
        const char *folder = a->owner.owner_dir ?: a->session_dir, *name = a->owner.name ?: "vm";
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
                (void) printf("the guest is running: its measurement is as expected%s\n",
                                r->secrets ? ", and its secrets were injected" : "");
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
        const OwnerPatience patience = { .notice = notice };
        _cleanup_(qemu_result_done) QemuResult result = {};
        _cleanup_owner_ Owner *owner = NULL;
        int r;

        r = owner_args_open(&a->owner, &patience, &owner, reterr);
        if (r >= 0)
                r = prepare ? qemu_prepare(a, owner, &result, reterr)
                            : qemu_attest(a, owner, &result, reterr);
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

static void attest_qemu_init(void *arguments) {
        owner_args_init(&((QemuArgs *) arguments)->owner);
}

static int attest_qemu_run(void *arguments, char **words, char **reterr) {
        const QemuArgs *a = arguments;
        bool prepare;
        int r;

        secret_forbid_core();
        if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;
        r = check_usage(a, words, &prepare, reterr);
        return r < 0 ? r : run_for(a, prepare, reterr);
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(QemuArgs),
        .common = AT(common),
        .init = attest_qemu_init,
        .run = attest_qemu_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
