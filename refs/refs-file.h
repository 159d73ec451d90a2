/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A bundle as a file: plain, as the predicate of an in-toto statement, or one of these in a DSSE envelope with the signatures of several
 * people; and what makes it too old. */

#include "crypto-dsse.h"
#include "crypto-sign.h"
#include "refs-bundle.h"

typedef struct RefsFile {
        RefsBundle bundle;
        bool is_signed;
        size_t n_signatures;
        unsigned signers;            /* of the keys that were given */
        size_t n_keys;               /* how many were given */
        uint8_t sha256[SHA256_SIZE]; /* of the bundle's bytes; of its JSON in one line where it is a predicate */
} RefsFile;

void refs_file_done(RefsFile *f);

/* Does the text look like a bundle, or an envelope of one? */
bool refs_file_is(const char *text, size_t size);
typedef struct RefsSigners {
        const DsseKey *keys; /* public */
        size_t n_keys;
        unsigned threshold; /* how many of them must have signed */
} RefsSigners;

/* With signers the file must be an envelope that enough of them signed: -EKEYREJECTED with an error message. NULL, or no keys: no signature is looked
 * at. -EBADMSG and -EINVAL for what is not a bundle. */
_warn_unused_result_ int refs_file_open(
                const char *text, size_t size, const RefsSigners *signers, RefsFile *ret, char **reterr);

/* The envelope of a bundle, or of the one in an envelope, whose signatures stay, with one more signature. *ret is owned. */
_warn_unused_result_ int refs_file_sign(
                const char *text, size_t size, const SignKey *key, char **ret, char **reterr);
/* The bytes that a key elsewhere must sign; and the envelope with that signature, once the public key says that it is good. */
_warn_unused_result_ int refs_file_to_sign(
                const char *text, size_t size, char **ret, size_t *ret_size, char **reterr);
_warn_unused_result_ int refs_file_add_signature(const char *text, size_t size,
                const DsseSignature *signature, const DsseKey *key, char **ret, char **reterr);

/* Expired, issued in the future, or older than max_age seconds (0: any age): -ETIME with an error message. */
_warn_unused_result_ int refs_check_age(const RefsBundle *b, int64_t now, uint64_t max_age, char **reterr);

/* The newest bundle that was accepted so far, as a state file has it. */
typedef struct RefsState {
        uint64_t sequence;
        uint8_t sha256[SHA256_SIZE];
} RefsState;

_warn_unused_result_ int refs_state_read(const char *text, size_t size, RefsState *ret, char **reterr);
_warn_unused_result_ int refs_state_text(const RefsState *s, char **ret);
/* An older sequence number, or another bundle with the same one: -ESTALE with an error message. */
_warn_unused_result_ int refs_check_rollback(const RefsFile *f, const RefsState *last, char **reterr);
