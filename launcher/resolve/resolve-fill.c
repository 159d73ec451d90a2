/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The copies of a launch. QEMU has the same memory files, and waits. */

#include <errno.h>
#include <string.h>

#include "copy.h"
#include "error.h"
#include "fd.h"
#include "resolve-parts.h"

/* All that makes up one memory file: it is sealed then. */
static int fill_file(LaunchCopy *copies, size_t n, const atomic_bool *stop, char **reterr) {
        int r = 0;

        FOREACH_ARRAY(copy, copies, n) {
                r = copy_run(&(const CopyJob) { .name = copy->name,
                                             .from = copy->from,
                                             .offset = copy->offset,
                                             .size = copy->size,
                                             .whole = copy->whole,
                                             .to = (int) copy->to,
                                             .at = copy->at },
                                stop, reterr);
                if (r < 0)
                        return r;
        }
        r = memfd_seal((int) copies->to);
        if (r < 0)
                return error_set(reterr, r, "cannot seal the copy of %s: %s", copies->name, strerror(-r));
        FOREACH_ARRAY(copy, copies, n)
                copy->done = true;
        return 0;
}

int resolve_fill(const VmConfig *config, LaunchInputs *in, const atomic_bool *stop, char **reterr) {
        for (size_t i = 0, n; i < in->n_copies; i += n) {
                LaunchCopy *first = in->copies + i;
                int r = 0;

                for (n = 1; i + n < in->n_copies && first[n].to == first->to; n++)
                        ;
                if (!first->done)
                        r = fill_file(first, n, stop, reterr);
                if (r >= 0 && first->to == LAUNCH_FD_FIRMWARE && vm_config_confidential(config))
                        r = resolve_firmware_recheck(config, in, reterr);
                if (r < 0)
                        return r;
        }
        launch_inputs_drop_copies(in);
        return 0;
}
