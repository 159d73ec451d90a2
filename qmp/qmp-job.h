/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* blockdev-create runs as a job inside QEMU: its return says that it began, JOB_STATUS_CHANGE that it has concluded (before or
 * after the return), query-jobs whether it worked, and job-dismiss frees its name. All four steps, waited for.
 *
 * Spec: QEMU 10.0 qapi/block-core.json (blockdev-create), qapi/job.json. */

#include <stdint.h>

#include "json.h"
#include "macro.h"
#include "qmp-client.h"

/* options: BlockdevCreateOptions, taken. job_id must be free. One such wait at a time (-EBUSY). -EIO with QEMU's sentence
 * if the job failed. */
_warn_unused_result_ int qmp_blockdev_create_wait(
                QmpClient *c, const char *job_id, Json *options, uint64_t timeout_usec, char **reterr);
