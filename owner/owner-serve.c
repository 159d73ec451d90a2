/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The child's side of owner-protocol.h: questions in, answers out, one at a time. */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "encode.h"
#include "error.h"
#include "fd.h"
#include "json.h"
#include "owner-protocol.h"
#include "strutil.h"

typedef struct Server {
        Owner *owner; /* weak */
        int out;
        char *line; /* owned, OWNER_LINE_MAX */
        size_t size;
} Server;

static void server_done(Server *s) {
        free(s->line);
}

static int send_line(int out, Json *taken) {
        _cleanup_js_ Json *j = taken;
        _cleanup_free_ char *text = j ? js_text(j, JS_SHORT) : NULL;
        size_t n;

        if (!text)
                return -ENOMEM;
        n = strlen(text);
        text[n] = '\n'; /* instead of the NUL: one write, one line */
        return fd_write_all(out, text, n + 1);
}

static int send_refusal(int out, Verdict verdict, const char *code, const char *reason) {
        Json *j = NULL;
        int r = js_build(&j, "{s:s, s:s, s:s, s:s}", "type", "refused", "verdict",
                        verdict_to_string(verdict), "code", code, "reason", reason);

        return r < 0 ? r : send_line(out, j);
}

static int send_outcome(int out, const OwnerOutcome *o) {
        return send_refusal(out, o->verdict, o->code ?: "internal", o->reason ?: "refused without a reason");
}

/* What could not be decided is refused, too. */
static int send_error(int out, int error, const char *sentence) {
        return send_refusal(out, VERDICT_UNVERIFIED, "internal", sentence ?: strerror(-error));
}

void owner_channel_notice(void *channel, const char *sentence) {
        const OwnerChannel *c = channel;
        Json *j = NULL;

        /* A reader that is gone is found by the pause. */
        if (js_build(&j, "{s:s, s:s}", "type", "waiting", "reason", sentence) >= 0)
                (void) send_line(c->out, j);
}

int owner_channel_pause(void *channel, unsigned milliseconds) {
        const OwnerChannel *c = channel;
        struct pollfd p = { .fd = c->in, .events = POLLRDHUP };
        int k = poll(&p, 1, (int) milliseconds);

        return k > 0 ? -ECANCELED : 0;
}

static int malformed(const Server *s, const char *sentence) {
        return send_refusal(s->out, VERDICT_UNVERIFIED, "malformed", sentence);
}

static int read_u32(const Json *value, bool *ret_present, uint32_t *ret) {
        uint64_t v;

        *ret_present = value;
        if (!value)
                return 0;
        if (js_u64_value(value, &v) < 0 || v > UINT32_MAX)
                return -EBADMSG;
        *ret = (uint32_t) v;
        return 0;
}

static int answer_launch(const Server *s, const Json *j) {
        _cleanup_(owner_outcome_done) OwnerOutcome o = {};
        _cleanup_(owner_session_done) OwnerSession session = {};
        _cleanup_free_ char *error = NULL;
        const Json *area = js_get(j, "secret-area");
        OwnerLaunch in = {
                .scheme = js_string_value(js_get(j, "scheme")),
                .pdh = js_string_value(js_get(j, "pdh")),
                .cert_chain = js_string_value(js_get(j, "cert-chain")),
                .cpu_id = js_string_value(js_get(j, "cpu-id")),
                .has_secret_area = area,
        };
        Json *answer = NULL;
        int r;

        if (!in.scheme || !in.pdh || !in.cert_chain || (area && js_u64_value(area, &in.secret_area) < 0) ||
                        read_u32(js_get(j, "policy"), &in.has_policy, &in.policy) < 0)
                return malformed(s,
                                "launch: expected scheme, pdh, cert-chain and optionally cpu-id, policy, secret-area");
        r = owner_launch(s->owner, &in, &session, &o, &error);
        if (r < 0)
                return send_error(s->out, r, error);
        if (o.verdict != VERDICT_AUTHENTIC)
                return send_outcome(s->out, &o);
        r = js_build(&answer, "{s:s, s:s, s:s, s:I, s:s?}", "type", "session", "session", session.session,
                        "dh-cert", session.dh_cert, "policy", (long long) session.policy, "launch-id",
                        session.launch_id);
        return r < 0 ? r : send_line(s->out, answer);
}

static int read_claim(const Json *j, OwnerClaim *in, uint8_t digest[1][SEV_DIGEST_SIZE]) {
        const char *measurement = js_string_value(js_get(j, "measurement"));
        const Json *expect = js_get(j, "digest");
        const struct {
                const char *name;
                unsigned *to;
        } numbers[] = {
                { "api-major", &in->api_major },
                { "api-minor", &in->api_minor },
                { "build-id", &in->build_id },
        };
        _cleanup_free_ uint8_t *bytes = NULL;
        size_t size;

        FOREACH_ARRAY(n, numbers, ELEMENTSOF(numbers)) {
                bool present;

                if (read_u32(js_get(j, n->name), &present, n->to) < 0 || !present)
                        return -EBADMSG;
        }
        if (read_u32(js_get(j, "policy"), &in->has_policy, &in->policy) < 0)
                return -EBADMSG;
        if (!measurement || base64_decode(measurement, strlen(measurement), &bytes, &size) < 0 ||
                        size != sizeof(in->measurement))
                return -EBADMSG;
        memcpy(in->measurement, bytes, size);
        if (!expect)
                return 0;
        if (!js_string_value(expect) ||
                        hex_decode_exact(js_string_value(expect), digest[0], SEV_DIGEST_SIZE) < 0)
                return -EBADMSG;
        in->expect = digest;
        in->n_expect = 1;
        return 0;
}

static int answer_validate(const Server *s, const Json *j) {
        OwnerClaim in = { .launch_id = js_string_value(js_get(j, "launch-id")) };
        _cleanup_(owner_outcome_done) OwnerOutcome o = {};
        _cleanup_(owner_packet_done) OwnerPacket p = {};
        _cleanup_free_ char *error = NULL;
        uint8_t digest[1][SEV_DIGEST_SIZE];
        Json *answer;
        int r;

        if (read_claim(j, &in, digest) < 0)
                return malformed(s,
                                "validate: expected api-major, api-minor, build-id, measurement and optionally policy, digest, launch-id");
        r = owner_validate(s->owner, &in, &p, &o, &error);
        if (r < 0)
                return send_error(s->out, r, error);
        if (o.verdict != VERDICT_AUTHENTIC)
                return send_outcome(s->out, &o);
        answer = js_object();
        if (!answer)
                return -ENOMEM;
        r = js_set(answer, "type", js_string("packet"));
        if (r >= 0 && p.header)
                r = js_set(answer, "secret-header", js_string(p.header));
        if (r >= 0 && p.payload)
                r = js_set(answer, "secret-payload", js_string(p.payload));
        if (r >= 0 && p.has_gpa)
                r = js_set(answer, "secret-gpa", js_u64(p.gpa));
        if (r < 0) {
                js_unref(answer);
                return r;
        }
        return send_line(s->out, answer);
}

static int answer_line(const Server *s, const char *line, size_t size) {
        static const struct {
                const char *type;
                int (*answer)(const Server *s, const Json *j);
        } requests[] = {
                { "launch", answer_launch },
                { "validate", answer_validate },
        };
        _cleanup_free_ char *error = NULL;
        _cleanup_js_ Json *j = NULL;
        const char *type;

        if (js_parse(line, size, &j, &error) < 0)
                return malformed(s, error ?: "not JSON");
        type = js_string_value(js_get(j, "type"));
        for (size_t i = 0; type && i < ELEMENTSOF(requests); i++)
                if (streq(requests[i].type, type))
                        return requests[i].answer(s, j);
        return send_refusal(s->out, VERDICT_UNVERIFIED, "unknown-request",
                        "expected the type launch or validate");
}

/* Answers the whole lines that are there. */
static int answer_lines(Server *s) {
        char *end;

        while ((end = memchr(s->line, '\n', s->size))) {
                size_t n = (size_t) (end - s->line);
                int r = answer_line(s, s->line, n);

                if (r < 0)
                        return r;
                s->size -= n + 1;
                memmove(s->line, end + 1, s->size);
        }
        return 0;
}

int owner_serve(Owner *a, int in, int out, char **reterr) {
        _cleanup_(server_done) Server s = { .owner = a, .out = out, .line = malloc(OWNER_LINE_MAX) };

        if (!s.line)
                return -ENOMEM;
        for (;;) {
                ssize_t n;
                int r;

                if (s.size == OWNER_LINE_MAX)
                        return error_set(reterr, -EMSGSIZE, "a request is longer than %u bytes",
                                        OWNER_LINE_MAX);
                n = read(in, s.line + s.size, OWNER_LINE_MAX - s.size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_set(reterr, -errno, "cannot read requests: %s", strerror(errno));
                if (n == 0)
                        return 0;
                s.size += (size_t) n;
                r = answer_lines(&s);
                if (r < 0)
                        return error_set(reterr, r, "cannot answer: %s", strerror(-r));
        }
}
