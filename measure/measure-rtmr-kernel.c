/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is started: a kernel, whose EFI stub extends RTMR2 (Linux drivers/firmware/efi/libstub), or a unified kernel image
 * (measure-rtmr-stub.c). */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "fd.h"
#include "measure-input.h"
#include "measure-pe.h"
#include "measure-rtmr-run.h"
#include "strutil.h"

#define KERNEL_SIZE_MAX (UINT64_C(512) << 20) /* of a unified kernel image: with its initrd */
#define CMDLINE_MAX     (UINT64_C(1) << 20)
#define SETUP_MAGIC     0x202u

static int input_bytes(const RtmrRun *run, const PlanInput *in, const char *name, uint64_t max,
                uint8_t **ret, size_t *ret_size) {
        uint64_t size = plan_input_size(in), at = 0;
        _cleanup_free_ uint8_t *bytes = NULL;

        if (size > max)
                return error_set(run->reterr, -EFBIG, "%s: %" PRIu64 " bytes are more than %" PRIu64, name,
                                size, max);
        bytes = calloc(1, size + 1);
        if (!bytes)
                return -ENOMEM;
        FOREACH_ARRAY(p, in->parts, in->n_parts) {
                int r = p->fd < 0 ? 0 : fd_pread_exact(p->fd, bytes + at, p->length, p->offset);

                if (r < 0)
                        return error_set(run->reterr, r, "%s: cannot read '%s': %s", name, p->label,
                                        strerror(-r));
                at += p->length;
        }
        *ret = TAKE_PTR(bytes);
        *ret_size = (size_t) size;
        return 0;
}

void rtmr_run_done(RtmrRun *run) {
        free(run->kernel);
        free(run->words);
        run->kernel = NULL;
        run->words = NULL;
}

const char *rtmr_kernel_name(const RtmrRun *run) {
        return run->boot->plan->kernel.n_parts > 0 ? run->boot->plan->kernel.parts[0].label : "";
}

/* Linux Documentation/arch/x86/boot.rst. What other applications do is unknown. */
static int check_linux(const RtmrRun *run) {
        if (run->boot->disk)
                return error_set(run->reterr, -EOPNOTSUPP,
                                "'%s' is not a unified kernel image: what another boot loader on a disk extends into RTMR0 to RTMR2 is not predicted",
                                rtmr_kernel_name(run));
        if (run->kernel_size >= SETUP_MAGIC + 4 && memcmp(run->kernel + SETUP_MAGIC, "HdrS", 4) == 0)
                return 0;
        return error_set(run->reterr, -EOPNOTSUPP,
                        "kernel '%s' has no setup header of Linux, and is not a unified kernel image: what another UEFI application extends into RTMR0 to RTMR2 is not predicted; give a kernel, or predict MRTD alone",
                        rtmr_kernel_name(run));
}

int rtmr_read_kernel(RtmrRun *run) {
        const LaunchPlan *plan = run->boot->plan;
        uint8_t digest[SHA384_SIZE];
        int r;

        if (run->boot->disk && (run->boot->edk2.release != EDK2_DISK || !run->boot->edk2.secure_boot))
                return error_set(run->reterr, -EOPNOTSUPP,
                                "a boot from a disk is predicted with --edk2=%u-inteltdx only: with other builds of edk2, systemd-stub may give the kernel an initrd with random content",
                                (unsigned) EDK2_DISK);
        r = input_bytes(run, &plan->kernel, "kernel", KERNEL_SIZE_MAX, &run->kernel, &run->kernel_size);

        if (r >= 0)
                r = input_bytes(run, &plan->cmdline, "command line", CMDLINE_MAX, &run->words,
                                &run->words_size);
        if (r < 0)
                return r;
        /* An image that the firmware cannot start has no registers at all. */
        r = pe_digest(run->kernel, run->kernel_size, digest, run->reterr);
        if (r >= 0)
                r = stub_image_parse(run->kernel, run->kernel_size, &run->stub, run->reterr);
        if (r < 0)
                return error_prefix(run->reterr, r, "kernel '%s'", rtmr_kernel_name(run));
        run->has_stub = r > 0;
        r = run->has_stub ? rtmr_check_stub(run) : check_linux(run);
        return r < 0 ? r : 0;
}

int rtmr_add_application(RtmrRun *run) {
        uint8_t digest[SHA384_SIZE];
        int r;

        if (!run->boot->disk && run->boot->edk2.release < EDK2_PLAIN_KERNEL)
                return error_set(run->reterr, -EOPNOTSUPP,
                                "edk2 before %u measures the kernel as QEMU patched it, unless QEMU is 11.0 or later: this is not predicted",
                                (unsigned) EDK2_PLAIN_KERNEL);
        r = pe_digest(run->kernel, run->kernel_size, digest, run->reterr);
        return r < 0 ? r
                     : rtmr_add_digest(run, 1, (uint32_t) EV_EFI_BOOT_SERVICES_APPLICATION,
                                       "kernel or boot loader (PE)", digest);
}

/* edk2 names the initrd to the kernel by a word, and makes each byte one UTF-16 unit. */
static int add_load_options(RtmrRun *run) {
        bool first = run->boot->edk2.release >= EDK2_INITRD_FIRST, initrd = run->boot->plan->initrd.present;
        const char *words = (const char *) run->words;
        _cleanup_free_ char *text = NULL;
        int n;

        run->events->imports = !rtmr_has_shield(words);
        n = asprintf(&text, "%s%s%s", initrd && first ? "initrd=initrd " : "", words,
                        initrd && !first ? " initrd=initrd" : "");
        if (n < 0) {
                text = NULL;
                return -ENOMEM;
        }
        return n == 0 ? 0 : rtmr_add_words(run, EV_EVENT_TAG, "kernel command line", text);
}

static int add_initrd(RtmrRun *run) {
        _cleanup_hash_ Hash *hash = NULL;
        uint8_t digest[SHA384_SIZE];
        int r;

        if (!run->boot->plan->initrd.present)
                return 0;
        r = hash_new(HASH_SHA384, &hash);
        if (r >= 0)
                r = input_feed(&run->boot->plan->initrd, 0, "initrd", hash, run->reterr);
        if (r >= 0)
                r = hash_final(hash, digest);
        return r < 0 ? r : rtmr_add_digest(run, 2, EV_EVENT_TAG, "initrd", digest);
}

int rtmr_add_payload(RtmrRun *run) {
        int r;

        if (run->has_stub)
                return rtmr_add_stub_payload(run);
        r = add_load_options(run);
        return r < 0 ? r : add_initrd(run);
}
