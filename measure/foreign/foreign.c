/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "foreign-check.h"
#include "foreign-launch.h"
#include "foreign-lines.h"
#include "foreign-text.h"
#include "sev-cpu.h"
#include "strutil.h"

/* Command lines of large guests have some tens of KiB; logs some MiB. */
#define TEXT_SIZE_MAX (64u * 1024u * 1024u)

void foreign_result_done(ForeignResult *r) {
        free(r->guest.cpu_model);
        free(r->guest.firmware);
        free(r->guest.kernel);
        free(r->guest.initrd);
        free(r->guest.append);
        free(r->igvm);
        free(r->no_argv);
        strv_free(r->notices);
        strv_free(r->argv);
        *r = (ForeignResult) {};
}

/* --- what enters the digest ---------------------------------------------------------------------------------------------- */

/* The first of two that is there. */
static int choose_text(const char *given, const char *other, char **ret) {
        const char *s = given ?: other;

        *ret = s ? strdup(s) : NULL;
        return s && !*ret ? -ENOMEM : 0;
}

/* The signature is the host's where the line says so: then the user has to know it. */
static int fill_cpu(const ForeignLaunch *l, const char *given, ForeignResult *ret, char **reterr) {
        bool measured = coco_of(l->mode)->vcpus_measured;

        if (given && l->cpu.host && measured)
                return strv_pushf(&ret->notices,
                                "the line has -cpu %s, the CPU of the machine that runs the guest: using %s for it",
                                l->cpu.name, given);
        if (given || !measured)
                return 0;
        if (l->cpu.host)
                return error_set(reterr, -EINVAL,
                                "-cpu %s is the CPU of the machine that runs the guest, and its signature is part of the digest: "
                                "pass it with --vcpu-sig=NUMBER (CPUID leaf 1, EAX, of that machine) or --vcpu-sig=from:REPORT",
                                l->cpu.name);
        if (l->cpu.unknown)
                return error_set(reterr, -EINVAL,
                                "-cpu %s: unknown CPU model, and its signature is part of the digest: pass it with --vcpu-sig=NUMBER",
                                l->cpu.name);
        /* Models of Intel and others have no name in --vcpu-type. */
        if (!l->cpu.changed && sev_cpu_find(l->cpu.name))
                return choose_text(NULL, l->cpu.name, &ret->guest.cpu_model);
        ret->guest.cpu_signature = l->cpu.signature;
        ret->guest.cpu_signature_set = true;
        return 0;
}

static int fill_guest(const ForeignLaunch *l, const ForeignGiven *given, ForeignResult *ret, char **reterr) {
        const char *kernel = given->kernel ?: l->kernel;
        ForeignGuest *g = &ret->guest;
        bool hashed = (l->kernel_hashes || coco_of(l->mode)->event_log) && kernel;
        int r;

        g->mode = l->mode;
        g->profile = l->legacy_vm_type && coco_of(l->mode)->vcpus_measured ? VMM_QEMU_PRE_6_10 : VMM_QEMU;
        g->features = l->features;
        g->es_features = l->es_features;
        g->vcpus = l->vcpus;
        g->memory = l->memory;
        r = choose_text(given->firmware, given->firmware_metadata ? NULL : l->firmware.path, &g->firmware);
        if (r >= 0)
                r = choose_text(given->kernel, hashed && !given->kernel_hash ? l->kernel : NULL, &g->kernel);
        if (r >= 0)
                r = choose_text(given->initrd, hashed && !given->initrd_hash ? l->initrd : NULL, &g->initrd);
        if (r >= 0)
                r = choose_text(given->append, hashed && !given->cmdline_hash ? l->append : NULL,
                                &g->append);
        return r < 0 ? r : fill_cpu(l, given->cpu, ret, reterr);
}

/* --- what the user has to know ------------------------------------------------------------------------------------------- */

static int add_notices(const ForeignLaunch *l, const char *firmware, char ***notices) {
        int r = 0;

        if (l->kernel && coco_of(l->mode)->event_log)
                r = strv_push(notices,
                                "the launch digest (MRTD) covers the firmware; kernel, initrd and kernel command line are in RTMR1 and RTMR2, which --edk2=RELEASE predicts");
        else if (l->kernel && !l->kernel_hashes)
                r = strv_pushf(notices,
                                "NOT MEASURED: the kernel '%s'%s%s, since kernel hashes are off: the host can replace them and the digest stays the same",
                                l->kernel, l->initrd ? ", the initrd" : "",
                                l->append ? ", the kernel command line" : "");
        if (r >= 0 && l->shim)
                r = strv_pushf(notices, "NOT MEASURED: the shim '%s'", l->shim);
        if (r >= 0 && l->firmware.store)
                r = strv_pushf(notices, "NOT MEASURED: the variable store '%s' (pflash unit 1)",
                                l->firmware.store);
        if (r >= 0 && l->firmware.beside_bios && streq_ptr(firmware, l->firmware.path))
                r = strv_pushf(notices, "QEMU uses the firmware of pflash unit 0, '%s', and ignores -bios",
                                l->firmware.named);
        if (r >= 0 && l->firmware.from_data_dir)
                r = strv_pushf(notices, "the firmware '%s' was found at '%s'", l->firmware.named,
                                l->firmware.path);
        return r;
}

/* The files that QEMU would open, or those that the user gave in their place. */
static int check_files(
                const ForeignLaunch *l, const ForeignGiven *given, ForeignResult *result, char **reterr) {
        bool own_firmware = given->firmware || given->firmware_metadata;
        ForeignFiles f = {
                .firmware = result->guest.firmware,
                .store = own_firmware ? NULL : l->firmware.store,
                .flash = !own_firmware && l->firmware.flash,
                .probed = !own_firmware && l->firmware.probed,
                .max_flash = l->max_flash,
                .kernel = given->kernel ?: l->kernel,
                .initrd = given->initrd ?: l->initrd,
                .append = given->append ?: l->append,
                .below_4g = l->below_4g,
                .hashes = l->kernel_hashes,
                .snp = coco_of(l->mode)->guest_memfd,
                .label = coco_of(l->mode)->label,
        };
        char *notice;
        int r;

        /* Hashes in place of files: there is nothing to look at. */
        if (given->kernel_hash || given->initrd_hash || given->firmware_metadata)
                return 0;
        r = foreign_check_files(&f, &notice, reterr);
        return r < 0 || !notice ? r : strv_consume(&result->notices, notice);
}

static int check_igvm(const ForeignLaunch *l, char **reterr) {
        if (l->kernel_hashes && l->kernel)
                return error_set(reterr, -EINVAL,
                                "QEMU refuses this launch: kernel-hashes=on needs firmware with a table of hashes, not an IGVM file");
        return 0;
}

static int keep_argv(const QemuLine *line, const ForeignLaunch *l, ForeignResult *ret) {
        char *reason = NULL;
        int r = foreign_launch_argv(line, l, &ret->argv, &reason);

        if (r == -ENOMEM)
                return r;
        ret->no_argv = reason;
        return 0;
}

static int apply(const QemuLine *line, ForeignLaunch *l, const ForeignGiven *given, ForeignResult *ret,
                char **reterr) {
        int r = fill_guest(l, given, ret, reterr);

        if (r < 0)
                return r;
        ret->has_id_block = l->has_id_block;
        ret->below_4g = l->below_4g;
        memcpy(ret->id_block_digest, l->id_block_digest, sizeof(ret->id_block_digest));
        if (l->igvm) {
                r = check_igvm(l, reterr);
                if (r >= 0)
                        ret->igvm = TAKE_PTR(l->igvm);
                return r;
        }
        if (!ret->guest.firmware && !given->firmware_metadata)
                return error_set(reterr, -EINVAL,
                                "the line names no firmware, and QEMU's default is not %s firmware: add -bios to the line or pass --ovmf=FILE",
                                coco_of(l->mode)->event_log ? "a TDX" : "an SEV");
        r = add_notices(l, ret->guest.firmware, &ret->notices);
        if (r >= 0)
                r = check_files(l, given, ret, reterr);
        return r < 0 ? r : keep_argv(line, l, ret);
}

/* -chroot DIR, -run-with chroot=DIR: after the files were opened. */
static bool changes_root(char *const *argv) {
        STRV_FOREACH(s, argv)
                if (streq(*s, "-chroot") || strstr(*s, "chroot="))
                        return true;
        return false;
}

int foreign_from_argv(char *const *argv, const char *pid, const ForeignOptions *o, ForeignResult *ret,
                char **reterr) {
        const ForeignPlace place = { .pid = pid, .moved = changes_root(argv) };
        _cleanup_(qemu_line_done) QemuLine line = { .place = &place, .assumed = o->assumed };
        _cleanup_(foreign_launch_done) ForeignLaunch l = {};
        int r = qemu_line_read(&line, argv, reterr);

        if (r >= 0)
                r = foreign_launch_read(&line, &l, reterr);
        return r < 0 ? r : apply(&line, &l, &o->given, ret, reterr);
}

/* --- several lines in one file ------------------------------------------------------------------------------------------- */

/* All that enters the digest, as one text for comparing. */
static int describe(const ForeignLaunch *l, char **ret) {
        return asprintf(ret, "%d %d %" PRIx64 " %" PRIx64 " %d %u %s %x %d %s %s %s %s %s", l->mode,
                               l->legacy_vm_type, l->features, l->es_features, l->kernel_hashes, l->vcpus,
                               l->cpu.name, l->cpu.signature, l->cpu.host, l->firmware.path ?: "",
                               l->igvm ?: "", l->kernel ?: "", l->initrd ?: "", l->append ?: "") < 0
                        ? -ENOMEM
                        : 0;
}

/* What a line launches; NULL with 0 if it has no confidential guest, or is not read since it is not the one. */
static int describe_line(const ForeignLine *line, const ForeignOptions *o, char **ret) {
        const ForeignPlace place = {};
        _cleanup_(qemu_line_done) QemuLine q = { .place = &place, .assumed = o->assumed };
        _cleanup_(foreign_launch_done) ForeignLaunch l = {};
        int r = qemu_line_read(&q, line->argv, NULL);

        *ret = NULL;
        if (r >= 0)
                r = foreign_launch_read(&q, &l, NULL);
        if (r == -ENODATA)
                return 0;
        if (r < 0) { /* its sentence comes when it is the one */
                *ret = strdup("");
                return *ret ? 0 : -ENOMEM;
        }
        return describe(&l, ret);
}

/* The one line with a confidential guest, the last of several that launch the same, or the one that the user chose. */
static int choose(
                const ForeignLines *lines, const ForeignOptions *o, const ForeignLine **ret, char **reterr) {
        _cleanup_free_ char *first = NULL;
        _cleanup_(text_done) Text list = {};
        size_t n = 0, differ = 0;

        *ret = lines->items;
        if (o->launch > lines->n_items)
                return error_set(reterr, -EINVAL, "--launch=%u: there are %zu QEMU command lines", o->launch,
                                lines->n_items);
        if (o->launch > 0) {
                *ret = lines->items + o->launch - 1;
                return 0;
        }
        FOREACH_ARRAY(line, lines->items, lines->n_items > 1 ? lines->n_items : 0) {
                _cleanup_free_ char *text = NULL;
                int r = describe_line(line, o, &text);

                if (r == -ENOMEM)
                        return r;
                if (!text && r >= 0)
                        continue;
                *ret = line;
                n++;
                text_putf(&list, "%s%zu (line %zu)", n > 1 ? ", " : "", (size_t) (line - lines->items) + 1,
                                line->line);
                if (n == 1)
                        first = TAKE_PTR(text);
                else if (!streq_ptr(text, first) || !text || !*text)
                        differ++;
        }
        if (differ > 0)
                return error_set(reterr, -EINVAL,
                                "there are %zu QEMU command lines with SEV guests whose launches differ: choose one of %s with --launch=N",
                                n, list.data ?: "");
        return 0;
}

int foreign_from_qemu(const char *what, const ForeignOptions *o, ForeignResult *ret, char **reterr) {
        bool is_pid = what[0] && strspn(what, "0123456789") == strlen(what);
        _cleanup_(foreign_lines_done) ForeignLines lines = {};
        _cleanup_free_ char *path = NULL, *text = NULL;
        const ForeignLine *line;
        size_t size;
        int r;

        if (is_pid && asprintf(&path, "/proc/%s/cmdline", what) < 0)
                return -ENOMEM;
        r = foreign_read_text("from-qemu", path ?: what, TEXT_SIZE_MAX, &text, &size, reterr);
        if (r >= 0)
                r = foreign_lines_read(text, size, &lines, reterr);
        if (r >= 0)
                r = choose(&lines, o, &line, reterr);
        STRV_FOREACH(n, r >= 0 ? line->notices : NULL)
                if (r >= 0)
                        r = strv_push(&ret->notices, *n);
        if (r >= 0)
                r = foreign_from_argv(line->argv, is_pid ? what : NULL, o, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "--from-qemu") : 0;
}
