/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --print=: what would be done, in words or as JSON; nothing is run but the measure and id-block programs. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "compose.h"
#include "error.h"
#include "log.h"
#include "resolve.h"
#include "run-check.h"
#include "run-id-block.h"
#include "run-lock.h"
#include "spawn.h"
#include "strutil.h"

/* What measure says of the initrd's last part, our archive: {"size","sha256"}; NULL: no archive. */
static const Json *archive_of(const MeasureAnswer *answer) {
        const Json *parts = js_get(js_get(js_get(answer->json, "parts"), "initrd"), "parts");
        const Json *last = js_length(parts) > 0 ? js_at(parts, js_length(parts) - 1) : NULL;
        const char *label = js_string_value(js_get(last, "label"));

        return label && streq(label, "credentials") ? last : NULL;
}

static int list_credentials(const CredentialSet *set, const char *transport, Json *list) {
        int r = 0;

        FOREACH_ARRAY(c, set->items, set->n_items) {
                Json *item = NULL;

                r = js_build(&item, "{s:s, s:I}", "id", c->id, "size", (long long) c->value.size);
                if (r >= 0 && transport)
                        r = js_set(item, "transport", js_string(transport));
                if (r >= 0)
                        r = js_append(list, item);
                else
                        (void) js_unref(item);
                if (r < 0)
                        break;
        }
        return r;
}

static int print_credentials(const SpawnJob *job, Json *out, char **reterr) {
        _cleanup_(credential_set_done) CredentialSet set = {}, apart = {};
        _cleanup_(measure_answer_done) MeasureAnswer own = {};
        const MeasureAnswer *answer = &job->answer;
        Json *list = js_array(), *object = NULL;
        const Json *archive;
        int r;

        r = list ? resolve_credentials(&job->config, NULL, &set, &apart, reterr) : -ENOMEM;
        if (r >= 0)
                r = list_credentials(&set, NULL, list);
        if (r >= 0)
                r = list_credentials(&apart, credential_transport_to_string(TRANSPORT_SMBIOS), list);
        if (r >= 0 && job->choices.ssh_key)
                log_notice("--pass-ssh-key=: the credentials of the key that a launch generates are not listed");
        if (r >= 0 && !answer->json && job->inputs.plan.initrd.present) {
                r = run_ask_measure(&job->inputs.plan, &own, reterr);
                answer = &own;
        }
        if (r < 0) {
                (void) js_unref(list);
                return r;
        }

        archive = answer->json ? archive_of(answer) : NULL;
        r = js_build(&object, "{s:s, s:o, s:O?}", "transport",
                        credential_transport_to_string(job->inputs.transport), "credentials", list,
                        "archive", archive);
        return r < 0 ? r : js_set(out, "credentials", object);
}

static int print_argv(const SpawnJob *job, Json *out, char **reterr) {
        _cleanup_(qemu_command_done) QemuCommand command = {};
        int r = compose_qemu(&job->config, &job->inputs, &job->caps, &job->choices, &command, reterr);

        return r < 0 ? r : js_set(out, "argv", js_strv(command.argv));
}

static int print_config(const SpawnJob *job, Json *out) {
        Json *config = NULL;
        int r = vm_config_to_json(&job->config, &config);

        return r < 0 ? r : js_set(out, "config", config);
}

static int print_digest(const SpawnJob *job, Json *out, char **reterr) {
        if (!job->answer.json)
                return error_set(reterr, -EINVAL,
                                "--print=digest requires --coco=sev, sev-es, sev-snp or tdx: other guests have no launch digest");
        return js_set(out, "digest", js_ref(job->answer.json));
}

static int print_confinement(const SpawnJob *job, Json *out) {
        Json *object = NULL;
        int r = run_confinement_json(&job->user, &object);

        return r < 0 ? r : js_set(out, "confinement", object);
}

/* A number that we wrote ourselves. */
static uint64_t number(const Json *value) {
        uint64_t v;

        return js_u64_value(value, &v) < 0 ? 0 : v;
}

static void words_credentials(const Json *o) {
        const Json *list = js_get(o, "credentials"), *archive = js_get(o, "archive");

        for (size_t i = 0; i < js_length(list); i++) {
                uint64_t size = number(js_get(js_at(list, i), "size"));

                printf("credential %s: %" PRIu64 " bytes\n", js_string_value(js_get(js_at(list, i), "id")),
                                size);
        }
        printf("transport: %s\n", js_string_value(js_get(o, "transport")));
        if (archive && !js_is_null(archive)) {
                printf("archive: %" PRIu64 " bytes, sha256 %s\n", number(js_get(archive, "size")),
                                js_string_value(js_get(archive, "sha256")));
        }
}

/* One argument per line, as a shell would read it: quoted where needed. */
static void words_argv(const Json *argv) {
        for (size_t i = 0; i < js_length(argv); i++) {
                const char *a = js_string_value(js_at(argv, i));
                bool plain = *a &&
                                strspn(a, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=,./:+%@") ==
                                                strlen(a);

                if (plain)
                        printf("%s", a);
                else {
                        putchar('\'');
                        for (; *a; a++)
                                if (*a == '\'')
                                        fputs("'\\''", stdout);
                                else
                                        putchar(*a);
                        putchar('\'');
                }
                puts(i + 1 < js_length(argv) ? " \\" : "");
        }
}

static void words_registers(const Json *answer) {
        const Json *values = js_get(answer, "registers");

        for (void *i = values ? js_iter(values) : NULL; i; i = js_iter_next(values, i))
                printf("%s: %s\n", js_iter_key(i), js_string_value(js_iter_value(i)));
}

static void words_digest(const Json *answer, const SpawnJob *job) {
        const char *digest = js_string_value(js_get(answer, "digest"));

        /* Alone it is for scripts; what limits it is said beside it. */
        if (job->config.print == PRINT_DIGEST) {
                printf("%s\n", digest ?: "none");
                if (job->config.simulate)
                        log_notice("the digest is the prediction for hardware: this launch is simulated");
                return;
        }
        printf("digest: %s%s%s%s\n", digest ?: "none",
                        vm_config_predictable(&job->config) ? "" : " (unpredictable)",
                        job->config.linux_path && !coco_of(job->config.coco)->event_log
                                        ? ""
                                        : " (of the firmware only)",
                        job->config.simulate ? " (prediction for hardware; this launch is simulated)" : "");
        words_registers(answer);
}

static int print_words(const SpawnJob *job, const Json *out) {
        for (void *i = js_iter(out); i; i = js_iter_next(out, i)) {
                const char *key = js_iter_key(i);
                const Json *value = js_iter_value(i);

                if (streq(key, "credentials"))
                        words_credentials(value);
                else if (streq(key, "argv"))
                        words_argv(value);
                else if (streq(key, "digest"))
                        words_digest(value, job);
                else if (!streq(key, "notices")) {
                        _cleanup_free_ char *text = js_text(value, JS_PRETTY);

                        if (!text)
                                return -ENOMEM;
                        puts(text);
                }
        }
        return 0;
}

/* What a launch would say before it starts: to a person beside the answer, to a program within it. */
static int print_notices(const SpawnJob *job, Json *out) {
        if (!job->inputs.notices)
                return 0;
        STRV_FOREACH(s, job->inputs.notices)
                log_notice("%s", *s);
        return js_set(out, "notices", js_strv(job->inputs.notices));
}

static int print(const SpawnJob *job, char **reterr) {
        _cleanup_js_ Json *out = js_object();
        unsigned what = job->config.print;
        LockOutcome outcome;
        int r = out ? 0 : -ENOMEM;

        if (r >= 0 && job->answer.json)
                r = spawn_check_predicted(job, reterr);
        if (r >= 0 && what & PRINT_CONFIG)
                r = print_config(job, out);
        if (r >= 0 && what & PRINT_CREDENTIALS)
                r = print_credentials(job, out, reterr);
        if (r >= 0 && what & PRINT_ARGV)
                r = print_argv(job, out, reterr);
        if (r >= 0 && what & PRINT_DIGEST)
                r = print_digest(job, out, reterr);
        if (r >= 0 && what & PRINT_CONFINEMENT)
                r = print_confinement(job, out);
        if (r >= 0)
                r = print_notices(job, out);
        if (r < 0)
                return r;

        if (job->config.json == JSON_OFF)
                r = print_words(job, out);
        else {
                _cleanup_free_ char *text =
                                js_text(out, job->config.json == JSON_SHORT_MODE ? JS_SHORT : JS_PRETTY);

                if (!text)
                        return -ENOMEM;
                puts(text);
        }
        if (r < 0)
                return r;

        if (!job->answer.json)
                return 0;
        r = run_check_id_block(&job->inputs, &job->answer, reterr);
        if (r >= 0 && job->config.lock)
                r = run_lock(job->config.lock, &job->inputs.plan, &job->answer, /* write= */ false, &outcome,
                                reterr);
        if (r < 0)
                return r;
        if (job->config.lock && outcome == LOCK_WRITTEN)
                log_notice("--lock: '%s' does not exist and is not written by --print=; a launch writes it",
                                job->config.lock);
        return spawn_check_expected(job, reterr);
}

/* What a launch would find out beside QEMU's start: whether the credentials arrive. */
static int scan_for_print(SpawnJob *job, char **reterr) {
        _cleanup_free_ char *sentence = NULL, *notice = NULL;
        int r = run_scan_initrd(&job->inputs, &job->config, &sentence, &notice);

        if (notice)
                log_notice("%s", notice);
        if (r >= 0)
                return 0;
        if (run_credentials_stay(&job->config, r)) {
                log_notice("%s; " SCAN_STAY, sentence);
                return 0;
        }
        if (!spawn_may_use_smbios(&job->config))
                return error_set(reterr, r, "%s", sentence ?: "the initrd cannot be scanned");
        log_notice("%s; they would be passed as SMBIOS strings instead",
                        sentence ?: "the initrd cannot be scanned");
        return spawn_prepare(job, SPAWN_SMBIOS, reterr);
}

int spawn_print(SpawnJob *job, char **reterr) {
        _cleanup_(event_sink_done) EventSink events = {};
        int r = event_sink_open(&job->config, &events, reterr);

        if (r >= 0)
                r = resolve_machine_image(&job->config, reterr);
        if (r >= 0)
                r = resolve_directory_kernel(&job->config, reterr);
        if (r >= 0)
                r = spawn_take_image(job, reterr);
        if (r >= 0)
                r = spawn_choose_coco(job, reterr);
        if (r >= 0)
                r = vm_config_check(&job->config, reterr);
        if (r >= 0)
                r = resolve_users(&job->config, reterr);
        if (r >= 0)
                r = spawn_probe(job, reterr);
        if (r >= 0)
                r = resolve_hold_pipes(&job->config, reterr);
        if (r >= 0)
                r = spawn_prepare(job, SPAWN_AS_ASKED, reterr);
        if (r >= 0)
                r = scan_for_print(job, reterr);
        if (r >= 0)
                r = run_check(&job->config, &job->caps, &job->choices, &job->inputs, reterr);
        return r < 0 ? r : print(job, reterr);
}

int spawn_dumped(void) {
        _cleanup_free_ char *error = NULL;
        int r;

        if (fflush(stdout) == 0 && !ferror(stdout))
                return 0;
        r = error_set(&error, -EIO, "cannot write to standard output: %s",
                        strerror(errno > 0 ? errno : EIO));
        log_open("cvmspawn", /* quiet= */ false);
        (void) log_failure(r, error);
        return EXIT_REFUSED;
}
