/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a backend is to owner.c. */

#include "owner.h"

typedef struct OwnerOps {
        int (*launch)(void *backend, const OwnerLaunch *in, OwnerSession *ret, OwnerOutcome *ret_outcome,
                        char **reterr);
        int (*validate)(void *backend, const OwnerClaim *in, OwnerPacket *ret, OwnerOutcome *ret_outcome,
                        char **reterr);
        void (*free)(void *backend);
} OwnerOps;

/* Takes backend, also when it fails. */
_warn_unused_result_ int owner_new(const OwnerOps *ops, void *backend, Owner **ret);
