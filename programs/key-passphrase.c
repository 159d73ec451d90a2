/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "key-passphrase.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "input.h"

#define PASSPHRASE_MAX 4096u

int key_passphrase(const char *path, SecretBuf *ret, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf file = {}, line = {};
        const uint8_t *end;
        size_t n;
        int r;

        if (!path)
                return 0;
        r = input_read_secret("passphrase-file", path, PASSPHRASE_MAX, &file, reterr);
        if (r < 0)
                return r;
        end = file.size > 0 ? memchr(file.data, '\n', file.size) : NULL;
        n = end ? (size_t) (end - file.data) : file.size;
        if (n > 0 && file.data[n - 1] == '\r')
                n--;
        if (n == 0)
                return error_set(
                                reterr, -EINVAL, "--passphrase-file: the first line of '%s' is empty", path);
        if (memchr(file.data, 0, n))
                return error_set(reterr, -EINVAL, "--passphrase-file: the first line of '%s' has a NUL byte",
                                path);
        r = secret_buf_alloc(&line, n + 1);
        if (r < 0)
                return r;
        memcpy(line.data, file.data, n);
        line.data[n] = 0;
        *ret = TAKE_STRUCT(line, (SecretBuf) {});
        return 0;
}
