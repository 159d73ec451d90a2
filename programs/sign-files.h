/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Keys that sign documents, and those of the people who must have signed one, as options name them. */

#include "crypto-dsse.h"
#include "crypto-sign.h"

/* The private key of --option=: a file (PEM), or a pkcs11: URI; *ret is owned. */
_warn_unused_result_ int sign_key_read(const char *option, const char *path, SignKey **ret, char **reterr);

typedef struct Signers {
        char *data[DSSE_SIGNATURES_MAX]; /* owned */
        DsseKey keys[DSSE_SIGNATURES_MAX];
        size_t n, n_keys; /* files; different keys, which come first */
} Signers;

void signers_done(Signers *s);
/* The public keys in the files of --option=. */
_warn_unused_result_ int signers_read(const char *option, char *const *paths, Signers *ret, char **reterr);
