/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Is there a PID 1 in the initrd that imports credentials? A child looks while QEMU starts; its memory ends with it. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "error.h"
#include "fd.h"
#include "initrd-scan.h"
#include "log.h"
#include "resolve.h"
#include "run-scan.h"
#include "run-session.h"

#define ENDS_USEC 1000000u

/* Offset of init_size, what the kernel needs before it unpacks the initrd: Documentation/arch/x86/boot.rst, 1.10. */
#define KERNEL_INIT_SIZE 0x260u

/* What UEFI holds until the kernel runs, a second copy of the files included: measured with OVMF's AmdSev build and an initrd of 16 MiB, which
 * boots with 264 MiB and not with 240, and without firmware with 192. */
#define FIRMWARE_MEMORY (UINT64_C(72) << 20)

typedef struct ScanJob {
        int answer_fd;
        const LaunchInputs *in;
        uint64_t ram;
} ScanJob;

/* 0 if the kernel does not say it. */
static uint64_t kernel_size(const LaunchPlan *plan) {
        uint8_t size[4];

        if (plan->kernel.n_parts == 0 || plan->kernel.parts[0].length < KERNEL_INIT_SIZE + sizeof(size) ||
                        fd_pread_exact(plan->kernel.parts[0].fd, size, sizeof(size),
                                        plan->kernel.parts[0].offset + KERNEL_INIT_SIZE) < 0)
                return 0;
        return le32_read(size);
}

/* The root file system is a tmpfs, which takes half of what kernel and initrd leave (mm/shmem.c): with less, "Initramfs unpacking
 * failed: write error". With root= it may be a ramfs, so that this is not refused. */
static void judge_memory(const LaunchInputs *in, uint64_t ram, const ScanFacts *facts, ScanAnswer *a) {
        const PlanInput *initrd = &in->plan.initrd;
        uint64_t content = facts->content, needed = kernel_size(&in->plan) + plan_input_size(initrd);

        if (in->scan)
                content += initrd->parts[initrd->n_parts - 1].length;
        needed += 2 * content;
        if (in->plan.firmware.present)
                needed += FIRMWARE_MEMORY;
        if (needed > ram)
                (void) snprintf(a->notice, sizeof(a->notice),
                                "the initrd unpacks to %ju MiB, and the kernel needs twice that, besides its own memory: "
                                "--ram=%juM is too little, at least %ju MiB are needed",
                                (uintmax_t) (content >> 20), (uintmax_t) (ram >> 20),
                                (uintmax_t) ((needed + (1u << 20) - 1) >> 20));
}

static void judge_systemd(const ScanFacts *facts, ScanAnswer *a) {
        a->has_sh = facts->has_sh;
        if (!resolve_initrd_imports(
                            facts->initrd_release, facts->systemd_version, a->sentence, sizeof(a->sentence)))
                a->result = -ENOEXEC;
}

void run_scan_judge(const LaunchInputs *in, uint64_t ram, const ScanFacts *facts, ScanAnswer *a) {
        if (in->scan)
                judge_systemd(facts, a);
        judge_memory(in, ram, facts, a);
}

/* The archive is the last part. Without compression a scan takes no time, unless the host is busy. */
static ScanFacts facts_of(const LaunchInputs *in, const InitrdInfo *info) {
        ScanFacts facts = {
                .initrd_release = info->initrd_release,
                .has_sh = info->has_sh,
                .systemd_version = info->systemd_version,
        };
        bool compressed = false;

        for (size_t i = 0; i + (in->scan ? 1 : 0) < info->n_parts; i++) {
                facts.content += info->parts[i].content;
                compressed = compressed || info->parts[i].compression != INITRD_COMPRESSION_NONE;
        }
        facts.lasting = in->scan && compressed && !info->has_obstacle;
        return facts;
}

/* Up to the last part, which is our archive: junk in front of it would lose it. */
static void scan(const LaunchInputs *in, uint64_t ram, ScanAnswer *a) {
        _cleanup_(initrd_info_done) InitrdInfo info = {};
        _cleanup_free_ char *error = NULL;

        a->result = initrd_scan(LAUNCH_FD_INITRD, 0, plan_input_size(&in->plan.initrd), &info, &error);
        if (a->result >= 0) {
                a->facts = facts_of(in, &info);
                run_scan_judge(in, ram, &a->facts, a);
        } else if (!in->scan)
                /* Whether it can be read does not matter without credentials: it may be for another kernel. */
                a->result = 0;
        else
                (void) snprintf(a->sentence, sizeof(a->sentence), "cannot read the initrd: %s",
                                error ?: strerror(-a->result));
}

static int scan_main(void *userdata) {
        const ScanJob *job = userdata;
        ScanAnswer a = {};

        /* Out of reach of the terminal's ^C, as our other children are. */
        (void) setpgid(0, 0);
        scan(job->in, job->ram, &a);
        return fd_write_all(job->answer_fd, &a, sizeof(a)) < 0;
}

bool run_credentials_stay(const VmConfig *config, int result) {
        return result == -ENOEXEC && config->credential_transport == TRANSPORT_INITRD && !config->run;
}

int run_scan_initrd(const LaunchInputs *in, const VmConfig *config, char **ret_sentence, char **ret_notice) {
        ScanAnswer a = {};

        if (!in->scan && !in->scan_memory)
                return 0;
        scan(in, config->ram, &a);
        if (a.notice[0]) {
                *ret_notice = strdup(a.notice);
                if (!*ret_notice)
                        return -ENOMEM;
        }
        if (a.result == 0 && in->scan && config->run && !a.has_sh) {
                a.result = -ENOEXEC;
                (void) snprintf(a.sentence, sizeof(a.sentence), SCAN_NO_SHELL);
        }
        if (a.result == 0)
                return 0;
        *ret_sentence = strdup(a.sentence);
        return *ret_sentence ? a.result : -ENOMEM;
}

static void take(Session *s, ScanAnswer *a, const char *phase) {
        a->sentence[sizeof(a->sentence) - 1] = 0;
        a->notice[sizeof(a->notice) - 1] = 0;
        s->scan.result = a->result;
        s->scan.has_sh = a->has_sh;
        s->scan.sentence = a->result < 0 ? strdup(a->sentence) : NULL;
        s->scan.facts = a->facts;
        s->facts.little_memory = a->notice[0];
        if (a->notice[0])
                log_notice("%s", a->notice);
        s->scan.done = true;
        run_timing_mark(s->request->timing, phase);
}

static void keep(const ScanChild *scan) {
        if (scan->done && scan->key && scan->facts.lasting && scan->took >= LONG_SCAN_USEC)
                run_known_store(scan->key, &scan->facts);
}

static int on_answer(_unused_ LoopSource *source, int fd, _unused_ uint32_t events, void *userdata) {
        Session *s = userdata;
        ScanAnswer a = {};

        /* A pipe takes that little in one piece. */
        if (fd_read_exact(fd, &a, sizeof(a)) < 0) {
                a = (ScanAnswer) { .result = -EIO };
                (void) snprintf(a.sentence, sizeof(a.sentence), "the scan of the initrd failed");
        }
        s->scan.source = loop_source_unref(s->scan.source);
        s->scan.took = monotonic_usec() - s->scan.begun;
        take(s, &a, "scan");
        keep(&s->scan);
        /* It ends now: no zombie while the guest runs. */
        (void) !process_wait(&s->scan.process, ENDS_USEC, NULL);
        return 0;
}

static int start_child(Session *s) {
        ScanChild *scan = &s->scan;
        int p[2], r;

        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        scan->fd = p[0];
        scan->begun = monotonic_usec();

        ScanJob job = {
                .answer_fd = p[1],
                .in = s->request->inputs,
                .ram = s->request->config->ram,
        };
        r = process_fork(scan_main, &job, &scan->process);
        (void) fd_close(p[1]);
        if (r < 0)
                return r;
        return loop_add_io(s->loop, scan->fd, EPOLLIN, on_answer, s, &scan->source);
}

/* A scan is needed where there are credentials behind the files given, or little memory. What is known of these bytes already is
 * worth waiting for their digest. */
int session_start_scan(Session *s) {
        const PlanInput *initrd = &s->request->inputs->plan.initrd;
        ScanChild *scan = &s->scan;

        scan->done = !s->request->inputs->scan && !s->request->inputs->scan_memory;
        if (scan->done)
                return 0;
        scan->for_digest = s->request->inputs->scan && run_known_size(initrd->parts[0].length);
        return scan->for_digest ? 0 : start_child(s);
}

int session_digest_arrived(Session *s, const Json *answer) {
        ScanChild *scan = &s->scan;
        ScanAnswer a = {};
        int r;

        r = answer && s->request->inputs->scan ? run_known_key(answer, &scan->key) : 0;
        if (r < 0)
                return r;
        if (!scan->for_digest) {
                keep(scan);
                return 0;
        }
        scan->for_digest = false;
        if (!scan->key || !run_known_load(scan->key, &a.facts))
                return start_child(s);
        run_scan_judge(s->request->inputs, s->request->config->ram, &a.facts, &a);
        take(s, &a, "known");
        return 0;
}

void session_end_scan(Session *s) {
        s->scan.source = loop_source_unref(s->scan.source);
        s->scan.fd = fd_close(s->scan.fd);
        if (s->scan.process.pid > 0)
                (void) process_signal(&s->scan.process, SIGKILL);
        process_done(&s->scan.process);
        free(s->scan.sentence);
        s->scan.sentence = NULL;
        free(s->scan.key);
        s->scan.key = NULL;
}
