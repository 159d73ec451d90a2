/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Keys, blocks and signatures as options of several programs name them. All set a sentence, with `option` in front unless it is NULL. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto-ec.h"

/* A private key: a file (PEM, DER; encrypted ones with the passphrase of a file, or asked for) or a pkcs11: URI. or_public: a public
 * key is enough. */
_warn_unused_result_ int id_file_key(const char *passphrase_file, const char *option, const char *key,
                bool or_public, EcKey **ret, char **reterr);
/* 32 hexadecimal digits, or up to 16 characters; NULL: zeros. */
_warn_unused_result_ int id_file_id(
                const char *option, const char *text, uint8_t ret[static 16], char **reterr);
_warn_unused_result_ int id_file_public(const char *option, const char *path, EcKey **ret, char **reterr);
_warn_unused_result_ int id_file_signature(
                const char *option, const char *path, EcSignature *ret, char **reterr);
/* The bytes themselves, or base64 of them; *ret is owned. */
_warn_unused_result_ int id_file_blob(const char *option, const char *path, size_t expected, uint8_t **ret,
                size_t *ret_size, char **reterr);

#define ID_FILES_MAX 2u
typedef struct IdFile {
        const char *option; /* weak, as the others */
        const char *path;   /* NULL: not written */
        const void *data;
        size_t size;
} IdFile;

/* All of them or none. */
_warn_unused_result_ int id_files_write(const IdFile *files, size_t n, char **reterr);
