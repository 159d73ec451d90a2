/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* JSON Web Signature (RFC 7515), compact form: EdDSA (RFC 8037), ES256 or ES384 (RFC 7518), as the key says. */

#include "crypto-sign.h"

/* base64url without padding (RFC 7515, chapter 2). Owned; NULL: out of memory. */
char *jws_base64url(const void *p, size_t n);

/* "HEADER.PAYLOAD.SIGNATURE" with a header of alg, typ and kid (SHA-256 of the public key, in hex). *ret is owned. */
_warn_unused_result_ int jws_sign(
                const SignKey *k, const char *typ, const void *payload, size_t size, char **ret);
