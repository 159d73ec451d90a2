/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A client of cvmspawn-attestation-protocol(7). What is repeated, and why that is safe: a launch that is asked for again gives another
 * session, and the unused one expires at the service; a validation that is asked for again with the same measurement gives the same bytes. So
 * both are repeated after a broken connection and a service in trouble (500, 503), a few times, and while a launch is held for the
 * owner's confirmation (202), as long as the caller's patience lasts. Everything else is final. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "attest-session.h"
#include "encode.h"
#include "error.h"
#include "http-client.h"
#include "json.h"
#include "owner-backend.h"
#include "strutil.h"

#define ANSWER_MAX      (64u * 1024)
#define TIMEOUT_SECONDS 30u
#define ATTEMPTS_MAX    3u
#define RETRY_SECONDS   1u /* after the first failure; twice as much after the second */
#define HELD_SECONDS    5u /* between two questions about a held launch, if the service does not say */

typedef struct Service {
        char *url, *ca_file;
        char *launch_id; /* of the launch that was granted */
        unsigned wait_seconds;
        OwnerPatience patience;
        int (*complete)(void *userdata, const OwnerLaunch *in, char **ret, char **reterr);
        void *userdata;
        HttpClient *client;
} Service;

static void service_free(void *backend) {
        Service *s = backend;

        http_client_free(s->client);
        free(s->url);
        free(s->ca_file);
        free(s->launch_id);
        free(s);
}

/* Which verdict a problem's code amounts to; what is not listed is a policy that is not met. */
static const struct {
        const char *code;
        Verdict verdict;
} codes[] = {
        { "measurement-mismatch", VERDICT_NOT_AUTHENTIC },
        { "platform-not-authentic", VERDICT_NOT_AUTHENTIC },
        { "cpu-id-mismatch", VERDICT_NOT_AUTHENTIC },
        { "cek-unsigned", VERDICT_COLLATERAL_UNAVAILABLE },
        { "collateral-missing", VERDICT_COLLATERAL_UNAVAILABLE },
        { "malformed", VERDICT_UNVERIFIED },
        { "internal", VERDICT_UNVERIFIED },
        { "unavailable", VERDICT_COLLATERAL_UNAVAILABLE },
};

static Verdict verdict_of(const char *code) {
        for (size_t i = 0; i < ELEMENTSOF(codes); i++)
                if (streq(codes[i].code, code))
                        return codes[i].verdict;
        return VERDICT_POLICY_NOT_MET;
}

static int just_wait(_unused_ void *userdata, unsigned milliseconds) {
        (void) poll(NULL, 0, (int) milliseconds);
        return 0;
}

static int wait_for(const Service *s, unsigned seconds, const char *sentence) {
        if (s->patience.notice)
                s->patience.notice(s->patience.userdata, sentence);
        return (s->patience.pause ?: just_wait)(s->patience.userdata, seconds * 1000);
}

/* Printable, short: it comes from outside and goes to a terminal. */
static char *printable(const char *text) {
        char *copy = strndup(text, 1000);

        for (char *p = copy; p && *p; p++) {
                /* C0, DEL, and C1 as UTF-8 writes it */
                if ((unsigned char) *p < ' ' || *p == 0x7f)
                        *p = ' ';
                else if ((unsigned char) *p == 0xc2 && (unsigned char) p[1] >= 0x80 &&
                                (unsigned char) p[1] < 0xa0)
                        p[0] = p[1] = ' ';
        }
        return copy;
}

/* What a problem document says; another server's answer says nothing useful. */
static int take_problem(const Service *s, const HttpAnswer *a, const Json *j, OwnerOutcome *o) {
        const char *code = js_string_value(js_get(j, "code")),
                   *detail = js_string_value(js_get(j, "detail"));
        _cleanup_free_ char *text = NULL, *word = NULL;

        if (!code || !detail)
                return owner_refuse(o, VERDICT_COLLATERAL_UNAVAILABLE, "not-a-service",
                                "%s answered with status %u, but not as an attestation service does", s->url,
                                a->status);
        text = printable(detail);
        word = printable(code);
        if (!text || !word)
                return -ENOMEM;
        if (a->retry_after > 0)
                return owner_refuse(o, verdict_of(word), word,
                                "the attestation service refused (%s): %s; retry in %u s", word, text,
                                a->retry_after);
        return owner_refuse(
                        o, verdict_of(word), word, "the attestation service refused (%s): %s", word, text);
}

static int request_once(
                const Service *s, const char *verb, const Json *body, HttpAnswer *ret, char **reterr) {
        _cleanup_free_ char *url = NULL, *text = js_text(body, JS_SHORT);

        if (!text)
                return -ENOMEM;
        if (asprintf(&url, "%s/%s", s->url, verb) < 0) {
                url = NULL;
                return -ENOMEM;
        }
        return http_client_request(s->client,
                        &(HttpRequest) {
                                        .method = "POST",
                                        .url = url,
                                        .body = text,
                                        .body_size = strlen(text),
                                        .content_type = "application/json",
                                        .ca_file = s->ca_file,
                                        .timeout_seconds = TIMEOUT_SECONDS,
                        },
                        ANSWER_MAX, ret, reterr);
}

/* 429 with a time is not a refusal: nothing was done for the request, and the service says when it will be. */
static bool is_trouble(unsigned status, unsigned retry_after) {
        return (status == 429 && retry_after > 0) || status == 500 || status == 502 || status == 503 ||
                        status == 504;
}

/* Repeats while that is safe and there is patience. 1: *ret is an answer; 0: refused, *o says why. */
static int request_repeated(Service *s, const char *verb, Json *body, HttpAnswer *ret, OwnerOutcome *o) {
        unsigned attempts = 0, waited = 0;

        for (;;) {
                _cleanup_(http_answer_done) HttpAnswer a = {};
                _cleanup_free_ char *error = NULL, *sentence = NULL;
                unsigned seconds;
                int r = request_once(s, verb, body, &a, &error);
                bool broken = r == -EHOSTUNREACH || r == -ETIMEDOUT;

                if (r < 0 && !broken)
                        return owner_refuse(o, VERDICT_COLLATERAL_UNAVAILABLE, "not-reached", "%s",
                                        error ?: strerror(-r));
                if (broken || is_trouble(a.status, a.retry_after)) {
                        if (++attempts >= ATTEMPTS_MAX && broken)
                                return owner_refuse(o, VERDICT_COLLATERAL_UNAVAILABLE, "not-reached",
                                                "cannot reach the attestation service: %s",
                                                error ?: strerror(-r));
                        /* What the service says counts; if that is longer than we may wait, its answer is passed on. */
                        seconds = a.retry_after > 0 ? a.retry_after : RETRY_SECONDS << (attempts - 1);
                        if (attempts < ATTEMPTS_MAX &&
                                        (a.retry_after == 0 || a.retry_after <= s->wait_seconds)) {
                                if (wait_for(s, seconds,
                                                    a.status == 429 ? "the attestation service limits the rate of requests, retrying"
                                                                    : "the attestation service does not answer, retrying") <
                                                0)
                                        return -ECANCELED;
                                continue;
                        }
                }
                if (a.status == 202) {
                        seconds = a.retry_after > 0 ? a.retry_after : HELD_SECONDS;
                        if (seconds > s->wait_seconds - waited)
                                return owner_refuse(o, VERDICT_POLICY_NOT_MET, "held",
                                                "the launch is held for the owner's confirmation, which did not arrive within %u s",
                                                s->wait_seconds);
                        if (asprintf(&sentence,
                                            "the launch is held for the owner's confirmation, retrying in %u s",
                                            seconds) < 0) {
                                sentence = NULL;
                                return -ENOMEM;
                        }
                        if (wait_for(s, seconds, sentence) < 0)
                                return -ECANCELED;
                        waited += seconds;
                        continue;
                }
                *ret = TAKE_STRUCT(a, (HttpAnswer) {});
                return 1;
        }
}

/* 1: *ret is what the service grants. */
static int ask(Service *s, const char *verb, Json *body, Json **ret, OwnerOutcome *o) {
        _cleanup_(http_answer_done) HttpAnswer a = {};
        _cleanup_js_ Json *j = NULL;
        int r = request_repeated(s, verb, body, &a, o);

        if (r <= 0)
                return r;
        if (a.size > 0 && js_parse((const char *) a.body, a.size, &j, NULL) < 0)
                j = NULL;
        if (a.status != 200 || !js_is_object(j))
                return take_problem(s, &a, j, o);
        *ret = TAKE_PTR(j);
        return 1;
}

/* A copy of a base64 member; *ret stays NULL where it is missing or has another size. */
static int take_base64(const Json *j, const char *name, size_t min, size_t max, char **ret) {
        const char *text = js_string_value(js_get(j, name));
        _cleanup_free_ uint8_t *bytes = NULL;
        size_t size;

        if (!text || base64_decode(text, strlen(text), &bytes, &size) < 0 || size < min || size > max)
                return 0;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

static int bad_answer(OwnerOutcome *o, const char *verb) {
        return owner_refuse(o, VERDICT_COLLATERAL_UNAVAILABLE, "not-a-service",
                        "the answer to %s does not come from an attestation service", verb);
}

static int service_launch(
                void *backend, const OwnerLaunch *in, OwnerSession *ret, OwnerOutcome *o, char **reterr) {
        _cleanup_(owner_session_done) OwnerSession answer = {};
        _cleanup_free_ char *chain = NULL;
        _cleanup_js_ Json *body = js_object(), *j = NULL;
        const char *id;
        Service *s = backend;
        uint64_t policy;
        int r;

        r = s->complete ? s->complete(s->userdata, in, &chain, reterr) : 0;
        if (r < 0)
                return r;
        if (!body || js_set(body, "scheme", js_string(in->scheme)) < 0 ||
                        js_set(body, "pdh", js_string(in->pdh)) < 0 ||
                        js_set(body, "cert-chain", js_string(chain ?: in->cert_chain)) < 0 ||
                        (in->cpu_id && js_set(body, "cpu-id", js_string(in->cpu_id)) < 0) ||
                        (in->has_policy && js_set(body, "policy", js_u64(in->policy)) < 0))
                return -ENOMEM;
        r = ask(s, "launch", body, &j, o);
        if (r <= 0)
                return r;
        id = js_string_value(js_get(j, "launch-id"));
        r = take_base64(j, "session", SEV_SESSION_SIZE, SEV_SESSION_SIZE, &answer.session);
        if (r >= 0)
                r = take_base64(j, "owner-cert", SEV_CERT_SIZE, SEV_CERT_SIZE, &answer.dh_cert);
        if (r < 0)
                return r;
        if (!id || strlen(id) > 128 || !answer.session || !answer.dh_cert ||
                        js_u64_value(js_get(j, "policy"), &policy) < 0 || policy > UINT32_MAX)
                return bad_answer(o, "launch");
        if (in->has_policy && policy != in->policy)
                return owner_refuse(o, VERDICT_POLICY_NOT_MET, "policy-mismatch",
                                "the attestation service requires policy 0x%llx, not 0x%x",
                                (unsigned long long) policy, in->policy);
        free(s->launch_id);
        s->launch_id = strdup(id);
        answer.launch_id = strdup(id);
        answer.policy = (uint32_t) policy;
        if (!s->launch_id || !answer.launch_id)
                return -ENOMEM;
        *ret = TAKE_STRUCT(answer, (OwnerSession) {});
        *o = (OwnerOutcome) { .verdict = VERDICT_AUTHENTIC };
        return 0;
}

static int service_validate(void *backend, const OwnerClaim *in, OwnerPacket *ret, OwnerOutcome *o,
                _unused_ char **reterr) {
        _cleanup_(owner_packet_done) OwnerPacket p = {};
        _cleanup_js_ Json *body = js_object(), *j = NULL;
        Service *s = backend;
        const char *id = in->launch_id ?: s->launch_id;
        int r;

        if (!body || (id && js_set(body, "launch-id", js_string(id)) < 0) ||
                        js_set(body, "api-major", js_u64(in->api_major)) < 0 ||
                        js_set(body, "api-minor", js_u64(in->api_minor)) < 0 ||
                        js_set(body, "build-id", js_u64(in->build_id)) < 0 ||
                        (in->has_policy && js_set(body, "policy", js_u64(in->policy)) < 0) ||
                        js_set(body, "measurement", js_base64(in->measurement, sizeof(in->measurement))) < 0)
                return -ENOMEM;
        r = ask(s, "validate", body, &j, o);
        if (r <= 0)
                return r;
        r = take_base64(j, "secret-header", SECRET_HEADER_SIZE, SECRET_HEADER_SIZE, &p.header);
        if (r >= 0)
                r = take_base64(j, js_get(j, "secret-payload") ? "secret-payload" : "secret-table", 16,
                                SECRET_PACKET_SIZE_MAX, &p.payload);
        if (r < 0)
                return r;
        if (js_get(j, "secret-gpa")) {
                p.has_gpa = js_u64_value(js_get(j, "secret-gpa"), &p.gpa) >= 0;
                if (!p.has_gpa)
                        return bad_answer(o, "validate");
        }
        /* Either both or neither: an owner may have nothing but consent to give. */
        if (!p.header != !p.payload || (!p.header && js_get(j, "secret-header")))
                return bad_answer(o, "validate");
        *ret = TAKE_STRUCT(p, (OwnerPacket) {});
        *o = (OwnerOutcome) { .verdict = VERDICT_AUTHENTIC };
        return 0;
}

/* https://HOST[:PORT][/PREFIX]/vm/ID, without what a path of ours cannot be appended to. */
static bool url_valid(const char *url) {
        const char *rest = startswith(url, "https://"), *vm = NULL;

        if (!rest || *rest == '/' || strpbrk(url, "?#@\" ") || strlen(url) > 2000)
                return false;
        for (const char *p = strstr(rest, "/vm/"); p; p = strstr(p + 1, "/vm/"))
                vm = p;
        return vm && vm[4] && !strchr(vm + 4, '/');
}

int owner_service_new(const OwnerService *service, Owner **ret, char **reterr) {
        static const OwnerOps ops = { service_launch, service_validate, service_free };
        Service *s;
        int r;

        if (!url_valid(service->url))
                return error_set(reterr, -EINVAL,
                                "--attestation-service: expected https://HOST[:PORT]/vm/ID, not '%s'",
                                service->url);
        s = calloc(1, sizeof(Service));
        if (!s)
                return -ENOMEM;
        s->url = strdup(service->url);
        s->ca_file = service->ca_file ? strdup(service->ca_file) : NULL;
        s->wait_seconds = service->wait_seconds;
        s->patience = service->patience;
        s->complete = service->complete;
        s->userdata = service->userdata;
        r = s->url && (s->ca_file || !service->ca_file) ? http_client_new(&s->client, reterr) : -ENOMEM;
        if (r < 0) {
                service_free(s);
                return r;
        }
        return owner_new(&ops, s, ret);
}
