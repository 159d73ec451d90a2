/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Answers as data: what the typed commands read out of JSON. Texts that QEMU 10.0.2 gave are marked so. */

#include "test.h"

#include <errno.h>

#include "qmp-commands.h"
#include "qmp-schema.h"
#include "qmp-sev.h"
#include "strutil.h"

static Json *parse(const char *text) {
        Json *j = NULL;

        assert_ok(js_parse(text, strlen(text), &j, NULL));
        return j;
}

static void status(_unused_ void **state) {
        _cleanup_js_ Json *prelaunch = parse("{\"status\": \"prelaunch\", \"running\": false}"); /* QEMU's */
        _cleanup_js_ Json *newer = parse("{\"status\": \"dozing\", \"running\": true}");
        _cleanup_js_ Json *bad = parse("{\"status\": \"running\", \"running\": 1}");
        _cleanup_free_ char *why = NULL;
        QmpStatus s;

        assert_ok(qmp_status_parse(prelaunch, &s, NULL));
        assert_int_equal(s.state, QMP_STATE_PRELAUNCH);
        assert_false(s.running);
        assert_ok(qmp_status_parse(newer, &s, NULL));
        assert_int_equal(s.state, QMP_STATE_OTHER);
        assert_true(s.running);
        assert_error(qmp_status_parse(bad, &s, &why), EBADMSG);
        assert_non_null(why);
        for (QmpState i = 0; i < _QMP_STATE_MAX; i++)
                assert_int_equal(qmp_state_from_string(qmp_state_to_string(i)), i);
}

static void shutdown_reasons(_unused_ void **state) {
        static const struct {
                const char *text;
                QmpShutdown expected;
        } cases[] = {
                { "{\"guest\": false, \"reason\": \"host-qmp-quit\"}", QMP_SHUTDOWN_QUIT }, /* QEMU's */
                { "{\"guest\": true, \"reason\": \"guest-shutdown\"}", QMP_SHUTDOWN_GUEST },
                { "{\"guest\": true, \"reason\": \"guest-reset\"}", QMP_SHUTDOWN_GUEST_RESET },
                { "{\"guest\": true, \"reason\": \"guest-panic\"}", QMP_SHUTDOWN_GUEST_PANIC },
                { "{\"guest\": true, \"reason\": \"lightning\"}", QMP_SHUTDOWN_OTHER },
                { "{\"guest\": true}", QMP_SHUTDOWN_OTHER },
                { "[]", QMP_SHUTDOWN_OTHER },
        };

        FOREACH_ARRAY(t, cases, ELEMENTSOF(cases)) {
                _cleanup_js_ Json *j = parse(t->text);

                assert_int_equal(qmp_shutdown_parse(j), t->expected);
        }
        assert_int_equal(qmp_shutdown_parse(NULL), QMP_SHUTDOWN_OTHER);
        assert_string_equal(qmp_shutdown_to_string(QMP_SHUTDOWN_GUEST_PANIC), "guest-panic");
        assert_null(qmp_shutdown_to_string(_QMP_SHUTDOWN_MAX));
}

static void sev(_unused_ void **state) {
        static const struct {
                const char *text;
                QmpSev expected;
        } good[] = {
                /* QEMU's, without SEV */
                { "{\"enabled\": false, \"api-minor\": 0, \"handle\": 0, \"state\": \"uninit\", "
                  "\"api-major\": 0, "
                  "\"sev-type\": \"sev\", \"build-id\": 0, \"policy\": 0}",
                                { .state = QMP_SEV_UNINIT } },
                { "{\"enabled\": true, \"api-minor\": 55, \"handle\": 2, \"state\": \"launch-secret\", "
                  "\"api-major\": 1, "
                  "\"sev-type\": \"sev\", \"build-id\": 21, \"policy\": 7}",
                                { true, false, 1, 55, 21, QMP_SEV_LAUNCH_SECRET, 7, 2 } },
                { "{\"enabled\": true, \"api-minor\": 55, \"state\": \"running\", \"api-major\": 1, "
                  "\"sev-type\": \"sev-snp\", \"build-id\": 21, \"snp-policy\": 196608}",
                                { true, true, 1, 55, 21, QMP_SEV_RUNNING, 0x30000, 0 } },
        };
        static const char *const bad[] = {
                "{}",
                "[]",
                "{\"enabled\": true, \"api-minor\": 55, \"handle\": 2, \"state\": \"napping\", "
                "\"api-major\": 1, "
                "\"build-id\": 21, \"policy\": 7}",
                "{\"enabled\": true, \"api-minor\": 55, \"state\": \"running\", \"api-major\": 1, "
                "\"sev-type\": \"sev-snp\", \"build-id\": 21, \"policy\": 7}",
                "{\"enabled\": true, \"api-minor\": 55, \"state\": \"running\", \"api-major\": 1, "
                "\"sev-type\": \"tdx\", \"build-id\": 21, \"policy\": 7}",
                "{\"enabled\": true, \"api-minor\": -1, \"handle\": 2, \"state\": \"running\", "
                "\"api-major\": 1, "
                "\"build-id\": 21, \"policy\": 7}",
        };

        FOREACH_ARRAY(t, good, ELEMENTSOF(good)) {
                _cleanup_js_ Json *j = parse(t->text);
                QmpSev s;

                assert_ok(qmp_sev_parse(j, &s, NULL));
                assert_int_equal(s.enabled, t->expected.enabled);
                assert_int_equal(s.snp, t->expected.snp);
                assert_int_equal(s.api_major, t->expected.api_major);
                assert_int_equal(s.api_minor, t->expected.api_minor);
                assert_int_equal(s.build_id, t->expected.build_id);
                assert_int_equal(s.state, t->expected.state);
                assert_int_equal(s.policy, t->expected.policy);
                assert_int_equal(s.handle, t->expected.handle);
        }
        FOREACH_ARRAY(t, bad, ELEMENTSOF(bad)) {
                _cleanup_js_ Json *j = parse(*t);
                _cleanup_free_ char *why = NULL;
                QmpSev s;

                assert_error(qmp_sev_parse(j, &s, &why), EBADMSG);
                assert_non_null(startswith(why, "query-sev: "));
        }
        assert_string_equal(qmp_sev_state_to_string(QMP_SEV_RECEIVE_UPDATE), "receive-update");
}

static void measurement(_unused_ void **state) {
        uint8_t data[48];
        QmpSevMeasurement m;
        _cleanup_js_ Json *j = js_object(), *short_one = js_object(), *bad = NULL, *empty = js_object();
        _cleanup_free_ char *why = NULL, *why2 = NULL;

        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (uint8_t) i;
        assert_ok(js_set(j, "data", js_base64(data, sizeof(data))));
        assert_ok(qmp_sev_measurement_parse(j, &m, NULL));
        assert_memory_equal(m.measurement, data, 32);
        assert_memory_equal(m.mnonce, data + 32, 16);

        assert_ok(js_set(short_one, "data", js_base64(data, 47)));
        assert_error(qmp_sev_measurement_parse(short_one, &m, &why), EBADMSG);
        assert_string_equal(why, "query-sev-launch-measure: member 'data' has 47 bytes, expected 48");
        bad = parse("{\"data\": \"AAAA\\nAAA=\"}");
        assert_error(qmp_sev_measurement_parse(bad, &m, &why2), EBADMSG);
        assert_string_equal(why2, "query-sev-launch-measure: member 'data' is not base64");
        assert_error(qmp_sev_measurement_parse(empty, &m, NULL), EBADMSG);
}

static void capabilities(_unused_ void **state) {
        static uint8_t bytes[QMP_SEV_CHAIN_SIZE];
        static QmpSevCapabilities caps;
        _cleanup_js_ Json *j = js_object();
        _cleanup_free_ char *why = NULL;

        memset(bytes, 0x5a, sizeof(bytes));
        assert_ok(js_set(j, "cbitpos", js_u64(51)));
        assert_ok(js_set(j, "reduced-phys-bits", js_u64(1)));
        assert_ok(js_set(j, "pdh", js_base64(bytes, QMP_SEV_CERT_SIZE)));
        assert_ok(js_set(j, "cert-chain", js_base64(bytes, QMP_SEV_CHAIN_SIZE)));
        assert_ok(js_set(j, "cpu0-id", js_base64(bytes, QMP_SEV_CPU_ID_SIZE)));
        assert_ok(qmp_sev_capabilities_parse(j, &caps, NULL));
        assert_int_equal(caps.cbitpos, 51);
        assert_int_equal(caps.reduced_phys_bits, 1);
        assert_memory_equal(caps.cert_chain, bytes, QMP_SEV_CHAIN_SIZE);
        assert_memory_equal(caps.cpu0_id, bytes, QMP_SEV_CPU_ID_SIZE);

        assert_ok(js_set(j, "pdh", js_base64(bytes, QMP_SEV_CERT_SIZE + 1)));
        assert_error(qmp_sev_capabilities_parse(j, &caps, &why), EBADMSG);
        assert_string_equal(why, "query-sev-capabilities: member 'pdh' has 2085 bytes, expected 2084");
}

static void schema(_unused_ void **state) {
        _cleanup_js_ Json *s = parse(
                        "[{\"name\": \"blockdev-add\", \"meta-type\": \"command\", \"arg-type\": \"1\"},"
                        "{\"name\": \"stop\", \"meta-type\": \"command\", \"arg-type\": \"9\"},"
                        "{\"name\": \"SHUTDOWN\", \"meta-type\": \"event\", \"arg-type\": \"0\"},"
                        "{\"name\": \"1\", \"meta-type\": \"object\", \"members\": [{\"name\": \"driver\", "
                        "\"type\": \"5\"}],"
                        " \"variants\": [{\"case\": \"raw\", \"type\": \"2\"}, {\"case\": \"qcow2\", "
                        "\"type\": \"3\"}]},"
                        "{\"name\": \"2\", \"meta-type\": \"object\", \"members\": []},"
                        "{\"name\": \"3\", \"meta-type\": \"object\", \"members\": [{\"name\": "
                        "\"discard-no-unref\", "
                        "\"type\": \"6\"}], \"variants\": [{\"case\": \"self\", \"type\": \"1\"}]}, 7, "
                        "null]");

        assert_true(qmp_schema_has_command(s, "blockdev-add"));
        assert_false(qmp_schema_has_command(s, "SHUTDOWN"));
        assert_true(qmp_schema_has_event(s, "SHUTDOWN"));
        assert_true(qmp_schema_has_argument(s, "blockdev-add", "driver"));
        assert_true(qmp_schema_has_argument(s, "blockdev-add", "discard-no-unref"));
        assert_false(qmp_schema_has_argument(
                        s, "blockdev-add", "nothing")); /* ends, though 1 and 3 name each other */
        assert_false(qmp_schema_has_argument(s, "stop", "driver"));
        assert_false(qmp_schema_has_argument(s, "unknown", "driver"));
        assert_false(qmp_schema_has_command(NULL, "stop"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(status),
                cmocka_unit_test(shutdown_reasons),
                cmocka_unit_test(sev),
                cmocka_unit_test(measurement),
                cmocka_unit_test(capabilities),
                cmocka_unit_test(schema),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
