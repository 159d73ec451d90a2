/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `cvmspawn relay`: forwards an SNP guest's requests to an attestation service, and the answers back (guest-port.h has the protocol). It
 * interprets neither: the guest reaches two paths below one URL, with bodies of bounded size, at a bounded rate. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "http-client.h"
#include "json.h"
#include "log.h"
#include "options.h"
#include "strutil.h"
#include "verb.h"

#define BODY_MAX        (64u * 1024)  /* what cvmspawn-attestd takes */
#define ANSWER_MAX      (128u * 1024) /* what cvmspawn-guest-attest takes */
#define LINE_MAX_IN     64u
#define TIMEOUT_SECONDS 60u
#define BURST           8u /* requests at once; a guest has two */
#define REFILL_SECONDS  1u /* one more after so long */

typedef struct Arguments {
        char *url, *ca, *connect;
        VerbCommon common;
} Arguments;

#define AT(member) offsetof(Arguments, member)

static const OptionRow rows[] = {
        { "attestation-service", 0, OPTION_REQUIRED, "URL", "Service",
                        "Forward to this registration: https://HOST[:PORT]/vm/ID", NULL, option_set_string,
                        AT(url), 0 },
        { "attestation-ca", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Use these CA certificates (PEM or DER) for the service\n(default: the system's trust store)",
                        "@file", option_set_string, AT(ca), 0 },
        { "connect", 0, OPTION_REQUIRED, "PATH", "Guest",
                        "Connect to the unix socket of the guest's port (default:\n"
                        "standard input and output)",
                        "@file", option_set_string, AT(connect), 0 },
        VERB_HELP_ROWS,
};

static const OptionTable table = {
        .program = "cvmspawn relay",
        .summary = "Forward an SNP guest's requests to its owner's attestation service.",
        .zone = "host",
        .epilog = "Exit status: 0 the guest disconnected, 1 usage error or failure.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
};

typedef struct Relay {
        const Arguments *args;
        HttpClient *client; /* owned */
        int in, out;
        char buffer[4096];
        size_t n, pos;
        unsigned tokens;
        time_t refilled;
} Relay;

/* 1, 0 at the end, or -errno. */
static int get(Relay *r, char *ret) {
        while (r->pos == r->n) {
                ssize_t k = read(r->in, r->buffer, sizeof(r->buffer));

                if (k < 0 && errno != EINTR)
                        return -errno;
                if (k == 0)
                        return 0;
                r->n = k > 0 ? (size_t) k : 0;
                r->pos = 0;
        }
        *ret = r->buffer[r->pos++];
        return 1;
}

/* 1: a line; 2: one that was too long; 0 at the end. */
static int get_line(Relay *r, char ret[static LINE_MAX_IN]) {
        size_t n = 0;
        char c;
        int k;

        while ((k = get(r, &c)) > 0) {
                if (c == '\n') {
                        ret[MIN(n, (size_t) LINE_MAX_IN - 1)] = 0;
                        return n < LINE_MAX_IN ? 1 : 2;
                }
                if (n + 1 < LINE_MAX_IN)
                        ret[n] = c;
                n++;
        }
        return k;
}

static int get_body(Relay *r, char *body, size_t size) {
        for (size_t i = 0; i < size; i++) {
                int k = get(r, body + i);

                if (k <= 0)
                        return k;
        }
        return 1;
}

static int answer(Relay *r, uint64_t id, unsigned status, unsigned retry_after, const void *body, size_t n) {
        char line[LINE_MAX_IN];
        int k = snprintf(line, sizeof(line), "%llu %u %u %zu\n", (unsigned long long) id, status,
                        retry_after, n);

        assert(k > 0 && (size_t) k < sizeof(line));
        k = fd_write_all(r->out, line, (size_t) k);
        if (k >= 0)
                k = fd_write_all(r->out, body, n);
        return k < 0 ? k : fd_write_all(r->out, "\n", 1);
}

/* An answer in place of the service's. */
static int complain(Relay *r, uint64_t id, unsigned status, unsigned retry_after, const char *code,
                const char *detail) {
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        int k = js_build(&j, "{s:s, s:s}", "code", code, "detail", detail);

        text = k < 0 ? NULL : js_text(j, JS_SHORT);
        return text ? answer(r, id, status, retry_after, text, strlen(text)) : -ENOMEM;
}

static bool spend(Relay *r) {
        time_t now = time(NULL),
               more = now > r->refilled ? (now - r->refilled) / (time_t) REFILL_SECONDS : 0;

        if (more > 0) {
                r->tokens = (unsigned) MIN((time_t) r->tokens + more, (time_t) BURST);
                r->refilled = now;
        }
        if (r->tokens == 0)
                return false;
        r->tokens--;
        return true;
}

/* A copy that a terminal can show: a service is not trusted by the host. */
static char *printable(const char *text) {
        char *copy = strdup(text);

        for (char *p = copy; p && *p; p++)
                if ((unsigned char) *p < ' ' || (unsigned char) *p >= 0x7f)
                        *p = '?';
        return copy;
}

/* Whatever the guest makes of it, the host's operator sees why the service did not answer with secrets. */
static void report_refusal(const char *verb, const HttpAnswer *a) {
        _cleanup_free_ char *code = NULL, *detail = NULL;
        _cleanup_js_ Json *j = NULL;

        if (a->size > 0 && js_parse((const char *) a->body, a->size, &j, NULL) < 0)
                j = NULL;
        code = printable(js_string_value(js_get(j, "code")) ?: js_string_value(js_get(j, "state")) ?: "no reason");
        detail = printable(js_string_value(js_get(j, "detail")) ?: "not a problem document");
        if (a->retry_after > 0)
                log_notice("%s: the attestation service answered %u (%s): %s; retry in %u s", verb,
                                a->status, code ?: "", detail ?: "", a->retry_after);
        else
                log_notice("%s: the attestation service answered %u (%s): %s", verb, a->status, code ?: "",
                                detail ?: "");
}

static int pass_on(Relay *r, const char *verb, uint64_t id, const char *body, size_t n) {
        _cleanup_(http_answer_done) HttpAnswer a = {};
        _cleanup_free_ char *url = NULL, *error = NULL;
        int k;

        if (!spend(r))
                return complain(r, id, 429, REFILL_SECONDS, "too-fast",
                                "the host forwards one request per second");
        if (asprintf(&url, "%s/%s", r->args->url, verb) < 0) {
                url = NULL;
                return -ENOMEM;
        }
        k = http_client_request(r->client,
                        &(HttpRequest) {
                                        .method = "POST",
                                        .url = url,
                                        .body = body,
                                        .body_size = n,
                                        .content_type = "application/json",
                                        .ca_file = r->args->ca,
                                        .timeout_seconds = TIMEOUT_SECONDS,
                        },
                        ANSWER_MAX, &a, &error);
        if (k < 0) {
                log_warning("%s: %s", url, error ?: strerror(-k));
                return complain(r, id, 502, 0, "unreachable",
                                "the host cannot reach the attestation service");
        }
        if (a.status != 200)
                report_refusal(verb, &a);
        return answer(r, id, a.status, a.retry_after, a.body, a.size);
}

/* "launch|validate ID LENGTH"; any other line is ignored. */
static bool parse_line(char *line, const char **ret_verb, uint64_t *ret_id, uint64_t *ret_size) {
        char *state = NULL, *verb = strtok_r(line, " ", &state), *id = strtok_r(NULL, " ", &state),
             *size = strtok_r(NULL, " ", &state);

        if (!size || strtok_r(NULL, " ", &state) || (!streq(verb, "launch") && !streq(verb, "validate")))
                return false;
        *ret_verb = verb;
        return parse_u64(id, ret_id) >= 0 && parse_u64(size, ret_size) >= 0;
}

static int serve(Relay *r) {
        _cleanup_free_ char *body = malloc(BODY_MAX);
        char line[LINE_MAX_IN];
        int k;

        if (!body)
                return -ENOMEM;
        while ((k = get_line(r, line)) > 0) {
                const char *verb;
                uint64_t id, size;

                if (k == 2 || !parse_line(line, &verb, &id, &size))
                        continue;
                if (size > BODY_MAX) /* its body is then read as lines, and ignored */
                        k = complain(r, id, 413, 0, "too-large",
                                        "the host forwards bodies of at most 64 KiB");
                else {
                        k = get_body(r, body, size);
                        if (k > 0)
                                k = pass_on(r, verb, id, body, size);
                        else if (k == 0)
                                break;
                }
                if (k < 0)
                        break;
        }
        /* A guest that disconnects, at whatever moment, is not a failure. */
        return k == -EPIPE || k == -ECONNRESET ? 0 : k;
}

static int connect_to(const char *path, char **reterr) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;

        if (strlen(path) >= sizeof(sa.sun_path))
                return error_set(reterr, -ENAMETOOLONG,
                                "--connect: '%s' is too long for the path of a unix socket", path);
        memcpy(sa.sun_path, path, strlen(path) + 1);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *) &sa, sizeof(sa)) < 0)
                return error_set(reterr, -errno, "cannot connect to '%s': %s", path, strerror(errno));
        return TAKE_FD(fd);
}

static int relay_run(void *arguments, char **words, char **reterr) {
        const Arguments *a = arguments;
        Relay relay = {
                .args = a, .in = STDIN_FILENO, .out = STDOUT_FILENO, .tokens = BURST, .refilled = time(NULL)
        };
        _cleanup_http_client_ HttpClient *client = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (words)
                return error_set(reterr, -EINVAL, "unexpected argument '%s'", words[0]);
        if (!a->url || (!startswith(a->url, "https://") && !startswith(a->url, "http://")) ||
                        endswith(a->url, "/"))
                return error_set(reterr, -EINVAL,
                                "--attestation-service=: expected https://HOST[:PORT]/vm/ID, not '%s'",
                                a->url ?: "");
        if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;
        if (a->connect) {
                fd = connect_to(a->connect, reterr);
                if (fd < 0)
                        return fd;
                relay.in = relay.out = fd;
        }
        r = http_client_new(&client, reterr);
        relay.client = client;
        return r < 0 ? r : serve(&relay);
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(Arguments),
        .common = AT(common),
        .run = relay_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
