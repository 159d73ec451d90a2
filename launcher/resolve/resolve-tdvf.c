/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a TD's firmware says of itself: sections that QEMU loads, and Secure Boot keys, with which an unsigned kernel does not boot. */

#include <errno.h>

#include "error.h"
#include "fd.h"
#include "firmware-guids.h"
#include "firmware-variables.h"
#include "resolve-parts.h"
#include "strutil.h"
#include "tdvf-metadata.h"
#include "tdx-hob.h"

int resolve_memory_list(const VmConfig *config, const uint8_t *image, size_t size, uint32_t distance,
                LaunchInputs *in, char **reterr) {
        const uint64_t mib = UINT64_C(1) << 20;
        TdvfInfo info;
        TdxHob hob;
        int fd, r = tdvf_parse(image, size, distance, &info, reterr);

        if (r >= 0)
                r = tdx_hob_build(&info, (config->ram + mib - 1) / mib * mib, &hob, reterr);
        if (r < 0)
                return r;
        in->table_gpa = tdvf_find(&info, TDVF_TD_HOB)->gpa;
        fd = memfd_new_sealed("cvmspawn-td-hob", hob.bytes, hob.size);
        return fd < 0 ? fd : launch_inputs_keep_fd(in, fd, LAUNCH_FD_TABLE);
}

int resolve_tdvf(const char *path, const uint8_t *image, size_t size, uint32_t distance, LaunchInputs *in,
                char **reterr) {
        static const Guid global = GUID_GLOBAL;
        const TdvfSection *variables;
        FirmwareVariable key = {};
        TdvfInfo info;
        int r = tdvf_parse(image, size, distance, &info, reterr);

        if (r < 0)
                return r;
        variables = tdvf_find(&info, TDVF_CFV);
        /* A store that this program cannot read is the firmware's business. */
        if (!variables ||
                        firmware_variable_parse(image + variables->offset, variables->raw, &global, "PK",
                                        &key, NULL) < 0 ||
                        key.size == 0)
                return 0;
        return strv_pushf(&in->notices,
                        "'%s' has Secure Boot keys: a kernel or boot loader that is not signed for them does not boot",
                        path);
}

bool resolve_tdvf_with_keys(const VmConfig *config, const FirmwareList *list) {
        FirmwareQuery q = { .architecture = "x86_64",
                .machine = "q35",
                .stateless = true,
                .raw = true,
                .include = (char *const[]) { (char *) coco_of(config->coco)->firmware_feature, NULL } };
        const FirmwareDescriptor *d;

        return coco_of(config->coco)->event_log && firmware_choose(list, &q, &d, NULL) >= 0;
}
