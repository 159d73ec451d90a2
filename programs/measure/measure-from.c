/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --from-qemu=, --from-incus=, --from-kata=, --from-kubevirt=, --from-libvirt=, --from-openstack=, --from-vmspawn=: another launcher's description of a guest in place of options; options that are given
 * override it. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "foreign-vmspawn.h"
#include "kata-initdata.h"
#include "launch.h"
#include "log.h"
#include "measure-cli.h"
#include "resolve.h"
#include "strutil.h"

static void print_notices(char *const *notices) {
        STRV_FOREACH(n, notices)
                log_warning("%s", *n);
}

/* --- a QEMU command line ------------------------------------------------------------------------------------------------- */

static int fill(char **to, const char *text) {
        if (*to || !text)
                return 0;
        *to = strdup(text);
        return *to ? 0 : -ENOMEM;
}

static int fill_number(char **to, const char *format, uint64_t value) {
        char text[32];

        (void) snprintf(text, sizeof(text), format[0] == 'x' ? "0x%" PRIx64 : "%" PRIu64, value);
        return fill(to, text);
}

static bool cpu_given(const MeasureArguments *a) {
        return a->vcpu_sig || a->vcpu_family || a->vcpu_type;
}

/* Of a TD the digest covers the firmware alone. The rest is for the registers beside it, which the user asks for. */
static int fill_td(const ForeignGuest *g, MeasureArguments *a) {
        int r = fill(&a->ovmf, g->firmware);

        if (r < 0 || (!a->edk2 && !a->fw_cfg && !a->bios))
                return r;
        r = g->memory > 0 ? fill_number(&a->memory, "u", g->memory) : 0;
        if (r >= 0)
                r = fill(&a->kernel, g->kernel);
        if (r >= 0)
                r = fill(&a->initrd, g->initrd);
        return r < 0 ? r : fill(&a->append, g->append);
}

/* Options that are given stay. */
static int fill_options(const ForeignGuest *g, MeasureArguments *a) {
        int r = fill(&a->mode, measure_mode_to_string(measure_mode_of_coco(g->mode)));

        if (r >= 0 && coco_of(g->mode)->event_log)
                return fill_td(g, a);
        if (r >= 0 && g->profile != VMM_QEMU && !a->vmm_type)
                r = fill(&a->vmsa, vmm_profile_to_string(g->profile));
        if (r >= 0 && coco_of(g->mode)->guest_features)
                r = fill_number(&a->guest_features, "x", g->features);
        if (r >= 0 && g->es_features != 0)
                r = fill_number(&a->es_features, "x", g->es_features);
        if (r >= 0)
                r = fill_number(&a->vcpus, "u", g->vcpus);
        if (r >= 0)
                r = fill(&a->ovmf, g->firmware);
        if (r >= 0)
                r = fill(&a->kernel, g->kernel);
        if (r >= 0)
                r = fill(&a->initrd, g->initrd);
        if (r >= 0)
                r = fill(&a->append, g->append);
        if (r >= 0)
                r = fill(&a->vcpu_type, g->cpu_model);
        if (r >= 0 && g->cpu_signature_set)
                r = fill_number(&a->vcpu_sig, "x", g->cpu_signature);
        return r;
}

static int given_cpu(const MeasureArguments *a, char **ret) {
        const char *option = a->vcpu_sig ? "--vcpu-sig" : a->vcpu_family ? "--vcpu-family" : "--vcpu-type";

        *ret = NULL;
        if (!cpu_given(a))
                return 0;
        return asprintf(ret, "%s=%s", option, a->vcpu_sig ?: a->vcpu_family ?: a->vcpu_type) < 0 ? -ENOMEM : 0;
}

int take_words(CliArguments *a, char *const *words, char **reterr) {
        char **to[] = { &a->flavor, &a->server };
        size_t n = 0;
        int r = 0;

        STRV_FOREACH(w, words) {
                while (a->from_openstack && n < ELEMENTSOF(to) && *to[n])
                        n++;
                if (!a->from_openstack || n == ELEMENTSOF(to))
                        return error_set(reterr, -EINVAL, "unexpected argument '%s'", *w);
                r = fill(to[n], *w);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_description(CliArguments *a, const ForeignOptions *o, char **reterr) {
        if (a->from_qemu)
                return foreign_from_qemu(a->from_qemu, o, &a->foreign, reterr);
        if (a->from_incus)
                return foreign_from_incus(a->from_incus, o, &a->foreign, reterr);
        if (a->from_kata)
                return foreign_from_kata(a->from_kata, o, &a->foreign, reterr);
        if (a->from_kubevirt)
                return foreign_from_kubevirt(a->from_kubevirt, o, &a->foreign, reterr);
        if (a->from_libvirt)
                return foreign_from_libvirt(a->from_libvirt, o, &a->foreign, reterr);
        if (!a->flavor)
                return error_set(reterr, -EINVAL,
                                "--from-openstack: the number of vCPUs is that of the flavor: pass it with --flavor=FILE ('openstack flavor show -f json')");
        return foreign_from_openstack(
                        &(ForeignOpenstack) { a->from_openstack, a->flavor, a->server, a->glance }, o,
                        &a->foreign, reterr);
}

int read_other_launcher(CliArguments *a, char **reterr) {
        MeasureArguments *m = &a->measure;
        ForeignOptions options = { .assumed = a->assume_unmeasured,
                .launch = a->launch,
                .given = {
                                .firmware = m->ovmf,
                                .kernel = m->kernel,
                                .initrd = m->initrd,
                                .append = m->append,
                                .firmware_metadata = m->ovmf_metadata,
                                .kernel_hash = m->kernel_hash,
                                .initrd_hash = m->initrd_hash,
                                .cmdline_hash = m->cmdline_hash,
                } };
        _cleanup_free_ char *cpu = NULL, *host_data = NULL;
        int r;

        if (!a->from_qemu && !a->from_incus && !a->from_kata && !a->from_kubevirt && !a->from_libvirt &&
                        !a->from_openstack)
                return 0;
        a->other_launcher = true;
        r = given_cpu(m, &cpu);
        if (r < 0)
                return r;
        options.given.cpu = cpu;
        r = a->initdata ? kata_initdata_file(a->initdata, &host_data, reterr) : 0;
        if (r < 0)
                return r;
        options.given.host_data = host_data;
        r = read_description(a, &options, reterr);
        /* What was put right also explains why something is refused. */
        print_notices(a->foreign.notices);
        if (r < 0)
                return r;
        if (a->foreign.igvm && !a->igvm)
                a->igvm = TAKE_PTR(a->foreign.igvm);
        return fill_options(&a->foreign.guest, m);
}

/* --- systemd-vmspawn ------------------------------------------------------------------------------------------------- */

/* It names the root of a disk, unless the kernel is a unified image, and gives such an image to QEMU as it is. */
static int complete(VmspawnLine *l, bool *ret_whole, char **reterr) {
        _cleanup_(uki_done) Uki uki = UKI_NONE;
        int r = uki_open(l->kernel, &uki, reterr);

        if (r < 0)
                return r;
        *ret_whole = uki.found;
        if (!uki.found)
                return l->image ? resolve_root_word(l->image, &l->words, reterr) : 0;
        if (l->words)
                r = strv_push(&l->notices,
                                "NOT MEASURED: the kernel command line, which systemd-vmspawn passes beside a unified kernel image, "
                                "and which a confidential guest ignores");
        l->words = strv_free(l->words);
        return r;
}

int vmspawn_launcher_options(const char *text, const char *program, char *const *assumed, char ***ret,
                bool *ret_whole_kernel, char **reterr) {
        _cleanup_(vmspawn_line_done) VmspawnLine l = {};
        _cleanup_strv_free_ char **out = NULL;
        int r = vmspawn_line_read(text, getenv("TERM"), assumed, &l, reterr);

        if (r >= 0)
                r = complete(&l, ret_whole_kernel, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--from-vmspawn");
        print_notices(l.notices);
        r = strv_push(&out, program);
        STRV_FOREACH(o, l.options)
                if (r >= 0)
                        r = strv_push(&out, *o);
        if (r >= 0)
                r = strv_push(&out, "--");
        STRV_FOREACH(w, l.words)
                if (r >= 0)
                        r = strv_push(&out, *w);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(out);
        return 0;
}
