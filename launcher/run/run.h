/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* IMPURE: looks at the host, starts QEMU and its companions, drives QMP, and waits for the end.
 *
 * Phases, each with typed input and output: parse (VmConfig) -> probe (HostCaps) -> resolve (LaunchInputs) -> ask measure
 * (MeasureAnswer) -> compose (QemuCommand) -> spawn -> set up by QMP -> cont -> wait -> result (exit status). */

#include <sys/types.h>

#include "launch.h"
#include "run-confine.h"
#include "run-hook.h"
#include "run-measure.h"

/* --- the host ------------------------------------------------------------------------------------------------------- */

/* Looks at CPU, /dev/kvm and PATH; never fails for what is missing. */
_warn_unused_result_ int run_probe_host(const VmConfig *config, HostCaps *ret);
/* HostCaps from --host-caps=FILE. */
_warn_unused_result_ int run_read_host_caps(const char *path, HostCaps *ret, char **reterr);
/* Whether KVM, console, TPM... are used. A sentence for the user goes to *ret_notice (owned) where something was left out. */
_warn_unused_result_ int run_choose(const VmConfig *config, const HostCaps *caps, LaunchChoices *ret,
                char **ret_notice, char **reterr);

/* --- events --------------------------------------------------------------------------------------------------------- */

/* Where JSON events go: --status-fd= or --json=short. */
typedef struct EventSink {
        int fd; /* owned unless 1; -EBADF: nowhere */
} EventSink;

_warn_unused_result_ int event_sink_open(const VmConfig *config, EventSink *ret, char **reterr);
void event_sink_done(EventSink *sink);
/* Writes one line {"event":name,...}; takes data (an object or NULL). A reader that went away is no failure. */
void event_emit(const EventSink *sink, const char *name, Json *data);

/* --- the result ----------------------------------------------------------------------------------------------------- */

typedef enum ExitSource {
        EXIT_SOURCE_LAUNCHER, /* refusal or failure before the guest ran, or of the launcher itself */
        EXIT_SOURCE_GUEST,
        EXIT_SOURCE_QEMU,
        EXIT_SOURCE_TIMEOUT,
        EXIT_SOURCE_SIGNAL,
        _EXIT_SOURCE_MAX,
} ExitSource;

const char *exit_source_to_string(ExitSource s);

typedef struct RunFacts {
        bool failed;    /* the launcher or its set-up failed; `cause` says how */
        bool finishing; /* cont was sent: SEV ends its launch there, and only then an SNP guest is measured */
        bool running;   /* cont was answered */
        bool unfinished;  /* the secure processor or the kernel refused the end of the launch */
        bool run;         /* --run: the unit must have said EXIT_STATUS */
        int guest_status; /* EXIT_STATUS from the guest, or -1 */
        bool timed_out;
        int signal;          /* that made us end QEMU, or 0 */
        bool guest_shutdown; /* clean power-off */
        bool guest_reset;    /* reboot or triple fault */
        bool panicked;
        bool cpu_failed;  /* KVM could not run the guest any further */
        bool refused;     /* the firmware would not boot what was given */
        bool qemu_exited; /* by itself, without any of the above */
        int qemu_status;  /* exit status of QEMU, or -signal */
} RunFacts;

typedef struct RunResult {
        ExitSource source;
        int status;
        const char *cause; /* borrowed literal: one sentence, or NULL for a clean end */
        char *detail; /* owned: the launcher's own sentence, or what QEMU's last words mean; NULL: none */
} RunResult;

void run_result_done(RunResult *r);

/* PURE: did QEMU end while SEV finished its launch, at `cont`? */
bool run_launch_failed(const RunFacts *facts);
/* PURE: the documented exit status of what happened. */
RunResult run_result(const RunFacts *facts);

/* --- the initrd ----------------------------------------------------------------------------------------------------- */

#define SCAN_NO_SHELL "--run: the initrd has no /bin/sh to run the command with"

/* For --print=, what a launch finds out in a child: can PID 1 in the initrd import the credentials? 0 if so, or if it has none to import;
 * else -errno with an owned sentence. */
_warn_unused_result_ int run_scan_initrd(const LaunchInputs *in, bool run, char **ret_sentence);

/* --- the launch ----------------------------------------------------------------------------------------------------- */

typedef struct RunRequest {
        const VmConfig *config;
        const HostCaps *caps;
        const LaunchChoices *choices;
        const LaunchInputs *inputs;
        const EventSink *events;
        const QemuUser *user;
        bool may_fall_back; /* on an initrd that cannot import, end QEMU and return -ESTALE */
        bool measure;       /* ask the measure program while QEMU initialises */
        /* Hooks; each may be NULL, and a negative return refuses the launch. Called with the answer before `cont`. */
        int (*measured)(MeasureAnswer *answer, void *userdata, char **reterr);
        /* Called before QEMU is started: may add to the inputs, and starts what the launcher cannot start once it is confined. */
        int (*before_spawn)(RunHook *h, void *userdata, char **reterr);
        /* Called when nothing but `cont` is left to do; the launcher is confined already. */
        int (*before_cont)(RunHook *h, void *userdata, char **reterr);
        void *userdata;
} RunRequest;

/* Runs the guest to its end. 0 with the result; -ESTALE: nothing ran, start again with another transport; -ENOPROTOOPT: nothing ran,
 * start again with the monitor as an object (caps->monitor_object); other -errno only
 * when not even the loop could be set up. */
_warn_unused_result_ int run_vm(const RunRequest *request, RunResult *ret, char **reterr);
