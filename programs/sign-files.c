/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sign-files.h"

#include <errno.h>

#include "error.h"
#include "input.h"
#include "secret.h"
#include "strutil.h"

#define KEY_FILE_MAX 65536u

int sign_key_read(const char *option, const char *path, SignKey **ret, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf pem = {};
        int r;

        if (input_is_uri(path))
                r = sign_key_open(path, ret, reterr);
        else {
                r = input_read_secret(option, path, KEY_FILE_MAX, &pem, reterr);
                if (r < 0)
                        return r;
                r = sign_key_load(pem.data, pem.size, ret, reterr);
        }
        return r < 0 ? error_prefix(reterr, r, "--%s: '%s'", option, path) : 0;
}

void signers_done(Signers *s) {
        FOREACH_ARRAY(data, s->data, s->n)
                free(*data);
}

int signers_read(const char *option, char *const *paths, Signers *s, char **reterr) {
        STRV_FOREACH(path, paths) {
                size_t size;
                int r;

                if (s->n >= DSSE_SIGNATURES_MAX)
                        return error_set(reterr, -E2BIG, "--%s: more than %u keys", option,
                                        DSSE_SIGNATURES_MAX);
                r = input_read(option, *path, KEY_FILE_MAX, s->data + s->n, &size, reterr);
                if (r < 0)
                        return r;
                s->keys[s->n] = (DsseKey) { .name = *path, .data = s->data[s->n], .size = size };
                s->n++;
        }
        s->n_keys = s->n;
        if (s->n > 0) {
                int r = dsse_keys_distinct(s->keys, &s->n_keys, reterr);

                if (r < 0)
                        return error_prefix(reterr, r, "--%s", option);
        }
        return 0;
}
