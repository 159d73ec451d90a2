/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn without a verb: the launcher. Wiring only; see launcher/. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "log.h"
#include "progress.h"
#include "resolve.h"
#include "run-guard.h"
#include "run-login.h"
#include "run-owner.h"
#include "spawn.h"
#include "stdout.h"
#include "strutil.h"

#define FILES_WANTED 1024u
#define FILES_NEEDED 256u
#define LAST_USEC    UINT64_C(100000) /* for readers of the last lines, once --timeout= is over */

void spawn_job_done(SpawnJob *job) {
        output_done(&job->log);
        measure_answer_done(&job->answer);
        launch_inputs_done(&job->inputs);
        host_caps_done(&job->caps);
        extract_child_done(&job->image);
        vm_config_done(&job->config);
}

typedef struct Launch {
        SpawnJob *job;
        EventSink events;
        OwnerAgent owner;
        Login login;
} Launch;

static int on_measured(MeasureAnswer *answer, void *userdata, char **reterr) {
        Launch *l = userdata;

        l->job->answer = TAKE_STRUCT(*answer, (MeasureAnswer) {});
        return spawn_answered(l->job, &l->events, reterr);
}

/* The guest owner's side is a child, which must be there before the launcher confines itself. */
static int on_before_spawn(RunHook *h, void *userdata, char **reterr) {
        _cleanup_strv_free_ char **options = NULL;
        Launch *l = userdata;
        SpawnJob *job = l->job;
        int r;

        r = run_owner_options(&job->config, &options);
        if (r >= 0)
                r = owner_agent_start(options, &l->owner, reterr);
        return r < 0 ? r
                     : run_owner_session(&l->owner, h, &job->config, job->config.qemu ?: job->caps.qemu,
                                       &job->user, &job->inputs, reterr);
}

static int on_before_cont(RunHook *h, void *userdata, char **reterr) {
        Launch *l = userdata;
        const VmConfig *config = &l->job->config;
        bool injected = false;
        Json *data = NULL;
        int r;

        r = run_owner_validate(&l->owner, h, &l->job->inputs, &l->job->answer, &injected, reterr);
        if (r < 0)
                return r;
        owner_agent_done(&l->owner);
        log_notice("the launch measurement is as expected, %s%s",
                        injected ? "secrets were injected" : "no secrets to inject",
                        config->owner_dir ? "; this host verified itself, which proves nothing to others"
                                          : "");
        if (js_build(&data, "{s:s, s:b}", "by", config->owner_dir ? "owner-dir" : "attestation-service",
                            "secrets", injected) >= 0)
                event_emit(&l->events, "attested", data);
        return 0;
}

static int run_once(Launch *l, bool fall_back, RunResult *ret, char **reterr) {
        unsigned lacks = 0;
        RunRequest request = {
                .config = &l->job->config,
                .caps = &l->job->caps,
                .choices = &l->job->choices,
                .login = &l->login,
                .inputs = &l->job->inputs,
                .events = &l->events,
                .user = &l->job->user,
                .may_fall_back = fall_back,
                .measure = vm_config_confidential(&l->job->config) && !l->job->answer.json,
                .measured = on_measured,
                .before_spawn = vm_config_attested(&l->job->config) ? on_before_spawn : NULL,
                .before_cont = vm_config_attested(&l->job->config) ? on_before_cont : NULL,
                .userdata = l,
                .log = &l->job->log,
                .deadline = &l->job->deadline,
                .timing = &l->job->timing,
                .lacks = &lacks,
        };

        int r;

        for (;;) {
                unsigned before = lacks;

                r = run_vm(&request, ret, reterr);
                if (r != -ENOPROTOOPT || lacks == before)
                        return r;
                l->job->caps.monitor_object |= lacks & RUN_LACKS_MON;
                l->job->inputs.preconfig &= !(lacks & RUN_LACKS_PRECONFIG);
                request.measure = request.measure && !l->job->answer.json;
        }
}

static void launch_done(Launch *l) {
        owner_agent_done(&l->owner);
        login_done(&l->login);
        event_sink_done(&l->events);
}

/* The event with names, places and sizes of all that is measured; then what measure said of them. */
static int planned(Launch *l, char **reterr) {
        Json *plan = NULL;

        if (launch_plan_to_json(&l->job->inputs.plan, &plan) >= 0)
                event_emit(&l->events, "plan", plan);
        return spawn_answered(l->job, &l->events, reterr);
}

/* Another way for credentials that the initrd cannot import. */
static SpawnWay other_way(const VmConfig *config) {
        return resolve_adapter_allowed(config) ? SPAWN_ADAPTER : SPAWN_SMBIOS;
}

static bool may_fall_back(const SpawnJob *job) {
        return !job->inputs.adapter &&
                        (spawn_may_use_smbios(&job->config) || resolve_adapter_allowed(&job->config));
}

/* Credentials name what is made here. */
static int prepare_login(Launch *l, char **reterr) {
        SpawnJob *job = l->job;
        int r = login_start(&job->config, &job->user, &job->choices, &l->login, reterr);

        job->login = (LaunchLogin) { .key = l->login.public,
                .notify_port = l->login.notify_port,
                .journal_port = l->login.journal_port };
        return r;
}

static int launch(Launch *l, RunResult *ret, char **reterr) {
        const VmConfig *config = &l->job->config;
        int r;

        run_timing_mark(&l->job->timing, "options");
        progress_step("looking at this host");
        r = resolve_machine_image(&l->job->config, reterr);
        if (r >= 0)
                r = resolve_directory_kernel(&l->job->config, reterr);
        if (r >= 0)
                r = spawn_take_image(l->job, reterr);
        if (r >= 0)
                r = spawn_choose_coco(l->job, reterr);
        if (r >= 0)
                r = vm_config_check(config, reterr);
        if (r >= 0)
                r = resolve_users(&l->job->config, reterr);
        if (r >= 0)
                r = spawn_probe(l->job, reterr);
        run_timing_mark(&l->job->timing, "host");
        progress_step("reading the credentials");
        if (r >= 0)
                r = resolve_hold_pipes(&l->job->config, reterr);
        progress_step("reading the files of the launch");
        if (r >= 0)
                r = prepare_login(l, reterr);
        if (r >= 0)
                r = spawn_prepare(l->job, SPAWN_AS_ASKED, reterr);
        run_timing_mark(&l->job->timing, "files");
        if (r >= 0)
                r = planned(l, reterr);
        if (r < 0)
                return r;
        STRV_FOREACH(s, l->job->inputs.notices)
                log_notice("%s", *s);

        r = run_once(l, may_fall_back(l->job), ret, reterr);
        if (r == -ESTALE) {
                r = spawn_guard(l->job, &l->events, reterr);
                if (r >= 0)
                        r = spawn_prepare(l->job, other_way(config), reterr);
                if (r >= 0)
                        r = planned(l, reterr);
                if (r >= 0)
                        r = run_once(l, /* may_fall_back= */ false, ret, reterr);
        }
        return r;
}

/* Until when readers of our own lines are waited for. */
static uint64_t patience(const SpawnJob *job) {
        return job->deadline == 0 ? 0 : MAX(job->deadline, monotonic_usec() + LAST_USEC);
}

/* Whatever happens, the last event says how it ended. */
static int launch_with_events(SpawnJob *job, char **reterr) {
        _cleanup_(launch_done) Launch l = { .job = job, .owner = OWNER_AGENT_NONE, .login = LOGIN_NONE };
        _cleanup_(run_result_done)
                        RunResult result = { .source = EXIT_SOURCE_LAUNCHER, .status = EXIT_REFUSED };
        const char *cause;
        _cleanup_free_ char *error = NULL;
        Json *data = NULL;
        int finished, r;

        /* First of all: a descriptor of the user's must not be mistaken for one of ours. */
        r = event_sink_open(&job->config, &l.events, reterr);
        if (r < 0)
                return r;
        r = spawn_guard(l.job, &l.events, reterr);
        if (r >= 0)
                r = launch(&l, &result, reterr);
        run_guard_unwatch();
        cause = r < 0 ? (*reterr ?: strerror(-r)) : (result.detail ?: result.cause);
        if (event_exit_data(&result, cause, &data) >= 0)
                event_emit(&l.events, "exit", data);
        finished = event_sink_finish(&l.events, patience(job), &error);
        if (finished < 0 && r >= 0 && result.status == 0)
                return error_set(reterr, finished, "%s", error);
        return r < 0 ? r : result.status;
}

/* QEMU's descriptors have fixed numbers (LaunchFd). */
static int raise_limits(char **reterr) {
        struct rlimit limit;

        if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return -errno;
        if (limit.rlim_cur >= FILES_WANTED)
                return 0;
        if (limit.rlim_max < FILES_NEEDED)
                return error_set(reterr, -EMFILE,
                                "only %llu open files are allowed, %u are needed: raise the limit (ulimit -n, LimitNOFILE=)",
                                (unsigned long long) limit.rlim_max, FILES_NEEDED);
        limit.rlim_cur = MIN(limit.rlim_max, (rlim_t) FILES_WANTED);
        return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

static int spawn_run(SpawnJob *job, char **reterr) {
        int r;

        if (job->config.firmware == FIRMWARE_LIST || job->config.firmware == FIRMWARE_DESCRIBE ||
                        job->config.list_firmware_features)
                return spawn_firmware(&job->config, reterr);
        if (job->config.print == 0) {
                r = output_open(&job->log, STDERR_FILENO);
                spawn_show_progress(job);
                if (r >= 0)
                        r = raise_limits(reterr);
                if (r < 0)
                        return r;
                log_set_writer(run_log_writer, &job->log);
                if (job->config.timeout_usec > 0)
                        job->deadline = monotonic_usec() + job->config.timeout_usec;
                return launch_with_events(job, reterr);
        }
        return spawn_print(job, reterr);
}

/* What was printed must have been written. Only during a launch a reader may go away: the guest's status counts then. */
static int check_output(const VmConfig *config, char **reterr) {
        if (fflush(stdout) == 0 && !ferror(stdout))
                return 0;
        return errno == EPIPE && !config->help && !config->version && config->print == 0
                        ? 0
                        : error_set(reterr, -errno, "cannot write to standard output: %s", strerror(errno));
}

/* A command counts only as the first argument; a kernel argument of that name follows "--". */
static int check_verb(const VmConfig *config, char *const *argv, char **reterr) {
        static const struct {
                const char *verb, *zone, *summary;
        } verbs[] = {
#include "verbs.inc"
        };

        if (!config->cmdline || strv_contains(argv, "--"))
                return 0;
        FOREACH_ARRAY(v, verbs, ELEMENTSOF(verbs))
                if (streq(config->cmdline[0], v->verb))
                        return error_set(reterr, -EINVAL,
                                        "'%s' is a command and must be the first argument: cvmspawn %s [OPTIONS...]; a kernel argument of that name follows '--'",
                                        v->verb, v->verb);
        return 0;
}

int main(int argc, char **argv) {
        _cleanup_(spawn_job_done) SpawnJob job = { .log = OUTPUT_NONE, .image = EXTRACT_CHILD_NONE };
        _cleanup_free_ char *error = NULL;
        int k, r;

        if (options_dump_requested(&config_option_table, argc, argv))
                return spawn_dumped();

        run_timing_begin(&job.timing);
        log_open("cvmspawn", /* quiet= */ false);
        r = stdout_open();
        if (r < 0)
                return log_failure(r, "cannot open /dev/null"), EXIT_REFUSED;
        vm_config_init(&job.config);
        r = vm_config_parse(&job.config, argc, argv, &error);
        if (r >= 0)
                r = check_verb(&job.config, argv, &error);
        if (r >= 0 && job.config.help) {
                (job.config.help_all ? options_help_all : options_help)(&config_option_table, stdout);
        } else if (r >= 0 && job.config.version) {
                puts("cvmspawn " CVMSPAWN_VERSION);
        } else if (r >= 0) {
                log_open("cvmspawn", job.config.quiet);
                r = spawn_run(&job, &error);
        }
        if (r >= 0 && (k = check_output(&job.config, &error)) < 0)
                r = k;
        if (r < 0)
                (void) log_failure(r, error);
        log_set_writer(NULL, NULL);
        (void) output_drain(&job.log, patience(&job));
        return r >= 0 ? r : r == -EBADE && job.config.print != 0 ? 3 : EXIT_REFUSED;
}
