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

/* The payload if one of the signatures was made by the key (public: PEM or DER; P-384 with SHA-384 or P-256 with SHA-256, in DER or as r and s; or Ed25519). *ret
 * is owned. -EKEYREJECTED with an error message if none was, -EBADMSG for a malformed envelope or key. */
_warn_unused_result_ int dsse_open(const Json *envelope, const void *key, size_t key_size, uint8_t **ret,
                size_t *ret_size, char **reterr);

typedef struct DsseSignature {
        char *key_id;   /* owned; NULL: none. A hint: nothing is decided by it */
        uint8_t *bytes; /* owned */
        size_t size;
} DsseSignature;

typedef struct DsseEnvelope {
        char *type;       /* owned */
        uint8_t *payload; /* owned */
        size_t size;
        DsseSignature *signatures; /* owned */
        size_t n_signatures;
} DsseEnvelope;

void dsse_envelope_done(DsseEnvelope *e);
/* An envelope as text; nothing is verified. -EBADMSG with an error message. */
_warn_unused_result_ int dsse_parse(const char *text, size_t size, DsseEnvelope *ret, char **reterr);

typedef struct DsseKey {
        const char *name; /* for messages */
        const void *data; /* public: PEM or DER */
        size_t size;
} DsseKey;

/* Leaves out each key that is an earlier one again, as PEM or DER; *n: how many are left. An error message names the key. */
_warn_unused_result_ int dsse_keys_distinct(DsseKey *keys, size_t *n, char **reterr);
/* How many of these keys signed: each counts once, however often it is given or has signed. */
_warn_unused_result_ int dsse_signers(
                const DsseEnvelope *e, const DsseKey *keys, size_t n_keys, unsigned *ret, char **reterr);

typedef struct SignKey SignKey;

/* The envelope's text with one more signature, and a newline. *ret is owned. -EEXIST with an error message if it is there already; key_id: a hint, or
 * NULL. */
_warn_unused_result_ int dsse_with_signature(const DsseEnvelope *e, const char *key_id, const void *sig,
                size_t n, char **ret, char **reterr);
/* The same with a signature that this key makes. */
_warn_unused_result_ int dsse_sign(const DsseEnvelope *e, const SignKey *key, char **ret, char **reterr);
