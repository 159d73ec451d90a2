/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `cvmspawn owner`: the guest owner's requests to an attestation service. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "atomic-file.h"
#include "error.h"
#include "http-client.h"
#include "json.h"
#include "log.h"
#include "options.h"
#include "owner.h"
#include "secret.h"
#include "strutil.h"
#include "verb.h"

#define ANSWER_MAX      (64u * 1024 * 1024)
#define TIMEOUT_SECONDS 60u

typedef struct Arguments {
        char *url, *ca, *token_file, *cert, *key, *secrets, *json;
        VerbCommon common;
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
        { "secrets", 0, OPTION_REQUIRED, "FILE", "Registration",
                        "JSON with the secrets, which the registration lacks", "@file", option_set_string,
                        AT(secrets), 0 },
        { "json", 0, OPTION_REQUIRED, "STYLE", "Output", "pretty (default) or short", "pretty short",
                        option_set_string, AT(json), 0 },
        VERB_HELP_ROWS(Arguments, common),
};

static const OptionTable table = {
        .program = "cvmspawn owner",
        .arguments = "register|update|import ID FILE | list | show|events|launches|delete ID | "
                     "confirm|reject ID LAUNCH |\n"
                     "       export ID [FILE] | upload FILE | firmware | forget SHA256 | launch|validate ID "
                     "FILE",
        .summary = "Registers guests with an attestation service, and decides about their launches.",
        .zone = "verifier",
        .epilog = "Exit status: 0 done, 1 usage or failure, 3 refused by the service, 4 the service was not "
                  "reached.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
};

typedef enum VerbFlags {
        VERB_SECRETS = 1 << 0, /* takes --secrets= */
        VERB_UPLOAD = 1 << 1,  /* the file is sent as it is */
        VERB_HOST = 1 << 2,    /* a host's request: no token */
        VERB_EXPORT = 1 << 3,  /* prints or writes the registration alone */
} VerbFlags;

/* A digit in the path stands for that argument. */
typedef struct Verb {
        const char *name, *arguments, *method, *path;
        size_t n_arguments, file; /* which of them is the body; 0: none */
        unsigned flags;
} Verb;

static const Verb verbs[] = {
        { "register", " ID FILE", "POST", "vm/1", 2, 2, VERB_SECRETS },
        { "update", " ID FILE", "PUT", "vm/1", 2, 2, VERB_SECRETS },
        { "list", "", "GET", "vm", 0, 0, 0 },
        { "show", " ID", "GET", "vm/1", 1, 0, 0 },
        { "events", " ID", "GET", "vm/1/events", 1, 0, 0 },
        { "delete", " ID", "DELETE", "vm/1", 1, 0, 0 },
        { "launches", " ID", "GET", "vm/1/launches", 1, 0, 0 },
        { "confirm", " ID LAUNCH", "POST", "vm/1/launches/2/confirm", 2, 0, 0 },
        { "reject", " ID LAUNCH", "DELETE", "vm/1/launches/2", 2, 0, 0 },
        { "export", " ID [FILE]", "GET", "vm/1", 1, 0, VERB_EXPORT },
        { "import", " ID FILE", "POST", "vm/1", 2, 2, VERB_SECRETS },
        { "upload", " FILE", "POST", "firmware", 1, 1, VERB_UPLOAD },
        { "firmware", "", "GET", "firmware", 0, 0, 0 },
        { "forget", " SHA256", "DELETE", "firmware/1", 1, 0, 0 },
        { "launch", " ID FILE", "POST", "vm/1/launch", 2, 2, VERB_HOST },
        { "validate", " ID FILE", "POST", "vm/1/validate", 2, 2, VERB_HOST },
};

static void arguments_done(Arguments *a) {
        free(a->url);
        free(a->ca);
        free(a->token_file);
        free(a->cert);
        free(a->key);
        free(a->secrets);
        free(a->json);
}

static int find_verb(const Arguments *a, char *const *words, const Verb **ret, char **reterr) {
        size_t n = strv_length(words);

        FOREACH_ARRAY(v, verbs, ELEMENTSOF(verbs)) {
                if (n == 0 || !streq(words[0], v->name))
                        continue;
                if (n != 1 + v->n_arguments && !(v->flags & VERB_EXPORT && n == 3))
                        return error_set(reterr, -EINVAL, "usage: cvmspawn owner [OPTIONS...] %s%s", v->name,
                                        v->arguments);
                if (a->secrets && !(v->flags & VERB_SECRETS))
                        return error_set(
                                        reterr, -EINVAL, "--secrets= goes with register, update and import");
                *ret = v;
                return 0;
        }
        return error_set(reterr, -EINVAL,
                        "expected register, update, list, show, events, delete, launches, confirm, reject, "
                        "export, import, "
                        "upload, firmware, forget, launch or validate");
}

/* The registration alone, as `register` and `import` take it, on standard output or in a new file. */
static int export(const Json *answer, const char *file, char **reterr) {
        const Json *registration = js_get(answer, "registration");
        _cleanup_free_ char *text = registration ? js_text(registration, JS_PRETTY) : NULL, *line = NULL;
        int r;

        if (!registration)
                return error_set(reterr, -EBADMSG, "the answer has no registration in it");
        if (!text || asprintf(&line, "%s\n", text) < 0) {
                line = NULL;
                return -ENOMEM;
        }
        if (!file) {
                (void) printf("%s", line);
                return 0;
        }
        r = file_write_atomic(file, line, strlen(line), 0600, 0);
        return r < 0 ? error_set(reterr, r, "cannot write '%s': %s", file, strerror(-r)) : 0;
}

/* What the service said, if it granted the request, to standard output; else a sentence to standard error and status 3. */
static int show(const Arguments *a, const Verb *v, const char *file, const HttpAnswer *answer,
                int *ret_status, char **reterr) {
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        const char *detail;

        if (answer->size > 0 && js_parse((const char *) answer->body, answer->size, &j, NULL) < 0)
                j = NULL;
        if (answer->status < 200 || answer->status > 299) {
                detail = js_string_value(js_get(j, "detail"));
                log_error("refused (%u %s): %s", answer->status, js_string_value(js_get(j, "code")) ?: "",
                                detail ?: "this does not look like an attestation service");
                *ret_status = 3;
                return 0;
        }
        if (!j)
                return answer->size > 0 ? error_set(reterr, -EBADMSG, "the answer is no JSON") : 0;
        if (v->flags & VERB_EXPORT)
                return export(j, file, reterr);
        text = js_text(j, streq_ptr(a->json, "short") ? JS_SHORT : JS_PRETTY);
        if (!text)
                return -ENOMEM;
        (void) printf("%s\n", text);
        return 0;
}

static int make_url(const Arguments *a, const Verb *v, char *const *words, char **ret, char **reterr) {
        _cleanup_free_ char *url = NULL;
        size_t n;
        FILE *f;

        for (size_t i = 1; i <= v->n_arguments; i++)
                if (i != v->file && (strlen(words[i]) == 0 || strpbrk(words[i], "/?#% ")))
                        return error_set(reterr, -EINVAL,
                                        "'%s' is no id: letters, digits, '.', '_' and '-' only", words[i]);
        f = open_memstream(&url, &n);
        if (!f)
                return -ENOMEM;
        (void) fprintf(f, "%s%s", a->url, endswith(a->url, "/") ? "" : "/");
        for (const char *p = v->path; *p; p++)
                if (*p == '1' || *p == '2')
                        (void) fprintf(f, "%s", words[*p - '0']);
                else
                        (void) fputc(*p, f);
        if (fclose(f) != 0)
                return -ENOMEM;
        *ret = TAKE_PTR(url);
        return 0;
}

static int request(const Arguments *a, const Verb *v, char *const *words, HttpAnswer *ret, char **reterr) {
        _cleanup_http_client_ HttpClient *client = NULL;
        _cleanup_(secret_buf_done) SecretBuf token = {}, body = {};
        _cleanup_free_ char *url = NULL, *upload = NULL;
        HttpRequest q = {
                .method = v->method,
                .ca_file = a->ca,
                .cert_file = a->cert,
                .key_file = a->key,
                .timeout_seconds = TIMEOUT_SECONDS,
        };
        int r = 0;

        if (!a->url || !startswith(a->url, "https://"))
                return error_set(reterr, -EINVAL, "--service=https://HOST:PORT is needed");
        if (!!a->cert != !!a->key)
                return error_set(reterr, -EINVAL, "--cert= and --key= belong together");
        r = make_url(a, v, words, &url, reterr);
        if (r >= 0 && !(v->flags & VERB_HOST) && (a->token_file || !a->cert))
                r = owner_read_token(a->token_file, &token, reterr);
        if (r >= 0 && v->flags & VERB_UPLOAD)
                r = owner_read_upload(words[v->file], &upload, &q.body_size, reterr);
        else if (r >= 0 && v->file)
                r = owner_read_body(words[v->file], a->secrets, &body, reterr);
        if (r >= 0)
                r = http_client_new(&client, reterr);
        if (r < 0)
                return r;
        q.url = url;
        q.authorization = (const char *) token.data;
        if (v->flags & VERB_UPLOAD) {
                q.body = upload;
                q.content_type = "application/octet-stream";
        } else if (v->file) {
                q.body = body.data;
                q.body_size = body.size;
                q.content_type = "application/json";
        } else if (streq(v->method, "POST"))
                q.body = "";
        return http_client_request(client, &q, ANSWER_MAX, ret, reterr);
}

static int run(int argc, char **argv, char **reterr) {
        _cleanup_(http_answer_done) HttpAnswer answer = {};
        _cleanup_(arguments_done) Arguments a = {};
        _cleanup_strv_free_ char **words = NULL;
        int status = 0, r;
        const Verb *v;

        secret_forbid_core();
        js_erase_memory();
        r = verb_parse(&table, argc, argv, &a, &a.common, &words, reterr);
        if (r != 0)
                return r < 0 ? r : 0;
        if (a.json && !streq(a.json, "pretty") && !streq(a.json, "short"))
                return error_set(reterr, -EINVAL, "--json: expected pretty or short, not '%s'", a.json);
        r = find_verb(&a, words, &v, reterr);
        if (r >= 0)
                r = request(&a, v, words, &answer, reterr);
        if (r == -EHOSTUNREACH || r == -ETIMEDOUT)
                return verb_failed(4, r, reterr);
        if (r >= 0)
                r = show(&a, v, strv_length(words) > 2 ? words[2] : NULL, &answer, &status, reterr);
        return r < 0 ? (status > 0 ? verb_failed(status, r, reterr) : r) : status;
}

int main(int argc, char **argv) {
        return verb_main(&table, argc, argv, run);
}
