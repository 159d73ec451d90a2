/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What goes into an owner's request: the token's header line, and bodies from files. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "json.h"
#include "owner-verb.h"
#include "secret-file.h"
#include "strutil.h"

#define TOKEN_MAX  256u
#define BODY_MAX   (64u * 1024)
#define UPLOAD_MAX (16u * 1024 * 1024)

/* The header line with the token, whose newline at the end does not count. */
int owner_read_token(const char *path, SecretBuf *ret, char **reterr) {
        static const char head[] = "Authorization: Bearer ";
        _cleanup_(secret_buf_done) SecretBuf token = {}, line = {};
        int r;

        if (!path)
                return error_set(reterr, -EINVAL,
                                "--token-file=FILE is required, or --cert=FILE and --key=FILE");
        r = secret_buf_read_path(&token, path, TOKEN_MAX);
        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r));
        while (token.size > 0 && (token.data[token.size - 1] == '\n' || token.data[token.size - 1] == '\r'))
                secret_buf_shrink(&token, token.size - 1);
        for (size_t i = 0; i < token.size; i++)
                if (token.data[i] <= ' ' || token.data[i] > '~')
                        return error_set(reterr, -EINVAL, "'%s' does not contain a token", path);
        if (token.size == 0)
                return error_set(reterr, -EINVAL, "'%s' is empty", path);
        r = secret_buf_alloc(&line, sizeof(head) + token.size);
        if (r < 0)
                return r;
        memcpy(line.data, head, sizeof(head) - 1);
        memcpy(line.data + sizeof(head) - 1, token.data, token.size);
        *ret = TAKE_STRUCT(line, (SecretBuf) {});
        return 0;
}

static int read_json(const char *path, Json **ret, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf text = {};
        _cleanup_free_ char *error = NULL;
        int r = streq(path, "-") ? secret_buf_read_fd(&text, STDIN_FILENO, BODY_MAX)
                                 : secret_buf_read_path(&text, path, BODY_MAX);

        if (r == -E2BIG)
                return error_set(reterr, r, "'%s' is larger than the service's maximum of %u bytes", path,
                                BODY_MAX);
        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r));
        r = js_parse((const char *) text.data ?: "", text.size, ret, &error);
        return r < 0 ? error_set(reterr, r, "'%s' is not valid JSON: %s", path, error ?: strerror(-r)) : 0;
}

int owner_read_body(const char *path, const char *secrets, SecretBuf *ret, char **reterr) {
        _cleanup_js_ Json *j = NULL, *list = NULL;
        char *text;
        int r = read_json(path, &j, reterr);

        if (r >= 0 && secrets)
                r = read_json(secrets, &list, reterr);
        if (r < 0)
                return r;
        if (list) {
                /* The list alone, or what it is a member of. */
                const Json *member = js_is_object(list) ? js_get(list, "secrets") : list;

                if (!js_is_array(member) || !js_is_object(j))
                        return error_set(reterr, -EINVAL,
                                        "--secrets: expected a list of secrets in '%s', and an object in '%s'",
                                        secrets, path);
                r = js_set(j, "secrets", js_ref((Json *) member));
                if (r < 0)
                        return r;
        }
        text = js_text(j, JS_SHORT);
        if (!text)
                return -ENOMEM;
        r = secret_buf_copy(ret, text, strlen(text));
        erase_string_free(text);
        return r;
}

int owner_read_upload(const char *path, char **ret, size_t *ret_size, char **reterr) {
        int r = file_read_all(path, UPLOAD_MAX, ret, ret_size);

        if (r == -E2BIG)
                return error_set(reterr, r, "'%s' is larger than the service's maximum of %u MiB", path,
                                UPLOAD_MAX >> 20);
        return r < 0 ? error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r)) : 0;
}
