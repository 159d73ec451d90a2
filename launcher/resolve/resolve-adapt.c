/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A launch that must be known before QEMU starts: does its initrd need the adapter? */

#include <errno.h>

#include "error.h"
#include "initrd-scan.h"
#include "resolve.h"
#include "strutil.h"

int resolve_adapt(const VmConfig *config, ResolveOptions *options, LaunchInputs *in, char **reterr) {
        _cleanup_(initrd_info_done) InitrdInfo info = {};
        _cleanup_free_ char *error = NULL;
        char reason[256];
        int r;

        if (!in->scan || !resolve_adapter_allowed(config))
                return 0;
        /* What cannot be read is refused by the launch, which looks again. */
        r = initrd_scan(LAUNCH_FD_INITRD, 0, plan_input_size(&in->plan.initrd), &info, &error);
        if (r == -ENOMEM)
                return r;
        if (r < 0 ||
                        resolve_initrd_imports(
                                        info.initrd_release, info.systemd_version, reason, sizeof(reason)))
                return 0;
        launch_inputs_done(in);
        options->adapter = true;
        r = resolve_launch(config, options, in, reterr);
        if (r >= 0)
                r = resolve_fill(config, in, /* stop= */ NULL, reterr);
        return r < 0 ? r : strv_pushf(&in->notices, "%s; " ADAPTER_NOTICE, reason);
}
