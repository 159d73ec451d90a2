/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a backend is to attestor.c. */

#include "attestor.h"

typedef struct AttestorOps {
        int (*launch)(void *backend, const AttestorLaunch *in, AttestorSession *ret,
                        AttestorOutcome *ret_outcome, char **reterr);
        int (*validate)(void *backend, const AttestorClaim *in, AttestorPacket *ret,
                        AttestorOutcome *ret_outcome, char **reterr);
        void (*free)(void *backend);
} AttestorOps;

/* Takes backend, also when it fails. */
_warn_unused_result_ int attestor_new(const AttestorOps *ops, void *backend, Attestor **ret);
