/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What differs between the schemes, as one row of functions each. A new technology is a new row. */

#include "attestd-digests.h"
#include "attestd-guest.h"
#include "attestd-registration.h"
#include "attestd-service.h"

struct Scheme {
        CocoMode mode;
        int (*parse)(const Json *j, const Scheme *scheme, bool with_secrets, Registration *ret,
                        char **reterr);
        /* The secrets in the form in which the guest finds them. */
        int (*table)(const Registration *r, SecretBuf *ret, char **reterr);
        void (*done)(Registration *r);
        /* NULL, as the next: no digests are computed. Appends those of the registration to a list. */
        int (*computed)(const Registration *r, Json *list);
        DigestsFunction digests;       /* that follow from firmware and hashes */
        int (*launch)(ServiceCall *c); /* the two requests of hosts: 0, or -errno */
        int (*validate)(ServiceCall *c);
        /* With guest_validate(): who judges reports of such a size. */
        int (*judge)(const ServiceCall *c, const StoreLaunch *l, const GuestEvidence *e);
        size_t report_size_min, report_size_max;
};

const Scheme *scheme_of(CocoMode mode);

/* By the scheme that the registration names. -EINVAL with a message. */
_warn_unused_result_ int registration_parse(
                const Json *j, bool with_secrets, Registration *ret, char **reterr);
_warn_unused_result_ int registration_table(const Registration *r, SecretBuf *ret, char **reterr);
