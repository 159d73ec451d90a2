/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `cvmspawn owner`: the guest owner's requests to an attestation service. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "http-client.h"
#include "json.h"
#include "log.h"
#include "options.h"
#include "secret-file.h"
#include "secret.h"
#include "strutil.h"

#define TOKEN_MAX       256u
#define BODY_MAX        (64u * 1024)
#define ANSWER_MAX      (64u * 1024 * 1024)
#define TIMEOUT_SECONDS 60u

typedef struct Arguments {
        char *url, *ca, *token_file, *cert, *key, *json;
        bool help;
} Arguments;

#define AT(member) offsetof(Arguments, member)

static const OptionRow rows[] = {
        { "service", 'u', OPTION_REQUIRED, "URL", "Service",
                        "where the service is: https://HOST:PORT[/PREFIX]", NULL, option_set_string, AT(url),
                        0 },
        { "ca", 0, OPTION_REQUIRED, "FILE", NULL, "whom to trust for it, PEM; else the system's authorities",
                        "@file", option_set_string, AT(ca), 0 },
        { "token-file", 't', OPTION_REQUIRED, "FILE", NULL, "the owner's token", "@file", option_set_string,
                        AT(token_file), 0 },
        { "cert", 0, OPTION_REQUIRED, "FILE", NULL, "instead of a token: the owner's certificate, PEM",
                        "@file", option_set_string, AT(cert), 0 },
        { "key", 0, OPTION_REQUIRED, "FILE", NULL, "its private key, PEM", "@file", option_set_string,
                        AT(key), 0 },
        { "json", 0, OPTION_REQUIRED, "STYLE", "Output", "pretty (default) or short", "pretty short",
                        option_set_string, AT(json), 0 },
        { "help", 'h', OPTION_NONE, NULL, NULL, "print this text", NULL, option_set_true, AT(help), 0 },
};

static const OptionTable table = {
        .program = "cvmspawn owner",
        .arguments = "register ID FILE | list | show ID | events ID | delete ID",
        .summary = "Registers guests with an attestation service, shows and deletes registrations.",
        .zone = "verifier",
        .epilog = "Exit status: 0 done, 1 usage or failure, 3 refused by the service, 4 the service was not "
                  "reached.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
};

typedef struct Verb {
        const char *name, *method, *tail;
        bool id, file;
} Verb;

static const Verb verbs[] = {
        { "register", "POST", "", true, true },
        { "list", "GET", "", false, false },
        { "show", "GET", "", true, false },
        { "events", "GET", "/events", true, false },
        { "delete", "DELETE", "", true, false },
};

static void arguments_done(Arguments *a) {
        free(a->url);
        free(a->ca);
        free(a->token_file);
        free(a->cert);
        free(a->key);
        free(a->json);
}

static int find_verb(char *const *words, const Verb **ret, char **reterr) {
        size_t n = strv_length(words);

        FOREACH_ARRAY(v, verbs, ELEMENTSOF(verbs))
                if (n > 0 && streq(words[0], v->name)) {
                        if (n != 1u + v->id + v->file)
                                return error_set(reterr, -EINVAL,
                                                "usage: cvmspawn owner [OPTIONS...] %s%s%s", v->name,
                                                v->id ? " ID" : "", v->file ? " FILE" : "");
                        *ret = v;
                        return 0;
                }
        return error_set(reterr, -EINVAL, "expected register, list, show, events or delete");
}

/* The header line with the token, whose newline at the end does not count. */
static int read_token(const char *path, SecretBuf *ret, char **reterr) {
        static const char head[] = "Authorization: Bearer ";
        _cleanup_(secret_buf_done) SecretBuf token = {}, line = {};
        int r;

        if (!path)
                return error_set(reterr, -EINVAL,
                                "--token-file=FILE is needed, or --cert=FILE and --key=FILE");
        r = secret_buf_read_path(&token, path, TOKEN_MAX);
        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r));
        while (token.size > 0 && (token.data[token.size - 1] == '\n' || token.data[token.size - 1] == '\r'))
                secret_buf_shrink(&token, token.size - 1);
        for (size_t i = 0; i < token.size; i++)
                if (token.data[i] <= ' ' || token.data[i] > '~')
                        return error_set(reterr, -EINVAL, "'%s' holds no token", path);
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

static int read_body(const char *path, SecretBuf *ret, char **reterr) {
        int r = streq(path, "-") ? secret_buf_read_fd(ret, STDIN_FILENO, BODY_MAX)
                                 : secret_buf_read_path(ret, path, BODY_MAX);

        if (r == -E2BIG)
                return error_set(reterr, r, "'%s' is larger than the %u bytes that a service takes", path,
                                BODY_MAX);
        return r < 0 ? error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r)) : 0;
}

/* 3 if the service refused; what it said goes to standard error in one sentence, else to standard output. */
static int show(const Arguments *a, const HttpAnswer *answer) {
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        const char *detail;

        if (answer->size > 0 && js_parse((const char *) answer->body, answer->size, &j, NULL) < 0)
                j = NULL;
        if (answer->status < 200 || answer->status > 299) {
                detail = js_string_value(js_get(j, "detail"));
                log_error("refused (%u %s): %s", answer->status, js_string_value(js_get(j, "code")) ?: "",
                                detail ?: "this does not look like an attestation service");
                return 3;
        }
        if (!j)
                return answer->size > 0 ? 1 : 0;
        text = js_text(j, streq_ptr(a->json, "short") ? JS_SHORT : JS_PRETTY);
        if (!text)
                return 1;
        (void) printf("%s\n", text);
        return 0;
}

static int request(const Arguments *a, const Verb *v, char *const *words, HttpAnswer *ret, char **reterr) {
        _cleanup_http_client_ HttpClient *client = NULL;
        _cleanup_(secret_buf_done) SecretBuf token = {}, body = {};
        _cleanup_free_ char *url = NULL;
        int r;

        if (!a->url || !startswith(a->url, "https://"))
                return error_set(reterr, -EINVAL, "--service=https://HOST:PORT is needed");
        if (!!a->cert != !!a->key)
                return error_set(reterr, -EINVAL, "--cert= and --key= belong together");
        r = a->token_file || !a->cert ? read_token(a->token_file, &token, reterr) : 0;
        if (r >= 0 && v->file)
                r = read_body(words[2], &body, reterr);
        if (r < 0)
                return r;
        if (v->id && (strlen(words[1]) == 0 || strpbrk(words[1], "/?#% ")))
                return error_set(reterr, -EINVAL, "'%s' is no id: letters, digits, '.', '_' and '-' only",
                                words[1]);
        if (asprintf(&url, "%s%svm%s%s%s", a->url, endswith(a->url, "/") ? "" : "/", v->id ? "/" : "",
                            v->id ? words[1] : "", v->tail) < 0) {
                url = NULL;
                return -ENOMEM;
        }
        r = http_client_new(&client, reterr);
        if (r < 0)
                return r;
        return http_client_request(client,
                        &(HttpRequest) {
                                        .method = v->method,
                                        .url = url,
                                        .body = v->file ? (body.data ?: (const void *) "") : NULL,
                                        .body_size = body.size,
                                        .content_type = v->file ? "application/json" : NULL,
                                        .authorization = (const char *) token.data,
                                        .ca_file = a->ca,
                                        .cert_file = a->cert,
                                        .key_file = a->key,
                                        .timeout_seconds = TIMEOUT_SECONDS,
                        },
                        ANSWER_MAX, ret, reterr);
}

static int run(int argc, char **argv, Arguments *a, int *ret_status, char **reterr) {
        _cleanup_(http_answer_done) HttpAnswer answer = {};
        _cleanup_strv_free_ char **words = NULL;
        const Verb *v;
        int r;

        r = options_parse(&table, argc, argv, a, &words, reterr);
        if (r < 0)
                return r;
        if (a->help) {
                options_help(&table, stdout);
                return 0;
        }
        if (a->json && !streq(a->json, "pretty") && !streq(a->json, "short"))
                return error_set(reterr, -EINVAL, "--json: expected pretty or short, not '%s'", a->json);
        r = find_verb(words, &v, reterr);
        if (r >= 0)
                r = request(a, v, words, &answer, reterr);
        if (r == -EHOSTUNREACH || r == -ETIMEDOUT)
                *ret_status = 4;
        if (r < 0)
                return r;
        *ret_status = show(a, &answer);
        return 0;
}

int main(int argc, char **argv) {
        _cleanup_(arguments_done) Arguments a = {};
        _cleanup_free_ char *error = NULL;
        int status = 0, r;

        secret_forbid_core();
        log_open("cvmspawn owner", /* quiet= */ false);
        if (options_dump_requested(&table, argc, argv))
                return 0;
        r = run(argc, argv, &a, &status, &error);
        if (r < 0) {
                (void) log_failure(r, error);
                return status > 0 ? status : 1;
        }
        return fflush(stdout) != 0 ? 1 : status;
}
