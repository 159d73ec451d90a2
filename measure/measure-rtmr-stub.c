/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The events of systemd-stub in a unified kernel image (systemd-stub(7), "TPM PCR Notes"; UEFI 2.10, 38.4 maps PCR 1 to RTMR0, PCR 4 to RTMR1, PCR 11 to 13 to
 * RTMR2), and those of the kernel that it starts. Compared with real boots: tests/interop/test_td_uki.py. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "measure-pe.h"
#include "measure-rtmr-run.h"
#include "measure-smbios.h"
#include "strutil.h"

/* Of SMBIOS type 1: how the machine was switched on. */
#define WAKE_UP_TYPE 0x18u

static int refuse(const RtmrRun *run, const char *why) {
        return error_set(run->reterr, -EOPNOTSUPP, "kernel '%s' is a unified kernel image: %s",
                        run->boot->plan->kernel.parts[0].label, why);
}

/* --- the command line ------------------------------------------------------------------------------------------------- */

/* What was given beside the image replaces what is in it. */
static bool given(const RtmrRun *run) {
        return run->words_size > 0;
}

static int command_line(const RtmrRun *run, char **ret) {
        const StubPart *own = run->stub.parts + STUB_CMDLINE;
        int r;

        *ret = NULL;
        if (given(run)) {
                *ret = strdup((const char *) run->words);
                return *ret ? 0 : -ENOMEM;
        }
        if (!own->data)
                return 0;
        r = stub_command_line(own, ret, run->reterr);
        return r < 0 ? error_prefix(run->reterr, r, "kernel '%s'", run->boot->plan->kernel.parts[0].label)
                     : 0;
}

/* The stub looks at the text before it takes it for a command line. */
static int check_given(const RtmrRun *run) {
        const uint8_t *w = run->words;

        for (size_t i = 0; i < run->words_size; i++)
                if (w[i] < ' ' || w[i] >= 0x7f)
                        return refuse(run,
                                        "of a command line beside it (--append) only printable ASCII characters are predicted");
        if (w[0] == ' ' || w[0] == '@' || w[run->words_size - 1] == ' ')
                return refuse(run,
                                "a command line beside it (--append) that begins with a blank or '@', or ends with a blank, is not predicted");
        return 0;
}

static bool has_console(const char *text) {
        return startswith(text, "console=") || strstr(text, " console=");
}

int rtmr_check_stub(const RtmrRun *run) {
        _cleanup_free_ char *text = NULL;
        int r = 0;

        if (run->boot->plan->initrd.present)
                return refuse(run, "QEMU does not start one together with an initrd (--initrd)");
        if (run->boot->disk && given(run))
                return refuse(run, "from a disk it gets no command line but its own (--append)");
        if (given(run))
                r = check_given(run);
        if (r >= 0)
                r = command_line(run, &text);
        if (r < 0)
                return r;
        if (text && !*text)
                return refuse(run,
                                "its command line (section .cmdline) is blank, which is not predicted: leave the section out");
        if (!text && run->boot->disk)
                return refuse(run,
                                "from a disk it is predicted with a command line (section .cmdline) only");
        if (run->stub.kind->adds_console && !has_console(text ?: ""))
                return refuse(run,
                                "this stub adds a console to a command line that names none, by the devices of the guest: add console=ttyS0 or another one");
        return 0;
}

/* --- RTMR0 and RTMR1 -------------------------------------------------------------------------------------------------- */

static int add_string(RtmrRun *run, const uint8_t *p, size_t n) {
        _cleanup_free_ uint8_t *copy = malloc(n);
        char label[40];

        if (!copy)
                return -ENOMEM;
        memcpy(copy, p, n);
        if (p[0] == 1 && p[1] > WAKE_UP_TYPE)
                copy[WAKE_UP_TYPE] = 0;
        (void) snprintf(label, sizeof(label), "stub: SMBIOS type %u", p[0]);
        return rtmr_add(run, 0, EV_IPL, label, copy, n);
}

int rtmr_add_stub_strings(RtmrRun *run) {
        _cleanup_free_ char *tables = NULL;
        size_t size = 0, at = 0, n;
        const uint8_t *p;
        uint8_t last = 0;
        int r;

        if (!run->has_stub || !run->stub.kind->strings)
                return 0;
        r = rtmr_read_smbios(run, &tables, &size);
        if (r < 0)
                return r;
        while ((r = smbios_next((const uint8_t *) tables, size, &at, &p, &n, run->reterr)) > 0) {
                if (p[0] != 1 && p[0] != 2 && p[0] != 11)
                        continue;
                if (p[0] < last || (p[0] == last && p[0] != 11))
                        return refuse(run,
                                        "the order in which its stub measures these SMBIOS tables (--fw-cfg) is not known: types 1, 2 and 11 have another one than QEMU's own");
                last = p[0];
                r = add_string(run, p, n);
                if (r < 0)
                        return r;
        }
        return r;
}

int rtmr_add_stub_kernel(RtmrRun *run) {
        const StubPart *kernel = run->stub.parts + STUB_LINUX;
        uint8_t digest[SHA384_SIZE];
        int r;

        if (!run->has_stub || !run->stub.kind->loads_image)
                return 0;
        r = pe_digest(kernel->data, kernel->size, digest, run->reterr);
        if (r < 0)
                return error_prefix(run->reterr, r, "section .linux of '%s'",
                                run->boot->plan->kernel.parts[0].label);
        return rtmr_add_digest(
                        run, 1, (uint32_t) EV_EFI_BOOT_SERVICES_APPLICATION, "stub: kernel (PE)", digest);
}

/* --- RTMR2 ------------------------------------------------------------------------------------------------------------ */

static int add_sections(RtmrRun *run) {
        int r = 0;

        for (StubSection s = 0; r >= 0 && s < STUB_MEASURED_MAX; s++) {
                const char *name = stub_section_to_string(s);
                const StubPart *part = run->stub.parts + s;
                char label[40];

                if (!part->data)
                        continue;
                (void) snprintf(label, sizeof(label), "stub: name of section %s", name);
                r = rtmr_add(run, 2, EV_IPL, label, name, strlen(name) + 1);
                (void) snprintf(label, sizeof(label), "stub: section %s", name);
                if (r >= 0)
                        r = rtmr_add(run, 2, EV_IPL, label, part->data, part->size);
        }
        return r;
}

/* The stub's own writer of archives: systemd src/boot/cpio.c. */
static int feed_entry(Hash *hash, unsigned inode, unsigned mode, const char *name, const StubPart *data) {
        static const uint8_t zeros[4];
        size_t n_name = strlen(name) + 1, size = data ? data->size : 0;
        char head[111];
        int n, r;

        n = snprintf(head, sizeof(head), "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", inode,
                        mode, 0u, 0u, 1u, 0u, (unsigned) size, 0u, 0u, 0u, 0u, (unsigned) n_name, 0u);
        if (n != 110)
                return -EOVERFLOW;
        r = hash_update(hash, head, 110);
        if (r >= 0)
                r = hash_update(hash, name, n_name);
        if (r >= 0)
                r = hash_update(hash, zeros, -(110 + n_name) & 3);
        if (r >= 0 && size > 0)
                r = hash_update(hash, data->data, size);
        return r < 0 ? r : hash_update(hash, zeros, -size & 3);
}

#define ZERO8 "00000000"

static int feed_archive(Hash *hash, const char *name, const StubPart *data) {
        /* Upper case in its length of the name, unlike those of the others. */
        static const char end[] =
                        "070701" ZERO8 ZERO8 ZERO8 ZERO8 "00000001" ZERO8 ZERO8 ZERO8 ZERO8 ZERO8 ZERO8
                        "0000000B" ZERO8 "TRAILER!!!\0\0\0";
        char path[64];
        int r = feed_entry(hash, 1, 040555, ".extra", NULL);

        (void) snprintf(path, sizeof(path), ".extra/%s", name);
        if (r >= 0)
                r = feed_entry(hash, 2, 0100444, path, data);
        return r < 0 ? r : hash_update(hash, end, sizeof(end));
}

static int feed_part(Hash *hash, const StubPart *part) {
        static const uint8_t zeros[4];
        int r = part->data ? hash_update(hash, part->data, part->size) : 0;

        return r < 0 || !part->data ? r : hash_update(hash, zeros, -part->size & 3);
}

/* What the kernel gets as its initrd: microcode, the image's initrd, each padded to 4, and an archive for each of the files for programs in the initrd. */
static int add_initrd(RtmrRun *run) {
        static const struct {
                StubSection section;
                const char *file;
        } files[] = { { STUB_PCRSIG, "tpm2-pcr-signature.json" },
                { STUB_PCRPKEY, "tpm2-pcr-public-key.pem" }, { STUB_OSREL, "os-release" } };
        const StubPart *parts = run->stub.parts;
        bool any = parts[STUB_UCODE].data || parts[STUB_INITRD].data;
        _cleanup_hash_ Hash *hash = NULL;
        uint8_t digest[SHA384_SIZE];
        int r = hash_new(HASH_SHA384, &hash);

        if (r >= 0)
                r = feed_part(hash, parts + STUB_UCODE);
        if (r >= 0)
                r = feed_part(hash, parts + STUB_INITRD);
        FOREACH_ARRAY(f, files, ELEMENTSOF(files))
                if (r >= 0 && parts[f->section].data) {
                        any = true;
                        r = feed_archive(hash, f->file, parts + f->section);
                }
        if (r < 0 || !any)
                return r;
        r = hash_final(hash, digest);
        return r < 0 ? r : rtmr_add_digest(run, 2, EV_EVENT_TAG, "initrd", digest);
}

int rtmr_add_stub_payload(RtmrRun *run) {
        _cleanup_free_ char *text = NULL;
        int r = command_line(run, &text);

        if (r < 0)
                return r;
        /* Strings of the host's are in RTMR0 where the stub measures them. */
        run->events->imports = !rtmr_has_shield(text ?: "") && !run->stub.kind->strings;
        run->events->in_rtmr0 = !rtmr_has_shield(text ?: "") && run->stub.kind->strings;
        r = add_sections(run);
        if (r >= 0 && given(run))
                r = rtmr_add_words(run, EV_IPL, "stub: command line beside the image", text);
        if (r >= 0 && text)
                r = rtmr_add_words(run, EV_EVENT_TAG, "kernel command line", text);
        return r < 0 ? r : add_initrd(run);
}
