/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The two requests of a running guest, for the schemes whose guests ask for a report: guest_launch() gives a nonce; guest_validate() has a report judged that names that
 * nonce and a key of the guest's, and seals the secrets to that key (attest/snp-packet.h). */

#include "attest-verdict.h"
#include "attestd-service.h"
#include "snp-packet.h"

typedef struct GuestEvidence {
        uint8_t launch_id[LAUNCH_ID_SIZE];
        SnpBinding binding;
        uint8_t *report, *certs; /* owned */
        size_t report_size, certs_size;
        uint8_t digest[LAUNCH_MEASURE_SIZE]; /* of report and key: what makes it the same evidence */
} GuestEvidence;

_warn_unused_result_ int guest_launch(ServiceCall *c);
_warn_unused_result_ int guest_validate(ServiceCall *c);

/* For the judges. Refuses, which counts as a failure of this launch: 0 or -errno. */
_warn_unused_result_ int guest_refuse(
                const ServiceCall *c, const StoreLaunch *l, const char *code, const char *detail);
bool guest_violated(const Violations *v, const char *rule);

/* 1: the report is authentic and meets the registered policy; 0: the reply is made; -errno. */
_warn_unused_result_ int snp_judge(const ServiceCall *c, const StoreLaunch *l, const GuestEvidence *e);
_warn_unused_result_ int tdx_judge(const ServiceCall *c, const StoreLaunch *l, const GuestEvidence *e);
