/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run.h"

#include <stdlib.h>

#define STATUS_TIMEOUT 124
#define STATUS_FAILED  125
#define STATUS_RESET   126

static const char *const sources[] = {
        [EXIT_SOURCE_LAUNCHER] = "launcher",
        [EXIT_SOURCE_GUEST] = "guest",
        [EXIT_SOURCE_QEMU] = "qemu",
        [EXIT_SOURCE_TIMEOUT] = "timeout",
        [EXIT_SOURCE_SIGNAL] = "signal",
        [EXIT_SOURCE_CONTROL] = "control",
};
static_assert(ELEMENTSOF(sources) == _EXIT_SOURCE_MAX, "every source has a name");

const char *exit_source_to_string(ExitSource s) {
        return sources[s];
}

void run_result_done(RunResult *r) {
        free(r->detail);
        *r = (RunResult) {};
}

#define RESULT(source_, status_, cause_)                                                                    \
        ((RunResult) { .source = (source_), .status = (status_), .cause = (cause_) })

bool run_launch_failed(const RunFacts *f) {
        return f->finishing && f->qemu_exited && (f->unfinished || !f->running);
}

RunResult run_result(const RunFacts *f) {
        if (f->lost)
                return RESULT(EXIT_SOURCE_LAUNCHER, STATUS_FAILED, "output of the guest was lost");
        if (f->timed_out && f->unread)
                return RESULT(EXIT_SOURCE_TIMEOUT, STATUS_TIMEOUT,
                                "the guest's output was not read in the time of --timeout=");
        if (f->unread && f->signal > 0 && f->guest_status <= 0)
                return RESULT(EXIT_SOURCE_SIGNAL, 128 + f->signal,
                                "a signal ended the launch while output was still unread");
        /* The guest's own word counts most, even when it ends after a signal or by a reboot. */
        if (f->guest_status >= 0)
                return RESULT(EXIT_SOURCE_GUEST, f->guest_status, NULL);
        if (f->timed_out)
                return RESULT(EXIT_SOURCE_TIMEOUT, STATUS_TIMEOUT,
                                f->panic_text ? "the guest did not end within --timeout=; its console speaks of a kernel panic"
                                              : "the guest did not end within --timeout=");
        if (f->failed)
                return RESULT(EXIT_SOURCE_LAUNCHER, STATUS_FAILED, NULL);
        /* What follows from too little memory looks like something else: the firmware cannot load the files, the kernel loses some. */
        if (f->little_memory && f->refused)
                return RESULT(EXIT_SOURCE_GUEST, STATUS_FAILED,
                                "the firmware could not boot: the guest has too little memory; increase --ram=");
        if (f->refused)
                return RESULT(EXIT_SOURCE_GUEST, STATUS_FAILED,
                                "the firmware refused to boot: kernel, initrd or command line do not match the hashes in the table");
        if (run_launch_failed(f))
                return RESULT(EXIT_SOURCE_QEMU, STATUS_FAILED,
                                "the launch failed at its end; the guest has not run an instruction");
        if (f->cpu_failed)
                return RESULT(EXIT_SOURCE_QEMU, STATUS_FAILED,
                                "KVM cannot continue to run the guest; see the host's kernel log (dmesg | cvmspawn explain)");
        if (f->little_memory && (f->panicked || f->guest_reset))
                return RESULT(EXIT_SOURCE_GUEST, STATUS_RESET,
                                f->panicked ? "the guest's kernel panicked: it has too little memory; increase --ram="
                                            : "the guest reset: it has too little memory; increase --ram=");
        if (f->panicked)
                return RESULT(EXIT_SOURCE_GUEST, STATUS_RESET, "the guest's kernel panicked");
        if (f->guest_reset)
                return RESULT(EXIT_SOURCE_GUEST, STATUS_RESET, "the guest reset (reboot or triple fault)");
        if (f->guest_shutdown && !f->run)
                return RESULT(EXIT_SOURCE_GUEST, 0, NULL);
        if (f->signal > 0)
                return RESULT(EXIT_SOURCE_SIGNAL, 128 + f->signal, "a signal ended the guest");
        if (f->terminated && f->run)
                return RESULT(EXIT_SOURCE_CONTROL, STATUS_FAILED,
                                "the guest was terminated through its control socket before the --run= command reported an exit status");
        if (f->terminated)
                return RESULT(EXIT_SOURCE_CONTROL, 0, NULL);
        /* A power-off without an exit status of the command is a failure. */
        if (f->guest_shutdown)
                return RESULT(EXIT_SOURCE_GUEST, STATUS_FAILED,
                                "the guest powered off before the --run= command reported an exit status; does the initrd contain /bin/sh?");
        if (!f->running)
                return RESULT(EXIT_SOURCE_QEMU, STATUS_FAILED, "QEMU ended before the guest started");
        if (f->qemu_status < 0)
                return RESULT(EXIT_SOURCE_QEMU, STATUS_FAILED, "QEMU was killed");
        return RESULT(EXIT_SOURCE_QEMU, STATUS_FAILED, "QEMU ended while the guest was still running");
}
