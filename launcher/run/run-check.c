/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-check.h"

#include "process.h"
#include "run.h"

int run_check(const VmConfig *config, const HostCaps *caps, const LaunchChoices *choices,
                const LaunchInputs *in, char **reterr) {
        int r = owner_check(config, reterr);

        if (r < 0 || config->host_caps)
                return r;
        r = run_check_virtiofsd(config, caps, reterr);
        if (r >= 0)
                r = login_check(config, choices, reterr);
        if (r >= 0)
                r = copy_out_check(config, reterr);
        if (r >= 0)
                r = console_log_check(config, reterr);
        if (r >= 0)
                r = tpm_check(config, choices, reterr);
        if (r >= 0)
                r = vsock_check(choices, reterr);
        if (r >= 0)
                r = network_check(config, reterr);
        if (r >= 0)
                r = journal_check(config, reterr);
        if (r >= 0 && config->qemu)
                r = process_check(config->qemu, reterr);
        return r < 0 ? r : disks_check(config, in, reterr);
}
