/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From QEMU's greeting to `cont`: the machine is built once its files are there, then come disks, the verdict on the initrd, the digest,
 * and our own confinement. */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "log.h"
#include "progress.h"
#include "qmp-commands.h"
#include "resolve.h"
#include "run-session.h"
#include "run-show.h"

#define GREETING_USEC (60 * UINT64_C(1000000))  /* QEMU may be busy with a large --ram= before it answers */
#define MACHINE_USEC  (60 * UINT64_C(1000000))  /* hashes of kernel and initrd included */
#define CONT_USEC     (120 * UINT64_C(1000000)) /* SNP measures every page now */

/* Before `cont`: is there somebody in the guest who takes the credentials? -ESTALE: not there, try another way. */
static int check_initrd(Session *s, char **reterr) {
        const RunRequest *q = s->request;

        /* What is looked for without credentials is a notice, for which no guest waits. */
        if (!q->inputs->scan)
                return 0;
        progress_step("reading the initrd");
        while (!s->scan.done && !session_interrupted(s) && !s->qemu_gone) {
                int r = loop_once(s->loop, UINT64_MAX);

                if (r < 0)
                        return r;
        }
        if (!s->scan.done)
                return -ECANCELED;
        if (s->scan.result == 0) {
                if (!q->choices->run || s->scan.has_sh)
                        return 0;
                return error_set(reterr, -ENOEXEC, SCAN_NO_SHELL);
        }
        if (run_credentials_stay(q->config, s->scan.result)) {
                log_notice("%s; " SCAN_STAY, s->scan.sentence);
                return 0;
        }
        if (q->choices->run && s->scan.result == -ENOEXEC && !s->scan.has_sh)
                return error_set(reterr, -ENOEXEC, SCAN_NO_SHELL);
        if (q->may_fall_back && (s->scan.result == -ENOEXEC || !resolve_adapter_allowed(q->config))) {
                log_notice("%s; %s", s->scan.sentence,
                                resolve_adapter_allowed(q->config)
                                                ? ADAPTER_NOTICE
                                                : "passing them as SMBIOS strings instead");
                return -ESTALE;
        }
        return error_set(reterr, s->scan.result, "%s",
                        s->scan.sentence ?: "the initrd cannot import credentials");
}

int session_prepare_filter(Session *s, char **reterr) {
        int r = run_confine_prepare(&s->filter);

        return r < 0 ? error_set(reterr, r, "cannot build the filter of system calls: %s", strerror(-r)) : 0;
}

static int on_show(LoopSource *source, _unused_ uint64_t usec, _unused_ void *userdata) {
        show_now();
        return show_is_open() ? loop_source_rearm(source, SHOW_USEC) : 0;
}

/* The thread that shows it until then ends here. Without it the launch goes on. */
static void show_progress(Session *s) {
        if (show_is_open() && loop_add_timer(s->loop, SHOW_USEC, on_show, s, &s->showing) < 0)
                show_close();
}

/* Nothing is opened or started any more. */
static int confine(Session *s, char **reterr) {
        int r;

        progress_step("confining the launcher");
        show_progress(s);
        r = run_confine_self(s->request->user, s->filter, s->control_socket.folder_fd,
                        s->control_socket.parent_fd);
        if (r < 0 && r != -EOPNOTSUPP)
                return error_set(reterr, r, "cannot drop the launcher's privileges: %s", strerror(-r));
        run_timing_mark(s->request->timing, "confined");
        return 0;
}

static bool has_disks(const VmConfig *config) {
        return config->image || config->n_extra_drives > 0;
}

static int greeted(Session *s, char **reterr) {
        QmpVersion version;
        int r;

        progress_step("waiting for QEMU's monitor");
        r = qmp_wait_greeting(s->qmp, &s->version, GREETING_USEC, reterr);
        if (r >= 0 && qmp_client_version(s->qmp, &version) < 0)
                r = qmp_wait_end(s->qmp, &s->version, 0, NULL, reterr);
        if (r < 0)
                return r;
        run_timing_mark(s->request->timing, "greeting");
        if (version.major < 8)
                return error_set(reterr, -EOPNOTSUPP,
                                "QEMU %u.%u is too old: 8.0 or later is needed, 10.0 for --coco=",
                                version.major, version.minor);
        /* QEMU before 11.0 ends guests whose registers are encrypted, and says that their CPUs cannot be reset. */
        if (s->request->config->reset && version.major < 11 && vm_config_confidential(s->request->config) &&
                        !s->request->choices->simulated &&
                        coco_of(s->request->config->coco)->encrypted_registers)
                return error_set(reterr, -EOPNOTSUPP,
                                "--reboot=reset: QEMU %u.%u cannot reset this guest: 11.0 or later is needed",
                                version.major, version.minor);
        return 0;
}

/* The copies, and what is said of them before the guest runs. */
static int check_copies(Session *s, char **reterr) {
        int r;

        progress_step("copying the files of the launch");
        r = session_wait_fill(s, reterr);
        if (r >= 0)
                r = check_initrd(s, reterr);
        if (r >= 0)
                r = session_check_measure(s, reterr);
        run_timing_mark(s->request->timing, "verdicts");
        return r;
}

/* Built, with its disks. */
static int finish_machine(Session *s, char **reterr) {
        int r;

        progress_step("waiting for QEMU to build the machine");
        r = qmp_wait_end(s->qmp, &s->version, MACHINE_USEC, NULL, reterr);
        if (r >= 0 && s->machine.command)
                r = qmp_wait_end(s->qmp, &s->machine, MACHINE_USEC, NULL, reterr);
        run_timing_mark(s->request->timing, "machine");
        progress_step("adding the disks");
        return r < 0 ? r : session_add_disks(s, reterr);
}

/* What is left to do while the machine is being built is done, and what follows is queued behind it. Only disks, which have to be opened, and
 * hooks come in between. */
int session_set_up(Session *s, char **reterr) {
        const bool disks = has_disks(s->request->config), queue = !disks && !s->request->before_cont;
        int r = greeted(s, reterr);

        if (r >= 0)
                r = check_copies(s, reterr);
        if (r >= 0)
                r = session_wait_machine(s, reterr);
        if (r >= 0 && !disks)
                r = confine(s, reterr);
        if (r >= 0 && queue)
                r = qmp_wait_begin(s->qmp, "cont", NULL, &s->cont, reterr);
        if (r >= 0)
                r = finish_machine(s, reterr);
        if (r >= 0 && disks)
                r = confine(s, reterr);
        if (r >= 0 && s->request->before_cont) {
                progress_step("waiting for the guest owner");
                r = s->request->before_cont(s, s->request->userdata, reterr);
                run_timing_mark(s->request->timing, "owner");
        }
        if (r < 0)
                return r;
        s->facts.finishing = true;
        progress_step("waiting for QEMU to start the guest");
        if (!queue)
                r = qmp_wait_begin(s->qmp, "cont", NULL, &s->cont, reterr);
        if (r >= 0)
                r = qmp_wait_end(s->qmp, &s->cont, CONT_USEC, NULL, reterr);
        run_timing_mark(s->request->timing, "cont");
        progress_step("booting the guest");
        return r;
}
