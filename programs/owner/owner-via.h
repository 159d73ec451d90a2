/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An owner's machine that hosts reach through a relay (cvmspawn-tunnel(8)). */

#include "owner-args.h"

typedef struct OwnerVia {
        char *url, *token_file, *ca_file; /* of the relay */
        char *tls_cert, *tls_key;         /* of this machine, for hosts */
} OwnerVia;

/* Becomes the attestation service with its state in --owner-dir=: returns only on failure, with an error message. */
_warn_unused_result_ int owner_via(const OwnerVia *v, const OwnerArgs *a, char **reterr);
