/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "id-block-file.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "atomic-file.h"
#include "encode.h"
#include "error.h"
#include "id-block.h"
#include "input.h"
#include "key-passphrase.h"
#include "secret.h"
#include "strutil.h"

#define INPUT_MAX (64u * 1024u)

int id_file_key(const char *passphrase_file, const char *option, const char *key, bool or_public,
                EcKey **ret, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf buf = {}, passphrase = {};
        int r;

        if (input_is_uri(key))
                r = ec_key_open(key, ret, reterr);
        else {
                r = input_read_secret(option, key, INPUT_MAX, &buf, reterr);
                if (r < 0)
                        return r;
                if (or_public && ec_key_load_public(buf.data, buf.size, ret, NULL) == 0)
                        return 0;
                r = key_passphrase(passphrase_file, &passphrase, reterr);
                if (r < 0)
                        return r;
                r = ec_key_load_encrypted(buf.data, buf.size, (const char *) passphrase.data, ret, reterr);
        }
        if (r < 0)
                (void) error_prefix(reterr, r, "%s", key);
        return r < 0 && option ? error_prefix(reterr, r, "--%s", option) : r;
}

int id_file_id(const char *option, const char *text, uint8_t ret[static 16], char **reterr) {
        size_t n = text ? strlen(text) : 0;

        memset(ret, 0, 16);
        if (n == 0 || hex_decode_exact(text, ret, 16) == 0)
                return 0;
        if (n > 16)
                return error_set(reterr, -EINVAL, "--%s: expected 32 hex digits, or at most 16 characters",
                                option);
        memcpy(ret, text, n);
        return 0;
}

static int read_input(const char *option, const char *path, char **ret, size_t *ret_size, char **reterr) {
        if (!path)
                return error_set(reterr, -EINVAL, "--%s is missing", option);
        return input_read(option, path, INPUT_MAX, ret, ret_size, reterr);
}

int id_file_public(const char *option, const char *path, EcKey **ret, char **reterr) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        r = read_input(option, path, &data, &size, reterr);
        if (r < 0)
                return r;
        r = ec_key_load_public(data, size, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "--%s: %s", option, path) : 0;
}

int id_file_blob(const char *option, const char *path, size_t expected, uint8_t **ret, size_t *ret_size,
                char **reterr) {
        _cleanup_free_ uint8_t *decoded = NULL;
        _cleanup_free_ char *data = NULL;
        size_t size, text;
        int r;

        r = read_input(option, path, &data, &size, reterr);
        if (r < 0)
                return r;
        for (text = size; text > 0 && (data[text - 1] == '\n' || data[text - 1] == '\r'); text--)
                ;
        if (size != expected && base64_decode(data, text, &decoded, ret_size) == 0 &&
                        *ret_size == expected) {
                *ret = TAKE_PTR(decoded);
                return 0;
        }
        /* A wrong file leads to no verdict. */
        if (size != expected)
                return error_set(reterr, -EINVAL,
                                "--%s: '%s': expected %zu bytes, or their base64 text, got %zu", option,
                                path, expected, decoded ? *ret_size : size);
        *ret = (uint8_t *) TAKE_PTR(data);
        *ret_size = size;
        return 0;
}

int id_files_write(const IdFile *files, size_t n, char **reterr) {
        AtomicFile list[ID_FILES_MAX];
        const char *options[ID_FILES_MAX];
        size_t k = 0, failed;
        int r;

        assert(n <= ID_FILES_MAX);
        FOREACH_ARRAY(f, files, n)
                if (f->path) {
                        options[k] = f->option;
                        list[k++] = (AtomicFile) { f->path, f->data, f->size, 0644 };
                }
        r = k > 0 ? files_write_atomic(list, k, ATOMIC_FILE_REPLACE, &failed) : 0;
        return r < 0 ? error_set(reterr, r, "--%s: cannot write '%s': %s", options[failed],
                                       list[failed].path, strerror(-r))
                     : 0;
}

int id_file_signature(const char *option, const char *path, EcSignature *ret, char **reterr) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        r = read_input(option, path, &data, &size, reterr);
        if (r < 0)
                return r;
        r = id_signature_read(data, size, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "--%s: %s", option, path) : 0;
}
