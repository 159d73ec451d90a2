/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* IMPURE: looks at the host, starts QEMU and its companions, drives QMP, and waits for the end.
 *
 * Phases, each with typed input and output: parse (VmConfig) -> probe (HostCaps) -> resolve (LaunchInputs) -> ask measure
 * (MeasureAnswer) -> compose (QemuCommand) -> spawn -> set up by QMP -> cont -> wait -> result (exit status). */

#include <errno.h>
#include <sys/types.h>

#include "launch.h"
#include "loop.h"
#include "run-confine.h"
#include "run-hook.h"
#include "run-measure.h"

/* --- the host ------------------------------------------------------------------------------------------------------- */

/* Whether KVM, console, TPM... are used. A sentence for the user goes to *ret_notice (owned) where something was left out. */
_warn_unused_result_ int run_choose(const VmConfig *config, const HostCaps *caps, LaunchChoices *ret,
                char **ret_notice, char **reterr);

/* Does the virtiofsd of the caps know what a share needs? It is asked for its version. */
_warn_unused_result_ int run_check_virtiofsd(const VmConfig *config, const HostCaps *caps, char **reterr);
#define VIRTIOFSD_REMEDY                                                                                    \
        "install virtiofsd 1.13 or later (package virtiofsd; Debian 12 has none that is new enough, take Debian 13's)"
typedef struct RunResult RunResult;

/* --- events --------------------------------------------------------------------------------------------------------- */

/* Where JSON events go: --status-fd= or --json=short. */
typedef struct EventSink {
        struct Output *out; /* owned; NULL: nowhere */
        const char *where;  /* borrowed, for messages */
} EventSink;

_warn_unused_result_ int event_sink_open(const VmConfig *config, EventSink *ret, char **reterr);
void event_sink_done(EventSink *sink);
/* While the loop runs, events move by themselves; NULL ends that. */
void event_sink_attach(const EventSink *sink, Loop *loop);
/* Waits until all of them are written, to the deadline at most (see output_drain()): an event that could not be written, except
 * to a reader that went away, is an error with an error message. */
_warn_unused_result_ int event_sink_finish(const EventSink *sink, uint64_t deadline, char **reterr);
/* The line of an event that happens `usec` from now; takes data; *ret is owned. */
_warn_unused_result_ int event_text(const char *name, uint64_t usec, Json *data, char **ret);
/* What the event `exit` says. */
_warn_unused_result_ int event_exit_data(const RunResult *result, const char *cause, Json **ret);
/* Writes or queues one line {...,"event":name,"time":...}; takes data (an object or NULL). Never waits. */
void event_emit(const EventSink *sink, const char *name, Json *data);

/* --- timing --------------------------------------------------------------------------------------------------------- */

#define RUN_PHASES_MAX 32u /* a launch has a dozen, and may be tried three times */

typedef struct RunMark {
        const char *phase; /* borrowed literal */
        uint64_t usec;     /* from the beginning to this phase's end */
} RunMark;

/* When each phase of a launch ended, for the event `started`. Phases that go on side by side end in any order. */
typedef struct RunTiming {
        uint64_t begin;
        RunMark marks[RUN_PHASES_MAX];
        size_t n_marks;
} RunTiming;

void run_timing_begin(RunTiming *t);
void run_timing_mark(RunTiming *t, const char *phase);
/* {"phases": [{"phase", "usec"}, ...]} */
_warn_unused_result_ int run_timing_json(const RunTiming *t, Json **ret);

/* --- the result ----------------------------------------------------------------------------------------------------- */

typedef enum ExitSource {
        EXIT_SOURCE_LAUNCHER, /* refusal or failure before the guest ran, or of the launcher itself */
        EXIT_SOURCE_GUEST,
        EXIT_SOURCE_QEMU,
        EXIT_SOURCE_TIMEOUT,
        EXIT_SOURCE_SIGNAL,
        EXIT_SOURCE_CONTROL, /* Terminate of the control socket */
        _EXIT_SOURCE_MAX,
} ExitSource;

const char *exit_source_to_string(ExitSource s);

typedef struct RunFacts {
        bool failed;    /* the launcher or its set-up failed; `cause` says how */
        bool lost;      /* something of the guest's output could not be read or written */
        bool unread;    /* somebody did not read it in time */
        bool finishing; /* cont was sent: SEV ends its launch there, and only then an SNP guest is measured */
        bool running;   /* cont was answered */
        bool unfinished;  /* the secure processor or the kernel refused the end of the launch */
        bool run;         /* --run: the unit must have said EXIT_STATUS */
        int guest_status; /* EXIT_STATUS from the guest, or -1 */
        bool timed_out;
        int signal;          /* that made us end QEMU, or 0 */
        bool terminated;     /* by the control socket */
        bool guest_shutdown; /* clean power-off */
        bool guest_reset;    /* reboot or triple fault */
        bool panicked;
        bool panic_text;    /* of a panic on the console, which proves none */
        bool cpu_failed;    /* KVM could not run the guest any further */
        bool refused;       /* the firmware would not boot what was given */
        bool little_memory; /* the initrd needs more than --ram=, as the notice at the start says */
        bool qemu_exited;   /* by itself, without any of the above */
        int qemu_status;    /* exit status of QEMU, or -signal */
} RunFacts;

struct RunResult {
        ExitSource source;
        int status;
        const char *cause; /* borrowed literal: one sentence, or NULL for a clean end */
        char *detail; /* owned: the launcher's own sentence, or what QEMU's last words mean; NULL: none */
};

void run_result_done(RunResult *r);

/* PURE: did QEMU end while SEV finished its launch, at `cont`? */
bool run_launch_failed(const RunFacts *facts);
/* PURE: the documented exit status of what happened. */
RunResult run_result(const RunFacts *facts);

/* --- the initrd ----------------------------------------------------------------------------------------------------- */

#define SCAN_NO_SHELL "--run: the initrd has no /bin/sh to run the command with"

/* For --print=, what a launch finds out in a child: can PID 1 in the initrd import the credentials? 0 if so, or if it has none to import;
 * else -errno with an owned sentence. *ret_notice is owned, and set if the guest may have too little memory. */
_warn_unused_result_ int run_scan_initrd(
                const LaunchInputs *in, const VmConfig *config, char **ret_sentence, char **ret_notice);
/* PURE: no systemd is in the initrd (-ENOEXEC), but --credential-transport=initrd says that something else there reads them. */
bool run_credentials_stay(const VmConfig *config, int result);
#define SCAN_STAY                                                                                           \
        "--credential-transport=initrd leaves them in /.extra/system_credentials for a program there"

/* --- the launch ----------------------------------------------------------------------------------------------------- */

typedef struct RunRequest {
        const VmConfig *config;
        const HostCaps *caps;
        const LaunchChoices *choices;
        const struct Login *login;
        LaunchInputs *inputs; /* what is still to be copied is copied while QEMU starts */
        const EventSink *events;
        const QemuUser *user;
        bool may_fall_back; /* on an initrd that cannot import, end QEMU and return -ESTALE: by SMBIOS, or with the adapter */
        bool measure; /* ask the measure program while QEMU initialises */
        /* Hooks; each may be NULL, and a negative return refuses the launch. Called with the answer before `cont`. */
        int (*measured)(MeasureAnswer *answer, void *userdata, char **reterr);
        /* Called before QEMU is started: may add to the inputs, and starts what the launcher cannot start once it is confined. */
        int (*before_spawn)(RunHook *h, void *userdata, char **reterr);
        /* Called when nothing but `cont` is left to do; the launcher is confined already. */
        int (*before_cont)(RunHook *h, void *userdata, char **reterr);
        void *userdata;
        struct Output *log; /* weak: standard error */
        /* Weak: when --timeout= is over (CLOCK_MONOTONIC, microseconds), 0: never. Set to the past once nobody is to be waited for. */
        uint64_t *deadline;
        RunTiming *timing; /* weak */
        unsigned *lacks;   /* weak: RUN_LACKS_* are added */
} RunRequest;

/* What this QEMU does not know. */
#define RUN_LACKS_MON       1u /* -mon: start again with the monitor as an object (caps->monitor_object) */
#define RUN_LACKS_PRECONFIG 2u /* -preconfig: start again without it (inputs->preconfig) */

/* Runs the guest to its end. 0 with the result; -ESTALE: nothing ran, start again with another transport; -ENOPROTOOPT: nothing ran,
 * start again without what *request->lacks says; other -errno only when not even the loop could be set up. */
_warn_unused_result_ int run_vm(const RunRequest *request, RunResult *ret, char **reterr);
