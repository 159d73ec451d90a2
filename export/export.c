/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "export.h"

#include <errno.h>

#include "error.h"
#include "export-text.h"
#include "strutil.h"

typedef int (*Target)(const ExportGuest *g, const ExportOptions *o, Text *t, char ***notices, char **reterr);

static const struct {
        const char *name;
        Target write;
} targets[] = {
        [EXPORT_INCUS] = { "incus", export_incus },
        [EXPORT_KATA] = { "kata", export_kata },
        [EXPORT_KUBEVIRT] = { "kubevirt", export_kubevirt },
        [EXPORT_LIBVIRT] = { "libvirt", export_libvirt },
        [EXPORT_OPENSTACK] = { "openstack", export_openstack },
        [EXPORT_PROXMOX] = { "proxmox", export_proxmox },
        [EXPORT_QEMU] = { "qemu", export_qemu },
};
static_assert(ELEMENTSOF(targets) == _EXPORT_TARGET_MAX, "a row for each target");

ExportTarget export_target_from_string(const char *s) {
        for (int i = 0; s && i < _EXPORT_TARGET_MAX; i++)
                if (streq(s, targets[i].name))
                        return (ExportTarget) i;
        return _EXPORT_TARGET_INVALID;
}

const char *export_target_to_string(ExportTarget t) {
        return t >= 0 && t < _EXPORT_TARGET_MAX ? targets[t].name : NULL;
}

int export_guest(ExportTarget t, const ExportGuest *g, const ExportOptions *o, char **ret, char ***notices,
                char **reterr) {
        _cleanup_(text_done) Text text = {};
        int r;

        if (g->mode == COCO_NONE)
                return error_set(reterr, -EINVAL,
                                "a launch without --coco= is not exported: it has no launch digest that could be compared");
        r = export_check_texts(g, reterr);
        if (r >= 0)
                r = targets[t].write(g, o, &text, notices, reterr);
        return r < 0 ? r : text_finish(&text, ret);
}
