/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn without a verb: the launcher. Wiring only; see launcher/. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "log.h"
#include "resolve.h"
#include "run-id-block.h"
#include "run-lock.h"
#include "run-owner.h"
#include "spawn.h"
#include "strutil.h"

void spawn_job_done(SpawnJob *job) {
        measure_answer_done(&job->answer);
        launch_inputs_done(&job->inputs);
        host_caps_done(&job->caps);
        vm_config_done(&job->config);
}

/* The table of a simulated launch, which QEMU's loader device reads at start. */
static int add_table(SpawnJob *job, char **reterr) {
        int fd;

        if (!job->config.simulate || !job->inputs.plan.kernel_hashes)
                return 0;
        fd = measure_answer_table_fd(&job->answer, reterr);
        if (fd < 0)
                return fd;
        return launch_inputs_keep_fd(&job->inputs, fd, LAUNCH_FD_TABLE);
}

/* Must the digest be known before QEMU is started, or is it enough before the guest runs? */
static bool measure_first(const VmConfig *config) {
        return config->simulate || config->expect || config->id_block || config->id_key || config->lock ||
                        config->print != 0;
}

int spawn_prepare(SpawnJob *job, CredentialTransport transport, char **reterr) {
        const ResolveOptions options = { .for_launch = true, .transport = transport };
        int r;

        launch_inputs_done(&job->inputs);
        measure_answer_done(&job->answer);
        r = resolve_launch(&job->config, &options, &job->inputs, reterr);
        if (r < 0 || !vm_config_confidential(&job->config) || !measure_first(&job->config))
                return r;
        r = run_ask_measure(&job->inputs.plan, &job->answer, reterr);
        /* To tell the digest, no key is needed. */
        if (r >= 0 && (job->config.print == 0 || job->config.print & PRINT_ARGV))
                r = run_build_id_block(&job->config, &job->answer, &job->inputs, reterr);
        if (r < 0)
                return r;
        return add_table(job, reterr);
}

static int probe(SpawnJob *job, char **reterr) {
        _cleanup_free_ char *notice = NULL, *user_notice = NULL, *lock_notice = NULL;
        int r;

        r = job->config.host_caps ? run_read_host_caps(job->config.host_caps, &job->caps, reterr)
                                  : run_probe_host(&job->config, &job->caps);
        if (r < 0)
                return r;
        r = run_choose(&job->config, &job->caps, &job->choices, &notice, reterr);
        if (r < 0)
                return r;
        r = run_choose_user(&job->config, job->config.qemu ?: job->caps.qemu, job->choices.kvm, &job->user,
                        &user_notice, reterr);
        if (r >= 0 && job->config.print == 0)
                r = run_choose_memlock(&job->config, &job->user, &lock_notice, reterr);
        if (r < 0)
                return r;
        job->config.other_user = job->user.change;
        if (notice && job->config.print == 0)
                log_notice("%s", notice);
        if (user_notice && job->config.print == 0)
                log_notice("%s", user_notice);
        if (lock_notice)
                log_notice("%s", lock_notice);
        return 0;
}

/* What the user and programs must know before the guest runs. */
static void banner(const SpawnJob *job, const EventSink *events) {
        const char *digest = job->answer.json ? measure_answer_digest(&job->answer) : NULL;
        const char *mode = sev_mode_to_string(job->config.coco);
        Json *data = NULL;

        bool firmware_only = !job->config.linux_path;

        if (js_build(&data, "{s:s, s:s?, s:b, s:s, s:b, s:s?}", "mode", mode, "digest", digest,
                            "predictable", vm_config_predictable(&job->config), "covers",
                            firmware_only ? "firmware" : "firmware, kernel, initrd and words", "simulated",
                            job->config.simulate, "warning",
                            job->config.simulate ? "simulated: nothing here is confidential" : NULL) >= 0)
                event_emit(events, "digest", data);
        if (job->config.simulate)
                log_notice("SIMULATED %s: %s nothing is encrypted or confidential", mode,
                                job->inputs.plan.kernel_hashes ? "the firmware checks the kernel hashes, but"
                                                               : "the firmware boots what it finds, and");
        if (digest)
                log_notice("%s launch digest%s%s%s: %s", mode,
                                vm_config_predictable(&job->config) ? "" : ", unpredictable,",
                                firmware_only ? " of the firmware only" : "",
                                job->config.simulate ? " that hardware would report" : "", digest);
}

/* 0 if --expect= is absent or names this launch's digest. */
static int check_expected(const SpawnJob *job, char **reterr) {
        const char *digest = job->answer.json ? measure_answer_digest(&job->answer) : NULL;

        if (!job->config.expect || (digest && strcasecmp(digest, job->config.expect) == 0))
                return 0;
        return error_set(reterr, -EBADE,
                        "--expect: the launch digest is %s, not %s: nothing was started; 'cvmspawn measure' "
                        "tells why they differ",
                        digest ?: "unknown", job->config.expect);
}

typedef struct Launch {
        SpawnJob *job;
        EventSink events;
        AttestorChild attestor;
} Launch;

/* The digest is known and the guest has not run: is it the one that is wanted? */
static int answered(Launch *l, char **reterr) {
        SpawnJob *job = l->job;
        LockOutcome outcome;
        int r;

        if (!job->answer.json)
                return 0;
        r = check_expected(job, reterr);
        if (r >= 0)
                r = run_check_id_block(&job->inputs, &job->answer, reterr);
        if (r >= 0 && job->config.lock) {
                r = run_lock(job->config.lock, &job->inputs.plan, &job->answer, /* write= */ true, &outcome,
                                reterr);
                if (r >= 0 && outcome == LOCK_WRITTEN)
                        log_notice("'%s' written: commit it, later launches must have this digest",
                                        job->config.lock);
        }
        if (r < 0)
                return r;
        banner(job, &l->events);
        return 0;
}

static int on_measured(MeasureAnswer *answer, void *userdata, char **reterr) {
        Launch *l = userdata;

        l->job->answer = TAKE_STRUCT(*answer, (MeasureAnswer) {});
        return answered(l, reterr);
}

/* The guest owner's side is a child, which must be there before the launcher confines itself. */
static int on_before_spawn(RunHook *h, void *userdata, char **reterr) {
        _cleanup_strv_free_ char **options = NULL;
        Launch *l = userdata;
        SpawnJob *job = l->job;
        int r;

        r = run_owner_options(&job->config, &options);
        if (r >= 0)
                r = attestor_child_start(options, &l->attestor, reterr);
        return r < 0 ? r
                     : run_owner_session(&l->attestor, h, &job->config, job->config.qemu ?: job->caps.qemu,
                                       &job->user, &job->inputs, reterr);
}

static int on_before_cont(RunHook *h, void *userdata, char **reterr) {
        Launch *l = userdata;
        const VmConfig *config = &l->job->config;
        bool injected = false;
        Json *data = NULL;
        int r;

        r = run_owner_validate(&l->attestor, h, &l->job->inputs, &l->job->answer, &injected, reterr);
        if (r < 0)
                return r;
        attestor_child_done(&l->attestor);
        log_notice("the measurement is the expected one, %s%s",
                        injected ? "secrets are injected" : "there are no secrets to inject",
                        config->owner_dir ? "; this host vouches for itself, which proves nothing to "
                                            "anybody else"
                                          : "");
        if (js_build(&data, "{s:s, s:b}", "by", config->owner_dir ? "owner-dir" : "attestation-service",
                            "secrets", injected) >= 0)
                event_emit(&l->events, "attested", data);
        return 0;
}

static int run_once(Launch *l, bool fall_back, RunResult *ret, char **reterr) {
        RunRequest request = {
                .config = &l->job->config,
                .caps = &l->job->caps,
                .choices = &l->job->choices,
                .inputs = &l->job->inputs,
                .events = &l->events,
                .user = &l->job->user,
                .may_fall_back = fall_back,
                .measure = vm_config_confidential(&l->job->config) && !l->job->answer.json,
                .measured = on_measured,
                .before_spawn = vm_config_attested(&l->job->config) ? on_before_spawn : NULL,
                .before_cont = vm_config_attested(&l->job->config) ? on_before_cont : NULL,
                .userdata = l,
        };

        int r = run_vm(&request, ret, reterr);

        if (r != -ENOPROTOOPT)
                return r;
        l->job->caps.monitor_object = true;
        request.measure = request.measure && !l->job->answer.json;
        return run_vm(&request, ret, reterr);
}

static void launch_done(Launch *l) {
        attestor_child_done(&l->attestor);
        event_sink_done(&l->events);
}

/* The event with names, places and sizes of all that is measured; then what measure said of them. */
static int planned(Launch *l, char **reterr) {
        Json *plan = NULL;

        if (launch_plan_to_json(&l->job->inputs.plan, &plan) >= 0)
                event_emit(&l->events, "plan", plan);
        return answered(l, reterr);
}

/* May credentials travel as SMBIOS strings if the initrd cannot import them? The units of --run= need the same systemd that
 * imports from the initrd. */
static bool may_fall_back(const VmConfig *config) {
        return config->credential_transport == TRANSPORT_AUTO && !vm_config_confidential(config) &&
                        !config->run;
}

static int launch(Launch *l, RunResult *ret, char **reterr) {
        const VmConfig *config = &l->job->config;
        int r;

        r = vm_config_check(config, reterr);
        if (r >= 0)
                r = probe(l->job, reterr);
        if (r >= 0)
                r = spawn_prepare(l->job, TRANSPORT_AUTO, reterr);
        if (r >= 0)
                r = planned(l, reterr);
        if (r < 0)
                return r;
        STRV_FOREACH(s, l->job->inputs.notices)
                log_notice("%s", *s);

        r = run_once(l, may_fall_back(config), ret, reterr);
        if (r == -ESTALE) {
                r = spawn_prepare(l->job, TRANSPORT_SMBIOS, reterr);
                if (r >= 0)
                        r = planned(l, reterr);
                if (r >= 0)
                        r = run_once(l, /* may_fall_back= */ false, ret, reterr);
        }
        return r;
}

/* Whatever happens, the last event says how it ended. */
static int launch_with_events(SpawnJob *job, char **reterr) {
        _cleanup_(launch_done) Launch l = {
                .job = job, .events = { .fd = -EBADF }, .attestor = ATTESTOR_CHILD_NONE
        };
        _cleanup_(run_result_done)
                        RunResult result = { .source = EXIT_SOURCE_LAUNCHER, .status = EXIT_REFUSED };
        const char *cause;
        Json *data = NULL;
        int r;

        /* First of all: a descriptor of the user's must not be mistaken for one of ours. */
        r = event_sink_open(&job->config, &l.events, reterr);
        if (r < 0)
                return r;
        if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;

        r = launch(&l, &result, reterr);
        cause = r < 0 ? (*reterr ?: strerror(-r)) : (result.detail ?: result.cause);
        if (js_build(&data, "{s:s, s:i, s:s?}", "source", exit_source_to_string(result.source), "status",
                            result.status, "cause", cause) >= 0)
                event_emit(&l.events, "exit", data);
        return r < 0 ? r : result.status;
}

/* What a launch would find out beside QEMU's start: whether the credentials arrive. */
static int scan_for_print(SpawnJob *job, char **reterr) {
        _cleanup_free_ char *sentence = NULL;

        if (run_scan_initrd(&job->inputs, job->config.run, &sentence) >= 0)
                return 0;
        if (!may_fall_back(&job->config)) {
                log_warning("%s: such a launch is refused", sentence ?: "the initrd cannot be scanned");
                return 0;
        }
        log_notice("%s; they would be passed as SMBIOS strings instead",
                        sentence ?: "the initrd cannot be scanned");
        return spawn_prepare(job, TRANSPORT_SMBIOS, reterr);
}

static int run(SpawnJob *job, char **reterr) {
        int r;

        if (job->config.firmware == FIRMWARE_LIST || job->config.firmware == FIRMWARE_DESCRIBE)
                return spawn_firmware(&job->config, reterr);
        if (job->config.print == 0)
                return launch_with_events(job, reterr);
        r = vm_config_check(&job->config, reterr);
        if (r >= 0)
                r = probe(job, reterr);
        if (r >= 0)
                r = spawn_prepare(job, TRANSPORT_AUTO, reterr);
        if (r >= 0)
                r = scan_for_print(job, reterr);
        return r < 0 ? r : spawn_print(job, reterr);
}

/* A descriptor that we open must not become somebody's standard output. */
static int fill_standard_fds(void) {
        int fd;

        do {
                fd = open("/dev/null", O_RDWR);
                if (fd < 0)
                        return -errno;
        } while (fd <= STDERR_FILENO);
        (void) close(fd);
        return 0;
}

int main(int argc, char **argv) {
        _cleanup_(spawn_job_done) SpawnJob job = {};
        _cleanup_free_ char *error = NULL;
        int r;

        if (options_dump_requested(&config_option_table, argc, argv))
                return 0;

        log_open("cvmspawn", /* quiet= */ false);
        r = fill_standard_fds();
        if (r < 0)
                return log_failure(r, "cannot open /dev/null"), EXIT_REFUSED;
        vm_config_init(&job.config);
        r = vm_config_parse(&job.config, argc, argv, &error);
        if (r >= 0 && job.config.help) {
                options_help(&config_option_table, stdout);
                return 0;
        }
        if (r >= 0 && job.config.version) {
                puts("cvmspawn " CVMSPAWN_VERSION);
                return 0;
        }
        if (r >= 0) {
                log_open("cvmspawn", job.config.quiet);
                r = run(&job, &error);
        }
        if (r >= 0)
                return r;

        (void) log_failure(r, error);
        return r == -EBADE && job.config.print != 0 ? 3 : EXIT_REFUSED;
}
