/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* SNP through the service without a network: reports of a made-up AMD (tests/lib/fake-amd.h), which the service is told to trust. The
 * test plays the guest, with its ephemeral key and the pinned key of the service. */

#include "atomic-file.h"
#include "attestd-world.h"
#include "fake-amd.h"
#include "guest-policy.h"
#include "snp-packet.h"
#include "strutil.h"

static const char digests[] =
                "11111111111111111111111111111111111111111111111111111111111111111111111111111111"
                "1111111111111111";

static const char snp_good[] =
                "{\"scheme\":\"amd-sev-snp\",\"policy\":196608,\"launch-digests\":["
                "\"11111111111111111111111111"
                "1111111111111111111111111111111111111111111111111111111111111111111111\"],"
                "\"report-policy\":{\"minimum_tcb\":{\"milan\":{\"snp\":24}}},\"max-instances\":2,"
                "\"secrets\":[{\"type\":\"credential\",\"name\":\"db.password\",\"data\":\"c2VzYW1l\"},"
                "{\"type\":\"luks-passphrase\",\"passphrase\":\"open\"}]}";

typedef struct Guest {
        FakeAmd *amd;
        SnpTcb tcb;
        uint8_t chip[64];
        SecretBuf key;
        SnpBinding binding;
        SnpReport report;
        uint8_t raw[SNP_REPORT_SIZE];
        char id[33], packet_key[2 * SNP_PACKET_SIGNER_SIZE + 1];
        FakeBytes vcek, ask;
} Guest;

static FakeAmd milan, other; /* made once: RSA keys are slow */
static SnpTrust trust;

static FakeBytes make(void (*spec)(const FakeAmd *a, FakeCertificate *ret)) {
        FakeCertificate c = {};
        FakeBytes b;

        spec(&milan, &c);
        b = fake_certificate_make(&c);
        fake_certificate_done(&c);
        return b;
}

static ServiceFile root_file;

static int snp_setup(void **state) {
        int r = setup(state);
        World *w = *state;

        w->now = 1790000000;
        w->s.snp_trust = &trust;
        w->s.snp_files = &root_file;
        w->s.n_snp_files = 1;
        return r;
}

static unsigned snp_launch(World *w, Guest *g) {
        _cleanup_free_ uint8_t *nonce = NULL;
        size_t n;

        assert_int_equal(ask(w, "GET", "/", NULL, NULL), 200);
        (void) snprintf(g->packet_key, sizeof(g->packet_key), "%s", text(w, "packet-key"));
        if (ask(w, "POST", "/vm/a/launch", NULL, "{\"scheme\":\"amd-sev-snp\"}") != 200)
                return w->reply.status;
        (void) snprintf(g->id, sizeof(g->id), "%s", text(w, "launch-id"));
        assert_ok(hex_decode_exact(g->id, g->binding.launch_id, sizeof(g->binding.launch_id)));
        assert_ok(base64_decode(text(w, "nonce"), strlen(text(w, "nonce")), &nonce, &n));
        assert_int_equal(n, SNP_PACKET_NONCE_SIZE);
        memcpy(g->binding.nonce, nonce, n);
        secret_buf_done(&g->key);
        assert_ok(hpke_key_new(crypto_random, NULL, &g->key, g->binding.key));
        assert_ok(snp_binding_report_data(&g->binding, g->report.report_data));
        return 200;
}

static void guest_init(Guest *g, FakeAmd *amd) {
        FakeCertificate leaf = {};

        *g = (Guest) { .amd = amd, .tcb = { { 0, 4, 1, 24, 219 } } };
        for (size_t i = 0; i < sizeof(g->chip); i++)
                g->chip[i] = (uint8_t) (i + 1);
        fake_report(amd, &g->tcb, g->chip, &g->report);
        memset(g->report.measurement, 0x11, sizeof(g->report.measurement));
        g->report.policy = SNP_POLICY_RESERVED_ONE | SNP_POLICY_SMT;
        fake_vcek(amd, &g->tcb, g->chip, &leaf);
        g->vcek = fake_certificate_make(&leaf);
        fake_certificate_done(&leaf);
        g->ask = make(fake_ask);
}

static void guest_done(Guest *g) {
        secret_buf_done(&g->key);
        free(g->vcek.data);
        free(g->ask.data);
}

/* The request; certs as a table, as Linux gives it. */
static unsigned snp_validate(World *w, Guest *g, bool with_certs) {
        SnpCertTable t = {
                .entries = { { .kind = SNP_CERT_VCEK, .data = g->vcek.data, .size = g->vcek.size },
                                { .kind = SNP_CERT_ASK, .data = g->ask.data, .size = g->ask.size } },
                .n_entries = 2
        };
        _cleanup_free_ char *body = NULL, *report = NULL,
                            *key = base64_encode(g->binding.key, HPKE_KEY_SIZE), *certs = NULL;
        _cleanup_free_ uint8_t *table = NULL;
        size_t n;

        snp_report_encode(&g->report, g->raw);
        fake_report_sign(g->amd, g->raw);
        report = base64_encode(g->raw, sizeof(g->raw));
        assert_ok(snp_cert_table_encode(&t, &table, &n));
        certs = base64_encode(table, n);
        assert_true(asprintf(&body, "{\"launch-id\":\"%s\",\"public-key\":\"%s\",\"report\":\"%s\"%s%s%s}",
                                    g->id, key, report, with_certs ? ",\"certs\":\"" : "",
                                    with_certs ? certs : "", with_certs ? "\"" : "") > 0);
        return ask(w, "POST", "/vm/a/validate", NULL, body);
}

static int open_answer(World *w, Guest *g, SecretBuf *ret) {
        _cleanup_free_ uint8_t *header = NULL, *payload = NULL, *signature = NULL;
        _cleanup_(snp_packet_done) SnpPacket packet = {};
        _cleanup_ec_key_ EcKey *signer = NULL;
        size_t n, size, k;

        assert_ok(snp_packet_signer_parse(g->packet_key, &signer));
        assert_ok(base64_decode(text(w, "secret-header"), strlen(text(w, "secret-header")), &header, &n));
        assert_int_equal(n, SNP_PACKET_HEADER_SIZE);
        assert_ok(base64_decode(
                        text(w, "secret-payload"), strlen(text(w, "secret-payload")), &payload, &size));
        assert_ok(base64_decode(text(w, "signature"), strlen(text(w, "signature")), &signature, &k));
        assert_int_equal(k, SNP_PACKET_SIGNATURE_SIZE);
        memcpy(packet.header, header, n);
        memcpy(packet.signature, signature, k);
        packet.payload = TAKE_PTR(payload);
        packet.size = size;
        return snp_packet_open(&g->binding, signer, g->key.data, &packet, ret, NULL);
}

static void released_once_and_repeated(void **state) {
        _cleanup_(secret_buf_done) SecretBuf secrets = {};
        _cleanup_(guest_done) Guest g;
        _cleanup_free_ char *first = NULL, *again = NULL;
        _cleanup_js_ Json *j = NULL;
        World *w = *state;
        uint8_t raw[SNP_REPORT_SIZE];

        guest_init(&g, &milan);
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, snp_good), 201);
        assert_int_equal(snp_launch(w, &g), 200);
        assert_int_equal(snp_validate(w, &g, true), 200);
        memcpy(raw, g.raw, sizeof(raw));
        first = js_text(w->reply.body, JS_SHORT);
        assert_ok(open_answer(w, &g, &secrets));
        assert_ok(js_parse((const char *) secrets.data, secrets.size, &j, NULL));
        assert_string_equal(js_string_value(js_get(js_at(js_get(j, "secrets"), 0), "data")), "c2VzYW1l");

        /* the same report byte for byte; signed again it would be different evidence */
        {
                _cleanup_free_ char *body = NULL, *report = base64_encode(raw, sizeof(raw)),
                                    *key = base64_encode(g.binding.key, HPKE_KEY_SIZE);

                assert_true(asprintf(&body, "{\"launch-id\":\"%s\",\"public-key\":\"%s\",\"report\":\"%s\"}",
                                            g.id, key, report) > 0);
                assert_int_equal(ask(w, "POST", "/vm/a/validate", NULL, body), 200);
                again = js_text(w->reply.body, JS_SHORT);
                assert_string_equal(first, again);
        }
        assert_int_equal(snp_validate(w, &g, true), 403);
        assert_problem(w, 403, "measurement-mismatch");
        assert_int_equal(ask(w, "GET", "/vm/a", OWNER, NULL), 200);
        {
                _cleanup_free_ char *shown = js_text(w->reply.body, JS_SHORT);

                assert_non_null(strstr(shown, digests));
                assert_non_null(strstr(shown, "minimum_tcb"));
                assert_null(strstr(shown, "c2VzYW1l"));
                assert_null(strstr(shown, "\"open\""));
        }
}

static void certificates_here_or_nowhere(void **state) {
        _cleanup_(guest_done) Guest g;
        World *w = *state;
        ServiceFile files[3] = { root_file };

        guest_init(&g, &milan);
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, snp_good), 201);
        assert_int_equal(snp_launch(w, &g), 200);
        for (unsigned i = 0; i < 5; i++) { /* nothing was decided, so nothing is counted */
                assert_int_equal(snp_validate(w, &g, false), 424);
                assert_problem(w, 424, "collateral-missing");
        }
        files[1] = (ServiceFile) { "ask", g.ask.data, g.ask.size };
        files[2] = (ServiceFile) { "vcek", g.vcek.data, g.vcek.size };
        w->s.snp_files = files;
        w->s.n_snp_files = 3;
        assert_int_equal(snp_validate(w, &g, false), 200);
}

static struct {
        char what[4][512];
        unsigned n;
        int answer;
} fetched;

static int fetch(_unused_ void *userdata, const char *what, _unused_ const char *peer,
                unsigned *ret_seconds) {
        *ret_seconds = 9;
        if (fetched.n < ELEMENTSOF(fetched.what))
                (void) snprintf(fetched.what[fetched.n], sizeof(fetched.what[0]), "%s", what);
        fetched.n++;
        return fetched.answer;
}

/* What is missing is asked for by name and path, nobody waits, and nothing is counted; so also for yesterday's VCEK from the host. */
static void certificates_are_fetched_elsewhere(void **state) {
        static const char chip[] = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
                                   "2122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f40";
        _cleanup_free_ char *leaf = NULL;
        _cleanup_(guest_done) Guest g;
        FakeCertificate old = {};
        World *w = *state;
        SnpTcb before;

        guest_init(&g, &milan);
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, snp_good), 201);
        assert_int_equal(snp_launch(w, &g), 200);
        w->s.kds_cache = w->folder;
        w->s.fetch = fetch;
        fetched.answer = 1;
        for (unsigned i = 0; i < 5; i++) {
                fetched.n = 0;
                assert_int_equal(snp_validate(w, &g, false), 503);
                assert_problem(w, 503, "vcek-pending");
                assert_int_equal(w->reply.retry_after, 9);
        }
        assert_int_equal(fetched.n, 2);
        assert_true(asprintf(&leaf,
                                    "milan-vcek-%s-04010000000018db.der "
                                    "/vcek/v1/Milan/%s?blSPL=04&teeSPL=01&snpSPL=24&ucodeSPL=219",
                                    chip, chip) > 0);
        assert_string_equal(fetched.what[1], leaf);
        assert_string_equal(fetched.what[0], "milan-vcek-chain.pem /vcek/v1/Milan/cert_chain");

        before = g.tcb;
        before.part[SNP_TCB_MICROCODE] = 200;
        fake_vcek(&milan, &before, g.chip, &old);
        free(g.vcek.data);
        g.vcek = fake_certificate_make(&old);
        fake_certificate_done(&old);
        assert_int_equal(snp_validate(w, &g, true), 503);
        fetched.answer = 0; /* not available */
        assert_int_equal(snp_validate(w, &g, false), 424);
        assert_int_equal(snp_validate(w, &g, true), 403);
        assert_problem(w, 403, "report-not-authentic");
}

static void save_list(const World *w, const char *since, const char *until, unsigned serial) {
        FakeBytes list = fake_crl_make(&milan, milan.ark, since, until, &serial, 1);
        _cleanup_free_ char *path = NULL;

        assert_true(asprintf(&path, "%s/milan-vcek-crl.der", w->folder) > 0);
        assert_ok(file_write_atomic(path, list.data, list.size, 0644, ATOMIC_FILE_REPLACE));
        free(list.data);
}

static unsigned try_again(World *w, Guest *g) {
        fetched.n = 0;
        assert_int_equal(snp_launch(w, g), 200);
        return snp_validate(w, g, true);
}

/* w->now is 2026-09-21. 0x10001 is the ASK's serial number. */
static void revocation_lists(void **state) {
        _cleanup_free_ char *body = strdup(snp_good), *path = NULL;
        World *w = *state;
        char *limit;
        Guest g;

        guest_init(&g, &milan);
        limit = strstr(body, "instances\":2");
        limit[strlen("instances\":")] = '9';
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, body), 201);
        w->s.kds_cache = w->folder;
        w->s.fetch = fetch;
        fetched.answer = 1;
        /* None: nobody waits, but it is downloaded; or everybody waits. */
        assert_int_equal(try_again(w, &g), 200);
        assert_int_equal(fetched.n, 1);
        assert_string_equal(fetched.what[0], "milan-vcek-crl.der /vcek/v1/Milan/crl");
        w->s.crl = SNP_CRL_REQUIRED;
        assert_int_equal(try_again(w, &g), 503);
        assert_string_equal(text(w, "code"), "vcek-pending");
        assert_int_equal(fetched.n, 1);
        assert_string_equal(fetched.what[0], "milan-vcek-crl.der /vcek/v1/Milan/crl");
        fetched.answer = 0;
        assert_int_equal(try_again(w, &g), 424);
        save_list(w, "260901000000Z", "270901000000Z", 0x999);
        assert_int_equal(try_again(w, &g), 200);
        /* Overdue. */
        save_list(w, "260801000000Z", "260901000000Z", 0x999);
        assert_int_equal(try_again(w, &g), 424);
        w->s.crl = SNP_CRL_IF_AVAILABLE;
        assert_int_equal(try_again(w, &g), 200);
        assert_int_equal(fetched.n, 1);
        /* What an overdue list revokes is revoked. */
        save_list(w, "260801000000Z", "260901000000Z", 0x10001);
        assert_int_equal(try_again(w, &g), 403);
        assert_non_null(strstr(text(w, "detail"), "revocation"));
        save_list(w, "260901000000Z", "270901000000Z", 0x10001);
        assert_int_equal(try_again(w, &g), 403);
        w->s.crl = SNP_CRL_OFF;
        assert_int_equal(try_again(w, &g), 200);
        assert_int_equal(fetched.n, 0);
        assert_true(asprintf(&path, "%s/milan-vcek-crl.der", w->folder) > 0);
        assert_int_equal(unlink(path), 0);
        guest_done(&g);
}

/* One thing spoilt each time: what the answer says, and that it counts. */
static void refusals(void **state) {
        static const struct {
                const char *what, *code;
        } cases[] = {
                { "measurement", "measurement-mismatch" },
                { "nonce", "binding-mismatch" },
                { "launch-id", "binding-mismatch" },
                { "key", "binding-mismatch" },
                { "debug", "policy-not-met" },
                { "smt", "policy-not-met" },
                { "vmpl", "policy-not-met" },
                { "tcb", "policy-not-met" },
                { "signature", "report-not-authentic" },
                { "chip", "report-not-authentic" },
        };
        World *w = *state;

        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, snp_good), 201);
        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_(guest_done) Guest g;

                guest_init(&g, &milan);
                assert_int_equal(snp_launch(w, &g), 200);
                for (unsigned i = 0; i < LAUNCH_FAILURES; i++) {
                        if (streq(c->what, "measurement"))
                                g.report.measurement[0] = 0x12;
                        else if (streq(c->what, "nonce"))
                                g.binding.nonce[3]++;
                        else if (streq(c->what, "launch-id"))
                                g.binding.launch_id[3]++;
                        else if (streq(c->what, "key"))
                                g.binding.key[0]++;
                        else if (streq(c->what, "debug"))
                                g.report.policy |= SNP_POLICY_DEBUG;
                        else if (streq(c->what, "smt"))
                                g.report.policy |= SNP_POLICY_MIGRATE_MA;
                        else if (streq(c->what, "vmpl"))
                                g.report.vmpl = 1;
                        else if (streq(c->what, "signature"))
                                g.amd = &other;
                        else if (streq(c->what, "chip"))
                                g.report.chip_id[0] = 0x77;
                        else {
                                FakeCertificate leaf = {};

                                g.tcb.part[SNP_TCB_SNP] = 23;
                                fake_report(&milan, &g.tcb, g.chip, &g.report);
                                memset(g.report.measurement, 0x11, sizeof(g.report.measurement));
                                g.report.policy = SNP_POLICY_RESERVED_ONE | SNP_POLICY_SMT;
                                assert_ok(snp_binding_report_data(&g.binding, g.report.report_data));
                                fake_vcek(&milan, &g.tcb, g.chip, &leaf);
                                free(g.vcek.data);
                                g.vcek = fake_certificate_make(&leaf);
                                fake_certificate_done(&leaf);
                        }
                        if (streq(c->what, "nonce") || streq(c->what, "launch-id"))
                                assert_ok(snp_binding_report_data(&g.binding, g.report.report_data));
                        if (snp_validate(w, &g, true) != 403 || !streq(text(w, "code"), c->code))
                                fail_msg("%s: %u %s: %s", c->what, w->reply.status, text(w, "code"),
                                                text(w, "detail"));
                        assert_null(strstr(text(w, "detail"), "1111"));
                }
                assert_int_equal(snp_validate(w, &g, true), 410);
                assert_problem(w, 410, "launch-burned");
        }
}

/* A report of another launch, and of another registration's, does not serve. */
static void replays(void **state) {
        _cleanup_(guest_done) Guest g;
        World *w = *state;
        char first[33];

        guest_init(&g, &milan);
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, snp_good), 201);
        assert_int_equal(ask(w, "POST", "/vm/b", OWNER, snp_good), 201);
        assert_int_equal(snp_launch(w, &g), 200);
        memcpy(first, g.id, sizeof(first));
        assert_int_equal(snp_launch(w, &g), 200);
        {
                SnpBinding b = g.binding;
                char second[33];

                memcpy(second, g.id, sizeof(second));
                memcpy(g.id, first, sizeof(first));
                assert_int_equal(snp_validate(w, &g, true), 403);
                assert_problem(w, 403, "binding-mismatch");
                memcpy(g.id, second, sizeof(second));
                g.binding = b;
        }
        assert_int_equal(ask(w, "POST", "/vm/b/validate", NULL, "{}"), 400);
        {
                _cleanup_free_ char *body = NULL, *report = base64_encode(g.raw, sizeof(g.raw)),
                                    *key = base64_encode(g.binding.key, HPKE_KEY_SIZE);

                assert_true(asprintf(&body, "{\"launch-id\":\"%s\",\"public-key\":\"%s\",\"report\":\"%s\"}",
                                            g.id, key, report) > 0);
                assert_int_equal(ask(w, "POST", "/vm/b/validate", NULL, body), 404);
                assert_problem(w, 404, "unknown-launch");
        }
        w->now += LAUNCH_TTL_SECONDS + 1;
        assert_int_equal(snp_validate(w, &g, true), 410);
        assert_problem(w, 410, "launch-expired");
}

static void too_many(void **state) {
        World *w = *state;

        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, snp_good), 201);
        for (unsigned i = 0; i < 3; i++) {
                _cleanup_(guest_done) Guest g;

                guest_init(&g, &milan);
                assert_int_equal(snp_launch(w, &g), 200);
                assert_int_equal(snp_validate(w, &g, true), i < 2 ? 200 : 429);
        }
        assert_true(w->reply.retry_after > 0);
}

/* The report as it was sent before, byte for byte, with this key. */
static unsigned send_again(World *w, const Guest *g, const uint8_t public_key[static HPKE_KEY_SIZE]) {
        _cleanup_free_ char *body = NULL, *report = base64_encode(g->raw, sizeof(g->raw)),
                            *key = base64_encode(public_key, HPKE_KEY_SIZE);

        assert_true(asprintf(&body, "{\"launch-id\":\"%s\",\"public-key\":\"%s\",\"report\":\"%s\"}", g->id,
                                    key, report) > 0);
        return ask(w, "POST", "/vm/a/validate", NULL, body);
}

/* Other evidence sent to a launch that has its secrets changes nothing. */
static void released_is_final(void **state) {
        _cleanup_free_ char *packet = NULL, *again = NULL;
        _cleanup_(guest_done) Guest first;
        World *w = *state;

        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, snp_good), 201);
        guest_init(&first, &milan);
        assert_int_equal(snp_launch(w, &first), 200);
        assert_int_equal(snp_validate(w, &first, true), 200);
        packet = js_text(w->reply.body, JS_SHORT);
        for (unsigned i = 0; i < 3; i++) { /* within the hour that the limit looks back */
                _cleanup_(guest_done) Guest next;

                for (unsigned k = 0; k < LAUNCH_FAILURES + 1; k++) {
                        assert_int_equal(send_again(w, &first, first.binding.nonce), 403);
                        assert_problem(w, 403, "measurement-mismatch");
                }
                w->now += LAUNCH_TTL_SECONDS + 1;
                guest_init(&next, &milan);
                assert_int_equal(snp_launch(w, &next), 200);
                assert_int_equal(snp_validate(w, &next, true), i == 0 ? 200 : 429);
        }
        assert_int_equal(send_again(w, &first, first.binding.key), 200);
        again = js_text(w->reply.body, JS_SHORT);
        assert_string_equal(again, packet);
}

static void malformed(void **state) {
        static const char *const bodies[] = {
                "{}",
                "{\"launch-id\":\"00\"}",
                "{\"launch-id\":\"00112233445566778899aabbccddeeff\"}",
                "{\"launch-id\":\"00112233445566778899aabbccddeeff\",\"public-key\":\"AAAA\"}",
                ("{\"launch-id\":\"00112233445566778899aabbccddeeff\","
                 "\"public-key\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"report\":\"AAAA\"}"),
        };
        World *w = *state;

        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, snp_good), 201);
        FOREACH_ARRAY(b, bodies, ELEMENTSOF(bodies)) {
                assert_int_equal(ask(w, "POST", "/vm/a/validate", NULL, *b), 400);
                assert_problem(w, 400, "malformed");
        }
        assert_int_equal(ask(w, "POST", "/vm/a/launch", NULL, "{\"scheme\":\"amd-sev\"}"), 409);
        assert_int_equal(ask(w, "POST", "/vm/a/launch", NULL, "{\"policy\":3}"), 409);
}

static void snp_registrations(void **state) {
        static const struct {
                const char *from, *to, *detail;
        } cases[] = {
                { "196608", "65536", "bit 17" },
                { "196608", "67305472", "bits 26" },
                { "196608", "720896", "allow-debug" },
                { "[\"1111", "[\"11", "96 hexadecimal" },
                { "\"launch-digests\"", "\"x\"", "x" },
                { "\"minimum_tcb\":{\"milan\":{\"snp\":24}}", "", "minimum_tcb" },
                { "\"minimum_tcb\"", "\"insecure_any_measurement\":true,\"minimum_tcb\"", "launch-digests" },
                { "\"minimum_tcb\"", "\"report_data\":\"any\",\"minimum_tcb\"", "conversation" },
                { "\"snp\":24", "\"fmc\":24", "TCB part" },
                { "\"minimum_tcb\"", "\"vmpl\":4,\"minimum_tcb\"", "vmpl" },
                { "\"scheme\"", "\"cloud-cert\":\"any\",\"scheme\"", "cloud-cert" },
                { "db.password", "../x", "name" },
                { "db.password", ".x", "name" },
                { "c2VzYW1l", "!", "base64" },
                { "\"passphrase\":\"open\"", "\"data\":\"AA==\"", "passphrase" },
                { "\"passphrase\":\"open\"", "\"passphrase\":\"open\",\"x\":1", "unknown member" },
                { "luks-passphrase", "other", "type" },
        };
        World *w = *state;

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_free_ char *body = NULL;
                const char *at = strstr(snp_good, c->from);

                assert_non_null(at);
                assert_true(asprintf(&body, "%.*s%s%s", (int) (at - snp_good), snp_good, c->to,
                                            at + strlen(c->from)) > 0);
                if (ask(w, "POST", "/vm/a", OWNER, body) != 422 || !strstr(text(w, "detail"), c->detail))
                        fail_msg("%s: %u %s", c->to, w->reply.status, text(w, "detail"));
        }
}

/* Kept secrets have their scheme's form. */
static void scheme_stays(void **state) {
        _cleanup_free_ char *body = NULL;
        const char *at = strstr(snp_good, ",\"secrets\"");
        World *w = *state;

        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        assert_true(asprintf(&body, "%.*s}", (int) (at - snp_good), snp_good) > 0);
        assert_int_equal(ask(w, "PUT", "/vm/a", OWNER, body), 422);
        assert_non_null(strstr(text(w, "detail"), "scheme"));
        assert_int_equal(ask(w, "PUT", "/vm/a", OWNER, snp_good), 200);
        assert_int_equal(ask(w, "PUT", "/vm/a", OWNER, body), 200);
}

/* What the host could do to the answer. */
static void packets(_unused_ void **state) {
        _cleanup_(snp_packet_done) SnpPacket packet = {}, forged = {};
        _cleanup_ec_key_ EcKey *signer = NULL, *host = NULL;
        _cleanup_(secret_buf_done) SecretBuf key = {}, plain = {}, opened = {};
        _cleanup_free_ char *error = NULL, *signer_text = NULL;
        SnpBinding b = { .nonce = { 1 }, .launch_id = { 2 } }, c;
        uint8_t data[SNP_PACKET_DATA_SIZE];
        _cleanup_free_ char *hex = NULL;

        /* The binding, computed with python3's hashlib over the same bytes. */
        memset(b.key, 3, sizeof(b.key));
        assert_ok(snp_binding_report_data(&b, data));
        hex = hex_encode(data, sizeof(data));
        assert_string_equal(hex,
                        "3cbb09afdeebcc5438cf6bcc5c6aedab71159f2a753d4f3cc3c5a15408f2a386cfa67fde7f3981c6643"
                        "196891d77b4e23fa3e981a9df3888f80127d69925e279");

        assert_ok(hpke_key_new(crypto_random, NULL, &key, b.key));
        assert_ok(ec_key_generate(crypto_random, NULL, &signer));
        assert_ok(ec_key_generate(crypto_random, NULL, &host));
        assert_ok(secret_buf_copy(&plain, "secret", 6));
        assert_ok(snp_packet_seal(&b, signer, &plain, crypto_random, NULL, &packet));
        assert_ok(snp_packet_open(&b, signer, key.data, &packet, &opened, NULL));
        assert_memory_equal(opened.data, "secret", 6);
        secret_buf_done(&opened);
        c = b;
        c.nonce[0] ^= 1; /* an answer to another question */
        assert_error(snp_packet_open(&c, signer, key.data, &packet, &opened, &error), EKEYREJECTED);
        assert_non_null(strstr(error, "not signed"));
        packet.payload[0] ^= 1;
        assert_error(snp_packet_open(&b, signer, key.data, &packet, &opened, NULL), EKEYREJECTED);
        /* the host seals something else to the guest's key */
        assert_ok(snp_packet_seal(&b, host, &plain, crypto_random, NULL, &forged));
        assert_error(snp_packet_open(&b, signer, key.data, &forged, &opened, NULL), EKEYREJECTED);
        assert_error(snp_packet_signer_parse("04", &host), EBADMSG);
        assert_ok(snp_packet_signer_text(signer, &signer_text));
        assert_int_equal(strlen(signer_text), 2 * SNP_PACKET_SIGNER_SIZE);
        signer_text[1] = '5';
        assert_error(snp_packet_signer_parse(signer_text, &host), EBADMSG);
}

static int group_setup(_unused_ void **state) {
        Certificate *c = NULL;
        FakeBytes ark;

        fake_amd_init(&milan, SNP_MILAN, 2048);
        fake_amd_init(&other, SNP_MILAN, 2048);
        ark = make(fake_ark);
        root_file = (ServiceFile) { "ark", ark.data, ark.size };
        snp_trust_init(&trust);
        assert_ok(certificate_new(ark.data, ark.size, &c, NULL));
        assert_ok(snp_trust_insecure_acknowledging_forgery(&trust, c, NULL));
        certificate_free(c);
        return 0;
}

static int group_teardown(_unused_ void **state) {
        snp_trust_done(&trust);
        free((void *) root_file.data);
        fake_amd_done(&milan);
        fake_amd_done(&other);
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(packets),
                cmocka_unit_test_setup_teardown(released_once_and_repeated, snp_setup, teardown),
                cmocka_unit_test_setup_teardown(certificates_here_or_nowhere, snp_setup, teardown),
                cmocka_unit_test_setup_teardown(certificates_are_fetched_elsewhere, snp_setup, teardown),
                cmocka_unit_test_setup_teardown(revocation_lists, snp_setup, teardown),
                cmocka_unit_test_setup_teardown(refusals, snp_setup, teardown),
                cmocka_unit_test_setup_teardown(replays, snp_setup, teardown),
                cmocka_unit_test_setup_teardown(released_is_final, snp_setup, teardown),
                cmocka_unit_test_setup_teardown(too_many, snp_setup, teardown),
                cmocka_unit_test_setup_teardown(scheme_stays, snp_setup, teardown),
                cmocka_unit_test_setup_teardown(malformed, snp_setup, teardown),
                cmocka_unit_test_setup_teardown(snp_registrations, snp_setup, teardown),
        };

        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
