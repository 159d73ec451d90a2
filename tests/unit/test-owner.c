/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The guest owner's side through the lines that a launcher and its child exchange; the test plays the platform. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#include "attest-session.h"
#include "crypto-ec.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "json.h"
#include "owner-protocol.h"
#include "session-files.h"
#include "strutil.h"

typedef struct World {
        char folder[64], secret[80];
        EcKey *pdh; /* private: the platform's */
        SevCert cert;
        bool platform_is_fine;
        Owner *owner;
} World;

static int check(void *userdata, _unused_ const OwnerLaunch *in, SevCert *ret_pdh, OwnerOutcome *o,
                _unused_ char **reterr) {
        World *w = userdata;

        if (!w->platform_is_fine)
                return owner_refuse(o, VERDICT_NOT_AUTHENTIC, "platform-not-authentic", "not this one");
        *ret_pdh = w->cert;
        return 0;
}

static void new_desk(World *w, const char *folder, bool secrets) {
        char spec[128];
        char *list[2] = { spec, NULL };
        _cleanup_free_ char *error = NULL;

        (void) snprintf(spec, sizeof(spec), "luks-key:%s", w->secret);
        w->owner = owner_free(w->owner);
        assert_ok(owner_keys_new(
                        &(const OwnerKeys) {
                                        .folder = folder,
                                        .name = "vm",
                                        .secrets = secrets ? list : NULL,
                                        .check = check,
                                        .userdata = w,
                        },
                        &w->owner, &error));
}

static int set_up(void **state) {
        World *w = calloc(1, sizeof(World));
        FILE *f;
        EcPoint p;

        (void) strcpy(w->folder, "/tmp/test-owner-XXXXXX");
        assert_non_null(mkdtemp(w->folder));
        (void) snprintf(w->secret, sizeof(w->secret), "%s/pw", w->folder);
        f = fopen(w->secret, "we");
        assert_non_null(f);
        assert_int_equal(fputs("passphrase", f) >= 0, 1);
        assert_int_equal(fclose(f), 0);

        assert_ok(ec_key_generate(crypto_random, NULL, &w->pdh));
        assert_ok(ec_key_point(w->pdh, &p));
        w->cert = (SevCert) {
                .usage = SEV_USAGE_PDH,
                .algorithm = SEV_ALGORITHM_ECDH_SHA256,
                .signatures = { { .usage = SEV_USAGE_NONE }, { .usage = SEV_USAGE_NONE } },
        };
        memcpy(w->cert.x, p.x, sizeof(p.x));
        memcpy(w->cert.y, p.y, sizeof(p.y));
        sev_cert_format(&w->cert);
        w->platform_is_fine = true;
        *state = w;
        return 0;
}

static int tear_down(void **state) {
        World *w = *state;
        char command[128];

        (void) owner_free(w->owner);
        (void) ec_key_free(w->pdh);
        for (SessionFile f = 0; f < _SESSION_FILE_MAX; f++) {
                char *path = session_file_path(w->folder, "vm", f);

                (void) unlink(path);
                free(path);
        }
        (void) unlink(w->secret);
        (void) snprintf(command, sizeof(command), "%s/made", w->folder);
        (void) rmdir(command);
        assert_int_equal(rmdir(w->folder), 0);
        free(w);
        return 0;
}

/* Serves one batch of lines; *ret gets the answers, an array of objects. */
static void serve(World *w, const char *lines, Json **ret) {
        _cleanup_close_ int in = memfd_new_sealed("in", lines, strlen(lines)), out = memfd_new("out");
        _cleanup_free_ char *text = NULL, *error = NULL;
        Json *answers = js_array();
        size_t size;

        assert_int_equal(lseek(in, 0, SEEK_SET), 0);
        assert_ok(owner_serve(w->owner, in, out, &error));
        assert_int_equal(lseek(out, 0, SEEK_SET), 0);
        assert_ok(fd_read_all(out, 1 << 20, &text, &size));
        for (char *p = text, *end; (end = strchr(p, '\n')); p = end + 1) {
                Json *j;

                assert_ok(js_parse(p, (size_t) (end - p), &j, NULL));
                assert_ok(js_append(answers, j));
        }
        *ret = answers;
}

static const char *member(const Json *answers, size_t i, const char *name) {
        const char *s = js_string_value(js_get(js_at(answers, i), name));

        assert_non_null(s);
        return s;
}

static const char launch_line[] =
                "{\"type\":\"launch\",\"scheme\":\"amd-sev-es\",\"policy\":7,\"pdh\":\"AA==\",\"cert-"
                "chain\":\"AA==\",\"later\":[]}\n";

/* Unwraps the session as the secure processor does. */
static void unwrap(World *w, const Json *session, SevKeys *ret) {
        _cleanup_free_ uint8_t *blob = NULL, *godh = NULL;
        _cleanup_(secret_buf_done) SecretBuf shared = {};
        _cleanup_ec_key_ EcKey *peer = NULL;
        const char *text = js_string_value(js_get(session, "session"));
        const char *cert = js_string_value(js_get(session, "dh-cert"));
        SevCert c;
        EcPoint p;
        size_t n;

        assert_ok(base64_decode(text, strlen(text), &blob, &n));
        assert_int_equal(n, SEV_SESSION_SIZE);
        assert_ok(base64_decode(cert, strlen(cert), &godh, &n));
        assert_ok(sev_cert_parse(godh, n, &c, NULL));
        memcpy(p.x, c.x, sizeof(p.x));
        memcpy(p.y, c.y, sizeof(p.y));
        assert_ok(ec_key_from_point(&p, &peer));
        assert_ok(ec_key_derive(w->pdh, peer, &shared));
        assert_ok(sev_session_unwrap(shared.data, shared.size, blob, 7, ret, NULL));
}

static char *validate_line(const SevKeys *keys, unsigned policy, unsigned build, bool with_digest) {
        SevMeasurement m = {
                .api_major = 1, .api_minor = 55, .build = 21, .policy = 7, .nonce_size = SEV_NONCE_SIZE
        };
        uint8_t blob[OWNER_MEASUREMENT_SIZE] = {};
        _cleanup_free_ char *text = NULL, *digest = NULL;
        char *line;

        memset(m.digest, 0x5a, sizeof(m.digest));
        memset(m.nonce, 0xa5, sizeof(m.nonce));
        assert_ok(sev_measurement_compute(keys->tik, &m, blob));
        memcpy(blob + SEV_MEASURE_SIZE, m.nonce, SEV_NONCE_SIZE);
        text = base64_encode(blob, sizeof(blob));
        digest = hex_encode(m.digest, sizeof(m.digest));
        assert_true(asprintf(&line,
                                    "{\"type\":\"validate\",\"api-major\":1,\"api-minor\":55,\"build-id\":%"
                                    "u,\"policy\":%u,"
                                    "\"measurement\":\"%s\"%s%s%s}\n",
                                    build, policy, text, with_digest ? ",\"digest\":\"" : "",
                                    with_digest ? digest : "", with_digest ? "\"" : "") > 0);
        return line;
}

static void the_whole_way(void **state) {
        _cleanup_js_ Json *first = NULL, *second = NULL;
        _cleanup_free_ char *line = NULL, *path = NULL;
        _cleanup_free_ uint8_t *header = NULL, *payload = NULL, *measure = NULL;
        _cleanup_(secret_buf_done) SecretBuf table = {};
        _cleanup_(secret_table_done) SecretTable t = {};
        World *w = *state;
        Verdict v = VERDICT_UNVERIFIED;
        struct stat st;
        SevKeys keys;
        size_t n;
        Guid luks;

        new_desk(w, w->folder, true);
        serve(w, launch_line, &first);
        assert_int_equal(js_length(first), 1);
        assert_string_equal(member(first, 0, "type"), "session");
        unwrap(w, js_at(first, 0), &keys);
        path = session_file_path(w->folder, "vm", SESSION_FILE_TIK);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(st.st_size, SEV_KEY_SIZE);

        line = validate_line(&keys, 7, 21, true);
        serve(w, line, &second);
        assert_string_equal(member(second, 0, "type"), "packet");
        assert_ok(base64_decode(member(second, 0, "secret-header"),
                        strlen(member(second, 0, "secret-header")), &header, &n));
        assert_int_equal(n, SECRET_HEADER_SIZE);
        assert_ok(base64_decode(member(second, 0, "secret-payload"),
                        strlen(member(second, 0, "secret-payload")), &payload, &n));
        char *m = strstr(line, "measurement\":\"");
        assert_non_null(m);
        size_t length;
        assert_ok(base64_decode(m + 14, 64, &measure, &length));
        assert_ok(secret_packet_open(&keys, measure, header, payload, n, &table, &v));
        assert_int_equal(v, VERDICT_AUTHENTIC);
        assert_ok(secret_table_parse(table.data, table.size, &t, NULL));
        assert_ok(secret_guid_from_alias("luks-key", &luks));
        const SecretEntry *e = secret_table_find(&t, &luks);
        assert_non_null(e);
        assert_int_equal(e->value.size, 10);
        assert_memory_equal(e->value.data, "passphrase", 10);
}

static void refusals(void **state) {
        _cleanup_js_ Json *first = NULL, *second = NULL, *third = NULL;
        _cleanup_free_ char *all = NULL;
        char *lines[4] = {};
        World *w = *state;
        SevKeys keys;

        new_desk(w, w->folder, true);
        w->platform_is_fine = false;
        serve(w, launch_line, &first);
        assert_string_equal(member(first, 0, "code"), "platform-not-authentic");
        assert_string_equal(member(first, 0, "verdict"), "not-authentic");
        first = js_unref(first);
        w->platform_is_fine = true;

        /* then it is granted; and never a second time over the same keys */
        serve(w, launch_line, &first);
        unwrap(w, js_at(first, 0), &keys);
        serve(w, launch_line, &second);
        assert_string_equal(member(second, 0, "code"), "internal");
        assert_non_null(strstr(member(second, 0, "reason"), "exists and is not replaced"));

        lines[0] = validate_line(&keys, 7, 22, true);  /* another build */
        lines[1] = validate_line(&keys, 5, 21, true);  /* another policy */
        lines[2] = validate_line(&keys, 7, 21, false); /* nothing to compare with */
        lines[3] = validate_line(&keys, 7, 21, true);
        assert_true(asprintf(&all, "%s%s%s%s{\"type\":\"validate\"}\n{\"type\":\"nonce\"}\nrubbish\n",
                                    lines[0], lines[1], lines[2], lines[3]) > 0);
        serve(w, all, &third);
        assert_string_equal(member(third, 0, "code"), "measurement-mismatch");
        assert_string_equal(member(third, 0, "verdict"), "not-authentic");
        assert_string_equal(member(third, 1, "code"), "policy-mismatch");
        assert_string_equal(member(third, 2, "verdict"), "unverified");
        assert_string_equal(member(third, 3, "type"), "packet");
        assert_string_equal(member(third, 4, "code"), "malformed");
        assert_string_equal(member(third, 5, "code"), "unknown-request");
        assert_string_equal(member(third, 6, "code"), "malformed");
        assert_int_equal(js_length(third), 7);
        FOREACH_ARRAY(line, lines, ELEMENTSOF(lines))
                free(*line);
}

/* A session of an earlier run, as attest-qemu uses it; no secrets. */
static void keys_from_the_folder(void **state) {
        _cleanup_js_ Json *first = NULL, *second = NULL;
        _cleanup_free_ char *line = NULL;
        World *w = *state;
        SevKeys keys;

        new_desk(w, w->folder, false);
        serve(w, launch_line, &first);
        unwrap(w, js_at(first, 0), &keys);
        new_desk(w, w->folder, false);
        line = validate_line(&keys, 7, 21, true);
        serve(w, line, &second);
        assert_string_equal(member(second, 0, "type"), "packet");
        assert_null(js_get(js_at(second, 0), "secret-header"));
}

static void no_room(void **state) {
        static const char line[] =
                        "{\"type\":\"launch\",\"scheme\":\"amd-sev\",\"pdh\":\"\",\"cert-chain\":\"\","
                        "\"secret-area\":48}\n";
        _cleanup_js_ Json *first = NULL;
        char made[80];
        World *w = *state;

        (void) snprintf(made, sizeof(made), "%s/made", w->folder);
        new_desk(w, made, true);
        serve(w, line, &first);
        assert_string_equal(member(first, 0, "code"), "no-room");
        assert_int_equal(access(made, F_OK), -1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(the_whole_way, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refusals, set_up, tear_down),
                cmocka_unit_test_setup_teardown(keys_from_the_folder, set_up, tear_down),
                cmocka_unit_test_setup_teardown(no_room, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
