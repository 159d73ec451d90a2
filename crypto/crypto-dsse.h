/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Signed JSON: DSSE envelopes (secure-systems-lab/dsse, envelope.md and protocol.md): {"payloadType", "payload", "signatures": [{"sig"}]}.
 * What is signed is "DSSEv1", type and payload with their lengths, so that the payload needs no canonical form. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "macro.h"

#define DSSE_SIGNATURES_MAX 16u

bool dsse_is_envelope(const Json *j);

/* What is signed for a payload: the pre-authentication encoding (protocol.md). *ret is owned. */
_warn_unused_result_ int dsse_preauth(
                const char *type, const void *payload, size_t size, char **ret, size_t *ret_size);

/* The payload if one of the signatures was made by the key (public: PEM or DER; P-384 with SHA-384, in DER or as r and s; or Ed25519). *ret
 * is owned. -EKEYREJECTED with an error message if none was, -EBADMSG for a malformed envelope or key. */
_warn_unused_result_ int dsse_open(const Json *envelope, const void *key, size_t key_size, uint8_t **ret,
                size_t *ret_size, char **reterr);
