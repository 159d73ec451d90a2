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
#include "owner-verb.h"
#include "secret.h"
#include "strutil.h"
#include "verb.h"

#define ANSWER_MAX      (64u * 1024 * 1024)
#define TIMEOUT_SECONDS 60u

typedef struct Arguments {
        char *url, *ca, *token_file, *cert, *key, *secrets;
        VerbCommon common;
} Arguments;

#define AT(member) offsetof(Arguments, member)

static const OptionRow rows[] = {
        { "service", 'u', OPTION_REQUIRED, "URL", "Service",
                        "Connect to this service: https://HOST:PORT[/PREFIX]", NULL, option_set_string,
                        AT(url), 0 },
        { "ca", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Use these CA certificates (PEM or DER) for the service\n(default: the system's trust store)",
                        "@file", option_set_string, AT(ca), 0 },
        { "token-file", 't', OPTION_REQUIRED, "FILE", NULL, "Read the owner's token from FILE", "@file",
                        option_set_string, AT(token_file), 0 },
        { "cert", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Use the owner's TLS client certificate (PEM), instead of a token", "@file",
                        option_set_string, AT(cert), 0 },
        { "key", 0, OPTION_REQUIRED, "FILE", NULL, "Use this private key of the certificate, PEM", "@file",
                        option_set_string, AT(key), 0 },
        { "secrets", 0, OPTION_REQUIRED, "FILE", "Registration",
                        "Read the secrets of the registration from this JSON file", "@file",
                        option_set_string, AT(secrets), 0 },
        VERB_ROWS("Output"),
};

#define SERVICE "service ca cert key "
#define OWNER   SERVICE "token-file "

static const OptionCommand commands[] = {
        { "register", "ID FILE", "Register a guest", OWNER "secrets json" },
        { "update", "ID FILE", "Replace a registration", OWNER "secrets json" },
        { "import", "ID FILE", "Register what 'export' wrote", OWNER "secrets json" },
        { "list", NULL, "List the registered guests", OWNER "json" },
        { "show", "ID", "Show a registration", OWNER "json" },
        { "events", "ID", "Show what happened to a registration", OWNER "json" },
        { "launches", "ID", "Show the launches that wait for confirmation", OWNER "json" },
        { "delete", "ID", "Delete a registration", OWNER "json" },
        { "confirm", "ID LAUNCH", "Confirm a launch", OWNER "json" },
        { "reject", "ID LAUNCH", "Reject a launch", OWNER "json" },
        { "export", "ID [FILE]", "Print or write a registration alone", OWNER },
        { "upload", "FILE", "Upload a firmware image", OWNER "json" },
        { "firmware", NULL, "List the uploaded firmware", OWNER "json" },
        { "forget", "SHA256", "Delete an uploaded firmware", OWNER "json" },
        { "launch", "ID FILE", "Send a host's launch request", SERVICE "json" },
        { "validate", "ID FILE", "Send a host's validate request", SERVICE "json" },
};

static const OptionRule rules[] = {
        { "cert", "key", NULL, NULL },
        { "key", "cert", NULL, NULL },
};

static const OptionTable table = {
        .program = "cvmspawn owner",
        .summary = "Register guests with an attestation service, and decide about their launches.",
        .zone = "verifier",
        .epilog = "Exit status: 0 success, 1 usage error or failure, 3 refused by the service, 4 service not reachable.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .commands = commands,
        .n_commands = ELEMENTSOF(commands),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
};

typedef enum VerbFlags {
        VERB_UPLOAD = 1 << 0, /* the file is sent as it is */
        VERB_HOST = 1 << 1,   /* a host's request: no token */
        VERB_EXPORT = 1 << 2, /* prints or writes the registration alone */
} VerbFlags;

/* A digit in the path stands for that argument. */
typedef struct Verb {
        const char *name, *method, *path;
        size_t n_arguments, file; /* which of them is the body; 0: none */
        unsigned flags;
} Verb;

static const Verb verbs[] = {
        { "register", "POST", "vm/1", 2, 2, 0 },
        { "update", "PUT", "vm/1", 2, 2, 0 },
        { "list", "GET", "vm", 0, 0, 0 },
        { "show", "GET", "vm/1", 1, 0, 0 },
        { "events", "GET", "vm/1/events", 1, 0, 0 },
        { "delete", "DELETE", "vm/1", 1, 0, 0 },
        { "launches", "GET", "vm/1/launches", 1, 0, 0 },
        { "confirm", "POST", "vm/1/launches/2/confirm", 2, 0, 0 },
        { "reject", "DELETE", "vm/1/launches/2", 2, 0, 0 },
        { "export", "GET", "vm/1", 1, 0, VERB_EXPORT },
        { "import", "POST", "vm/1", 2, 2, 0 },
        { "upload", "POST", "firmware", 1, 1, VERB_UPLOAD },
        { "firmware", "GET", "firmware", 0, 0, 0 },
        { "forget", "DELETE", "firmware/1", 1, 0, 0 },
        { "launch", "POST", "vm/1/launch", 2, 2, VERB_HOST },
        { "validate", "POST", "vm/1/validate", 2, 2, VERB_HOST },
};

static const char *usage(const char *name) {
        FOREACH_ARRAY(c, commands, ELEMENTSOF(commands))
                if (streq(c->name, name) && c->arguments)
                        return c->arguments;
        return "";
}

static int find_verb(char *const *words, const Verb **ret, char **reterr) {
        size_t n = strv_length(words);

        FOREACH_ARRAY(v, verbs, ELEMENTSOF(verbs)) {
                if (n == 0 || !streq(words[0], v->name))
                        continue;
                if (n != 1 + v->n_arguments && !(v->flags & VERB_EXPORT && n == 3))
                        return error_set(reterr, -EINVAL, "usage: cvmspawn owner [OPTIONS...] %s %s",
                                        v->name, usage(v->name));
                *ret = v;
                return 0;
        }
        return -EINVAL; /* the table knows no other */
}

/* The registration alone, as `register` and `import` take it, on standard output or in a new file. */
static int export(const Json *answer, const char *file, char **reterr) {
        const Json *registration = js_get(answer, "registration");
        _cleanup_free_ char *text = registration ? js_text(registration, JS_PRETTY) : NULL, *line = NULL;
        int r;

        if (!registration)
                return error_set(reterr, -EBADMSG, "the answer does not contain a registration");
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
                                detail ?: "this is not an attestation service");
                *ret_status = 3;
                return 0;
        }
        if (!j)
                return answer->size > 0 ? error_set(reterr, -EBADMSG, "the answer is not JSON") : 0;
        if (v->flags & VERB_EXPORT)
                return export(j, file, reterr);
        text = js_text(j, a->common.json ? a->common.style : JS_PRETTY);
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
                                        "'%s' is not an id: use letters, digits, '.', '_' and '-'",
                                        words[i]);
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
                return error_set(reterr, -EINVAL, "--service=https://HOST:PORT is required");
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

static int owner_run(void *arguments, char **words, char **reterr) {
        _cleanup_(http_answer_done) HttpAnswer answer = {};
        const Arguments *a = arguments;
        int status = 0, r;
        const Verb *v;

        secret_forbid_core();
        js_erase_memory();
        r = find_verb(words, &v, reterr);
        if (r >= 0)
                r = request(a, v, words, &answer, reterr);
        if (r == -EHOSTUNREACH || r == -ETIMEDOUT)
                return verb_failed(4, r, reterr);
        if (r >= 0)
                r = show(a, v, strv_length(words) > 2 ? words[2] : NULL, &answer, &status, reterr);
        return r < 0 ? (status > 0 ? verb_failed(status, r, reterr) : r) : status;
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(Arguments),
        .common = AT(common),
        .run = owner_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
