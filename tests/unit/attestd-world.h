/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A service without a network for tests: store in its own folder, the made-up platform of tests/golden/sev-chain. The random
 * numbers are recorded, so that a test can play the secure processor with the launch's real keys. */

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#include "attest-launch.h"
#include "attest-secret.h"
#include "attestd-service.h"
#include "attestd-stores.h"
#include "encode.h"
#include "fd.h"

#define OWNER  "Bearer the-owners-token"
#define OTHER  "Bearer another-token"
#define DIGEST "1111111111111111111111111111111111111111111111111111111111111111"
#define LUKS   "736869e5-84f0-4973-92ec-06879ce3da0b"

typedef struct World {
        char folder[32], db[64];
        Vault vault;
        TrustAnchor anchor;
        TrustAnchors anchors;
        ServiceCollateral collateral;
        Service s;
        int64_t now;
        uint8_t draws[64][16]; /* the first 16 bytes of each draw */
        size_t n_draws;
        char *pdh, *chain, *signed_cek_chain;
        const char *peer; /* who asks: an address, or NULL */
        Reply reply;
        int status;
} World;

static inline int record(void *userdata, void *buf, size_t n) {
        World *w = userdata;
        int r = crypto_random(NULL, buf, n);

        memcpy(w->draws[w->n_draws++ % 64], buf, MIN(n, (size_t) 16));
        return r;
}

static inline int64_t now(void *userdata) {
        return ((World *) userdata)->now;
}

static inline char *load64(const char *const *names, size_t n) {
        uint8_t all[8 * SEV_CERT_SIZE];
        size_t size = 0;

        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *path = NULL, *data = NULL;
                size_t k;

                assert_true(asprintf(&path, "%s/tests/golden/sev-chain/%s.cert", getenv("CVMSPAWN_SOURCE"),
                                            names[i]) > 0);
                assert_ok(file_read_all(path, 4096, &data, &k));
                memcpy(all + size, data, k);
                size += k;
        }
        return base64_encode(all, size);
}

static inline void load_anchor(World *w) {
        _cleanup_free_ char *path = NULL, *text = NULL, *ask = load64((const char *[]) { "ask", "ark" }, 2);
        _cleanup_free_ SevChain *c = calloc(1, sizeof(SevChain));
        size_t size;

        assert_true(asprintf(&path, "%s/tests/golden/sev-chain/ark.fingerprint", getenv("CVMSPAWN_SOURCE")) >
                        0);
        assert_ok(file_read_all(path, 4096, &text, &size));
        text[64] = 0;
        w->anchor.generation = "made-up";
        assert_ok(hex_decode_exact(text, w->anchor.fingerprint, sizeof(w->anchor.fingerprint)));
        w->anchors = (TrustAnchors) { &w->anchor, 1 };
        assert_ok(sev_chain_add(c, ask, strlen(ask), false, NULL));
        w->collateral = (ServiceCollateral) { c->ask, c->ark };
}

static inline void add_owner(World *w, const char *bearer, const char *name) {
        uint8_t hash[STORE_TOKEN_HASH_SIZE];

        assert_ok(service_token_hash(bearer + 7, strlen(bearer) - 7, hash));
        assert_ok(w->s.store->ops->owner_add(w->s.store, name, hash));
        assert_error(w->s.store->ops->owner_add(w->s.store, name, hash), EEXIST);
}

/* With ATTESTD_ANSWERS=FILE every question and its answer is added there, for test-attestd-openapi.py. */
static inline void add_line(Json *j) {
        _cleanup_free_ char *line = js_text(j, JS_SHORT);
        FILE *f = fopen(getenv("ATTESTD_ANSWERS"), "ae");

        assert_non_null(line);
        assert_non_null(f);
        assert_true(fprintf(f, "%s\n", line) > 0);
        assert_int_equal(fclose(f), 0);
        js_unref(j);
}

static inline void record_routes(void) {
        const ServiceRoute *routes;
        size_t n;

        if (!getenv("ATTESTD_ANSWERS"))
                return;
        routes = service_routes(&n);
        FOREACH_ARRAY(route, routes, n) {
                Json *j = NULL;

                assert_ok(js_build(&j, "{s:s, s:s, s:I, s:b, s:b}", "method", route->method, "route",
                                route->path, "max-body", (int64_t) route->max_body, "owner",
                                route->for_owner, "upload", route->upload));
                add_line(j);
        }
}

static inline int setup(void **state) {
        World *w = calloc(1, sizeof(World));

        assert_non_null(w);
        w->now = 1000000;
        (void) snprintf(w->folder, sizeof(w->folder), "/tmp/test-attestd.XXXXXX");
        assert_non_null(mkdtemp(w->folder));
        (void) snprintf(w->db, sizeof(w->db), "%s/state.db", w->folder);
        assert_ok(secret_buf_alloc(&w->vault.key, VAULT_KEY_SIZE));
        load_anchor(w);
        w->s = (Service) {
                .vault = &w->vault,
                .anchors = &w->anchors,
                .collateral = &w->collateral,
                .n_collateral = 1,
                .random = record,
                .random_data = w,
                .now = now,
                .now_data = w,
        };
        open_test_store(w->db, /* again= */ false, &w->s.store);
        add_owner(w, OWNER, "owner");
        add_owner(w, OTHER, "other");
        w->pdh = load64((const char *[]) { "pdh" }, 1);
        w->chain = load64((const char *[]) { "pek", "oca", "cek" }, 3);
        w->signed_cek_chain = load64((const char *[]) { "pek", "oca", "cek-signed" }, 3);
        record_routes();
        *state = w;
        return 0;
}

static inline int teardown(void **state) {
        static const char *const files[] = { "state.db", "state.db-wal", "state.db-shm" };
        World *w = *state;

        store_free(w->s.store);
        vault_done(&w->vault);
        reply_done(&w->reply);
        free(w->pdh);
        free(w->chain);
        free(w->signed_cek_chain);
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                char path[96];

                (void) snprintf(path, sizeof(path), "%s/%s", w->folder, files[i]);
                (void) unlink(path);
        }
        assert_int_equal(rmdir(w->folder), 0);
        free(w);
        return 0;
}

/* The service's answer to a request. */
static inline size_t body_max(const char *method, const char *path) {
        size_t n;

        assert_int_equal(service_body_max(method, path, &n), 0);
        return n;
}

static inline unsigned answer(World *w, Request *q) {
        Json *j = NULL, *body = NULL;

        reply_done(&w->reply);
        q->peer = q->peer ?: w->peer;
        service_handle(&w->s, q, &w->reply);
        if (!getenv("ATTESTD_ANSWERS"))
                return w->reply.status;
        if (q->body_size == 0 || js_parse(q->body, q->body_size, &body, NULL) < 0)
                body = js_null();
        assert_ok(js_build(&j, "{s:s, s:s, s:i, s:i, s:o, s:o}", "method", q->method, "path", q->path,
                        "status", (int) w->reply.status, "retry-after", (int) w->reply.retry_after,
                        "request", body, "answer", w->reply.body ? js_ref(w->reply.body) : js_null()));
        add_line(j);
        return w->reply.status;
}

static inline unsigned ask(World *w, const char *method, const char *path, const char *authorization,
                const char *body) {
        Request q = {
                .method = method,
                .path = path,
                .authorization = authorization,
                .body = body,
                .body_size = body ? strlen(body) : 0,
        };

        return answer(w, &q);
}

static inline const char *text(World *w, const char *member) {
        return js_string_value(js_get(w->reply.body, member));
}

/* The status, and the problem's code. */
#define assert_problem(w, expected, problem)                                                                \
        do {                                                                                                \
                assert_int_equal((w)->reply.status, expected);                                              \
                assert_string_equal(text(w, "code"), problem);                                              \
        } while (0)

static const char good[] =
                "{\"scheme\":\"amd-sev\",\"policy\":3,\"cloud-cert\":\"any\",\"launch-digests\":[\"" DIGEST
                "\"],\"secrets\":[{\"type\":\"luks-passphrase\",\"passphrase\":\"sesame\"}]}";

static inline unsigned launch(World *w) {
        _cleanup_free_ char *body = NULL;

        assert_true(asprintf(&body, "{\"pdh\":\"%s\",\"cert-chain\":\"%s\"}", w->pdh, w->signed_cek_chain) >
                        0);
        w->n_draws = 0;
        return ask(w, "POST", "/vm/a/launch", NULL, body);
}

/* sev_session_new() draws private key, nonce, IV, TEK, TIK; a private key above the order is drawn again (once in 2^190). */
static inline SevKeys keys_of_last_launch(const World *w) {
        SevKeys k;

        memcpy(k.tek, w->draws[3], SEV_KEY_SIZE);
        memcpy(k.tik, w->draws[4], SEV_KEY_SIZE);
        return k;
}

typedef struct Measured {
        char id[33];
        SevKeys keys;
        uint8_t blob[48];
} Measured;

static inline Measured measured_digest(World *w, const uint8_t digest[static 32], uint32_t policy) {
        SevMeasurement m = {
                .api_major = 1, .api_minor = 55, .build = 21, .policy = policy, .nonce_size = 16
        };
        Measured ret = { .keys = keys_of_last_launch(w) };

        (void) snprintf(ret.id, sizeof(ret.id), "%s", text(w, "launch-id") ?: "");
        memcpy(m.digest, digest, sizeof(m.digest));
        memset(m.nonce, 0xA5, sizeof(m.nonce));
        assert_ok(sev_measurement_compute(ret.keys.tik, &m, ret.blob));
        memcpy(ret.blob + 32, m.nonce, 16);
        return ret;
}

static inline Measured measured(World *w, uint8_t digest_byte, uint32_t policy) {
        uint8_t digest[32];

        memset(digest, digest_byte, sizeof(digest));
        return measured_digest(w, digest, policy);
}

static inline unsigned validate(World *w, const Measured *m, bool with_id) {
        _cleanup_free_ char *body = NULL, *b64 = base64_encode(m->blob, sizeof(m->blob));

        assert_true(asprintf(&body,
                                    "{%s%s%s\"api-major\":1,\"api-minor\":55,\"build-id\":21,"
                                    "\"measurement\":\"%s\",\"host\":\"h\"}",
                                    with_id ? "\"launch-id\":\"" : "", with_id ? m->id : "",
                                    with_id ? "\"," : "", b64) > 0);
        return ask(w, "POST", "/vm/a/validate", NULL, body);
}

static inline void open_packet(World *w, const Measured *m) {
        _cleanup_free_ uint8_t *header = NULL, *payload = NULL;
        _cleanup_(secret_buf_done) SecretBuf table = {};
        _cleanup_(secret_table_done) SecretTable t = {};
        Verdict v = VERDICT_UNVERIFIED;
        size_t n, k;

        assert_string_equal(text(w, "secret-payload"), text(w, "secret-table"));
        assert_ok(base64_decode(text(w, "secret-header"), strlen(text(w, "secret-header")), &header, &n));
        assert_ok(base64_decode(text(w, "secret-payload"), strlen(text(w, "secret-payload")), &payload, &k));
        assert_int_equal(n, SECRET_HEADER_SIZE);
        assert_ok(secret_packet_open(&m->keys, m->blob, header, payload, k, &table, &v));
        assert_int_equal(v, VERDICT_AUTHENTIC);
        assert_ok(secret_table_parse(table.data, table.size, &t, NULL));
        assert_int_equal(t.n_items, 1);
        assert_memory_equal(t.items[0].value.data, "sesame", 6);
}
