/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Is there a PID 1 in the initrd that imports credentials? A child looks while QEMU starts; its memory ends with it. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "initrd-scan.h"
#include "run-session.h"

#define ENDS_USEC      1000000u
#define SYSTEMD_WANTED 262u /* the first that imports /.extra/system_credentials */

typedef struct ScanAnswer {
        int result;
        bool has_sh;
        char sentence[512];
} ScanAnswer;

typedef struct ScanJob {
        int initrd_fd, answer_fd;
        uint64_t size; /* our own archive included: junk in front of it would lose it */
} ScanJob;

static void judge(const InitrdInfo *info, ScanAnswer *a) {
        a->has_sh = info->has_sh;
        if (!info->initrd_release) {
                a->result = -ENOEXEC;
                (void) snprintf(a->sentence, sizeof(a->sentence),
                                "the initrd has no etc/initrd-release: its PID 1 is not systemd and imports "
                                "no credentials");
        } else if (info->systemd_version < SYSTEMD_WANTED) {
                a->result = -ENOEXEC;
                if (info->systemd_version == 0)
                        (void) snprintf(a->sentence, sizeof(a->sentence),
                                        "the initrd has no systemd, so nothing there imports credentials");
                else
                        (void) snprintf(a->sentence, sizeof(a->sentence),
                                        "the initrd has systemd %u, which does not know credentials in the "
                                        "initrd (systemd %u does)",
                                        info->systemd_version, SYSTEMD_WANTED);
        }
}

static void scan(int fd, uint64_t size, ScanAnswer *a) {
        _cleanup_(initrd_info_done) InitrdInfo info = {};
        _cleanup_free_ char *error = NULL;

        a->result = initrd_scan(fd, 0, size, INITRD_SCAN_QUICK, &info, &error);
        if (a->result < 0)
                (void) snprintf(a->sentence, sizeof(a->sentence), "cannot read the initrd: %s",
                                error ?: strerror(-a->result));
        else
                judge(&info, a);
}

static int scan_main(void *userdata) {
        const ScanJob *job = userdata;
        ScanAnswer a = {};

        /* Out of reach of the terminal's ^C, as our other children are. */
        (void) setpgid(0, 0);
        scan(job->initrd_fd, job->size, &a);
        return fd_write_all(job->answer_fd, &a, sizeof(a)) < 0;
}

int run_scan_initrd(const LaunchInputs *in, bool run, char **ret_sentence) {
        ScanAnswer a = {};

        if (!in->scan)
                return 0;
        scan(LAUNCH_FD_INITRD, plan_input_size(&in->plan.initrd), &a);
        if (a.result == 0 && run && !a.has_sh) {
                a.result = -ENOEXEC;
                (void) snprintf(a.sentence, sizeof(a.sentence), SCAN_NO_SHELL);
        }
        if (a.result == 0)
                return 0;
        *ret_sentence = strdup(a.sentence);
        return *ret_sentence ? a.result : -ENOMEM;
}

static int on_answer(_unused_ LoopSource *source, int fd, _unused_ uint32_t events, void *userdata) {
        Session *s = userdata;
        ScanAnswer a = {};

        /* A pipe takes that little in one piece. */
        if (fd_read_exact(fd, &a, sizeof(a)) < 0) {
                a.result = -EIO;
                (void) snprintf(a.sentence, sizeof(a.sentence), "the scan of the initrd failed");
        }
        a.sentence[sizeof(a.sentence) - 1] = 0;
        s->scan.result = a.result;
        s->scan.has_sh = a.has_sh;
        s->scan.sentence = a.result < 0 ? strdup(a.sentence) : NULL;
        s->scan.done = true;
        s->scan.source = loop_source_unref(s->scan.source);
        /* It ends now: no zombie while the guest runs. */
        (void) !process_wait(&s->scan.process, ENDS_USEC, NULL);
        return 0;
}

/* Up to the last part, which is our archive: a scan is asked for where there is one behind the files given. */
int session_start_scan(Session *s) {
        ScanChild *scan = &s->scan;
        int p[2], r;

        scan->done = !s->request->inputs->scan;
        if (scan->done)
                return 0;
        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        scan->fd = p[0];

        ScanJob job = {
                .initrd_fd = LAUNCH_FD_INITRD,
                .answer_fd = p[1],
                .size = plan_input_size(&s->request->inputs->plan.initrd),
        };
        r = process_fork(scan_main, &job, &scan->process);
        (void) fd_close(p[1]);
        if (r < 0)
                return r;
        return loop_add_io(s->loop, scan->fd, EPOLLIN, on_answer, s, &scan->source);
}

void session_end_scan(Session *s) {
        s->scan.source = loop_source_unref(s->scan.source);
        s->scan.fd = fd_close(s->scan.fd);
        if (s->scan.process.pid > 0)
                (void) process_signal(&s->scan.process, SIGKILL);
        process_done(&s->scan.process);
        free(s->scan.sentence);
        s->scan.sentence = NULL;
}
