/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --from-libvirt: the domain as a QEMU command line, and firmware from descriptors where the domain leaves it to libvirt. */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "firmware-descriptor.h"
#include "foreign-domain.h"
#include "foreign-text.h"
#include "foreign.h"
#include "libvirt-xml.h"
#include "strutil.h"

/* libvirt asks the descriptors of the machine where it runs. */
static int choose_firmware(const ForeignDomain *d, char **ret, char ***notices, char **reterr) {
        char *const features[] = { (char *) coco_of(d->mode)->firmware_feature, NULL };
        FirmwareQuery query = { .architecture = "x86_64",
                .machine = "q35",
                .stateless = true,
                .raw = true,
                .include = features };
        _cleanup_(firmware_list_done) FirmwareList list = {};
        _cleanup_strv_free_ char **directories = NULL;
        const FirmwareDescriptor *chosen;
        int r = firmware_directories(getenv, &directories);

        if (r >= 0)
                r = firmware_list_load(directories, &list, reterr);
        if (r >= 0)
                r = firmware_choose(&list, &query, &chosen, reterr);
        if (r < 0)
                return r;
        *ret = strdup(chosen->executable);
        if (!*ret)
                return -ENOMEM;
        return strv_pushf(notices,
                        "the domain leaves the firmware to libvirt: using '%s' from this machine's descriptors; the host may have another one",
                        *ret);
}

static int check_cpu(const ForeignDomain *d, const char *given, char **reterr) {
        if (!d->cpu || given || (d->mode != COCO_NONE && !coco_of(d->mode)->vcpus_measured))
                return 0;
        return error_set(reterr, -EINVAL,
                        "<cpu> selects the CPU of the machine that runs the guest (%s), and its signature is part of the digest: "
                        "pass it with --vcpu-sig=NUMBER (CPUID leaf 1, EAX, of that machine), or pass the model that libvirt's log shows after -cpu with --vcpu-type=MODEL",
                        d->cpu);
}

int foreign_from_domain(const char *text, const ForeignOptions *o, ForeignResult *ret, char **reterr) {
        _cleanup_(foreign_domain_done) ForeignDomain d = {};
        _cleanup_free_ char *firmware = NULL;
        ForeignOptions options = *o;
        int r = foreign_domain_read(text, o->assumed, &d, reterr);

        STRV_FOREACH(n, r >= 0 ? d.notices : NULL)
                if (r >= 0)
                        r = strv_push(&ret->notices, *n);
        if (r >= 0)
                r = check_cpu(&d, o->given.cpu, reterr);
        if (r >= 0 && !d.firmware && !o->given.firmware && !o->given.firmware_metadata &&
                        d.mode != COCO_NONE) {
                r = choose_firmware(&d, &firmware, &ret->notices, reterr);
                options.given.firmware = firmware;
        }
        if (r >= 0) {
                r = foreign_from_argv(d.argv, NULL, &options, ret, reterr);
                if (r == -ENODATA && reterr) {
                        free(*reterr);
                        *reterr = NULL;
                        (void) error_set(reterr, r,
                                        "the domain has no <launchSecurity> of type sev, sev-snp or tdx, and no such object in <qemu:commandline>: it has no launch digest");
                }
        }
        return r;
}

int foreign_from_libvirt(const char *path, const ForeignOptions *o, ForeignResult *ret, char **reterr) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = foreign_read_text("from-libvirt", path, LIBVIRT_XML_SIZE_MAX, &text, &size, reterr);

        if (r < 0)
                return r;
        r = foreign_from_domain(text, o, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "--from-libvirt") : 0;
}
