/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A secret that only the holder of a token can compute: it follows from the token's RSA key, which does not leave the token.
 *
 *      secret    KDF(signature, label), SP 800-108 (crypto-kdf.h)
 *      signature RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, 8.2) of the label and its NUL byte
 *
 * This signature has no random part, so that it is always the same, and nobody without the key can make it. Nothing has to be stored: a wrapped
 * secret would have to be kept somewhere, and who can write there could replace it by another one, for which the public key is enough. The key must not
 * sign what others choose. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

/* Fills ret with size bytes. uri: of a private key in an OpenSSL store ("pkcs11:token=...;object=...?pin-source=file:..."). Nobody is asked for
 * a PIN, and one in the URI is refused. Not for threads: for the time of the call, OpenSSL's default for questions to people is replaced. All errors have a
 * message, which contains neither URI nor PIN: -EINVAL the URI; -EIO, the provider or the token; -ENOENT token or key; -EACCES the PIN; -EOPNOTSUPP the kind
 * of key. */
_warn_unused_result_ int token_secret(
                const char *uri, const char *label, uint8_t *ret, size_t size, char **reterr);
