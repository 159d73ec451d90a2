/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Keys, blocks and signatures as id-block's options name them. All set a sentence, with `option` in front unless it is NULL. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto-ec.h"

/* A private key: a file (PEM, DER; encrypted ones with the passphrase of a file, or asked for) or a pkcs11: URI. or_public: a public
 * key is enough. */
_warn_unused_result_ int id_file_key(const char *passphrase_file, const char *option, const char *key,
                bool or_public, EcKey **ret, char **reterr);
_warn_unused_result_ int id_file_public(const char *option, const char *path, EcKey **ret, char **reterr);
_warn_unused_result_ int id_file_signature(
                const char *option, const char *path, EcSignature *ret, char **reterr);
/* The bytes themselves, or base64 of them; *ret is owned. */
_warn_unused_result_ int id_file_blob(const char *option, const char *path, size_t expected, uint8_t **ret,
                size_t *ret_size, char **reterr);
_warn_unused_result_ int id_file_write(
                const char *option, const char *path, const void *p, size_t n, char **reterr);
