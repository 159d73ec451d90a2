/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "guest-policy.h"
#include "snp-result.h"
#include "snp-world.h"

static void judge_expecting(World *w, const SnpPolicy *p, const char *rule, size_t n) {
        Violations v = {};
        char *error = NULL;
        bool found = !rule;

        if (snp_policy_judge(p, &w->result, &v, &error) < 0)
                fail_msg("%s", error);
        for (size_t i = 0; rule && i < v.n; i++)
                found = found || strcmp(v.list[i].rule, rule) == 0;
        if (!found)
                fail_msg("'%s' was not violated", rule);
        assert_int_equal(v.n, n);
        assert_int_equal(w->result.verdict, n == 0 ? VERDICT_VERIFIED : VERDICT_POLICY_NOT_MET);
        violations_done(&v);
}

static void good_policy(const World *w, SnpPolicy *p) {
        snp_policy_init(p);
        assert_ok(snp_policy_accept(p, SNP_FIELD_MEASUREMENT, w->report.measurement, NULL));
        assert_ok(snp_policy_accept(p, SNP_FIELD_REPORT_DATA, w->report.report_data, NULL));
}

static void policy_is_judged_whole(_unused_ void **state) {
        WITH_WORLD(w, &shared_milan) {
                SnpPolicy p;

                w.report.policy |= SNP_POLICY_DEBUG;
                w.report.vmpl = 1;
                verify(&w);
                assert_true(w.result.authentic);
                good_policy(&w, &p);
                judge_expecting(&w, &p, "debug", 2);
                p.allow_debug = true;
                judge_expecting(&w, &p, "vmpl", 1);
                p.vmpl.value = 1;
                judge_expecting(&w, &p, NULL, 0);
                p.bytes[SNP_FIELD_MEASUREMENT].values[5] ^= 1;
                p.minimum_tcb.rule = SNP_RULE_SET;
                judge_expecting(&w, &p, "minimum_tcb", 2); /* no row for Milan, and the measurement */
                p.minimum_tcb.given[SNP_MILAN] = true;
                p.minimum_tcb.minimum[SNP_MILAN] = w.tcb;
                judge_expecting(&w, &p, "measurement", 1);
                p.minimum_tcb.minimum[SNP_MILAN].part[SNP_TCB_SNP]++;
                p.minimum_tcb.minimum[SNP_MILAN].part[SNP_TCB_MICROCODE] = 0; /* does not make up for it */
                judge_expecting(&w, &p, "minimum_tcb", 2);
                snp_policy_done(&p);
        }
        WITH_WORLD(w, &shared_milan) {
                SnpPolicy p;

                w.report.version = 7;
                w.report.committed_tcb[7]--; /* below the reported one */
                verify(&w);
                good_policy(&w, &p);
                judge_expecting(&w, &p, "maximum_report_version", 2);
                judge_expecting(&w, &p, "tcb_order", 2);
                p.permit_provisional_firmware = false;
                judge_expecting(&w, &p, "permit_provisional_firmware", 3);
                snp_policy_done(&p);
        }
        WITH_WORLD(w, &shared_milan) {
                SnpPolicy p;

                w.report.committed_version.minor = (uint8_t) (w.report.current_version.minor + 1);
                verify(&w);
                good_policy(&w, &p);
                judge_expecting(&w, &p, "version_order", 1);
                snp_policy_done(&p);
        }
        WITH_WORLD(w, &shared_milan) {
                SnpPolicy p;

                w.report.committed_version = w.report.current_version;
                w.report.committed_version.build = UINT8_MAX;
                w.report.current_version.minor++; /* builds count within a version */
                verify(&w);
                good_policy(&w, &p);
                judge_expecting(&w, &p, NULL, 0);
                snp_policy_done(&p);
        }
}

/* The host chooses the agent, and no digest covers it: refused unless allowed by name or by its id. */
static void migration_agents_are_refused(_unused_ void **state) {
        for (unsigned i = 0; i < 2; i++)
                WITH_WORLD(w, &shared_milan) {
                        SnpPolicy p;

                        if (i == 0)
                                w.report.policy |= SNP_POLICY_MIGRATE_MA;
                        else
                                w.report.report_id_ma[5] = 0;
                        verify(&w);
                        good_policy(&w, &p);
                        judge_expecting(&w, &p, "migration_agent", 1);
                        snp_policy_done(&p);
                        good_policy(&w, &p);
                        p.allow_migration_agent = true;
                        judge_expecting(&w, &p, NULL, 0);
                        snp_policy_done(&p);
                        good_policy(&w, &p);
                        assert_ok(snp_policy_accept(
                                        &p, SNP_FIELD_REPORT_ID_MA, w.report.report_id_ma, NULL));
                        judge_expecting(&w, &p, NULL, 0);
                        snp_policy_done(&p);
                }
}

/* A masked CHIP_ID verifies, and the text says that the leaf is bound to no chip. */
static void masked_chips_are_named(_unused_ void **state) {
        WITH_WORLD(w, &shared_milan) {
                Violations v = {};
                char *text = NULL;
                SnpPolicy p;

                memset(w.report.chip_id, 0, sizeof(w.report.chip_id));
                verify(&w);
                assert_true(w.result.authentic);
                good_policy(&w, &p);
                assert_ok(snp_result_text(&w.result, &p, &v, &text));
                assert_non_null(strstr(text, "not bound to a chip: the host masks CHIP_ID"));
                free(text);
                p.require_chip_id = true;
                judge_expecting(&w, &p, "require_chip_id", 1);
                snp_policy_done(&p);
        }
}

static void undecided_policies_do_not_judge(_unused_ void **state) {
        WITH_WORLD(w, &shared_milan) {
                Violations v = {};
                SnpPolicy p;

                verify(&w);
                snp_policy_init(&p);
                assert_error(snp_policy_judge(&p, &w.result, &v, NULL), EINVAL);
                assert_int_equal(w.result.verdict, VERDICT_UNVERIFIED);
                snp_policy_accept_any_measurement_acknowledging_forgery(&p);
                assert_error(snp_policy_judge(&p, &w.result, &v, NULL), EINVAL);
                snp_policy_accept_any_report_data_acknowledging_replay(&p);
                judge_expecting(&w, &p, NULL, 0);
                p = (SnpPolicy) {}; /* a forgotten initialisation */
                assert_error(snp_policy_judge(&p, &w.result, &v, NULL), EINVAL);
        }
        WITH_WORLD(w, &shared_milan) {
                Violations v = {};
                SnpPolicy p;

                w.leaf.salt = 20;
                verify(&w);
                good_policy(&w, &p);
                assert_error(snp_policy_judge(&p, &w.result, &v, NULL), EINVAL);
                assert_int_equal(w.result.verdict, VERDICT_COLLATERAL_UNAVAILABLE);
                snp_policy_done(&p);
        }
}

/* The policy file. */

static int read_text(const char *text, SnpPolicy *p, char **reterr) {
        Json *j = NULL;
        int r;

        snp_policy_init(p);
        assert_ok(js_parse(text, strlen(text), &j, reterr));
        r = snp_policy_read(j, p, reterr);
        js_unref(j);
        return r;
}

static void files_are_read(_unused_ void **state) {
        SnpPolicy p;
        char *error = NULL;

        if (read_text("{\"schema\": \"cvmspawn-snp-policy-1\", \"vmpl\": 1, \"policy\": \"0x1f0000\", "
                      "\"host_data\": \"any\", \"minimum_version\": \"1.55\", \"product\": [\"milan\", "
                      "\"genoa\"], "
                      "\"minimum_tcb\": {\"milan\": {\"bootloader\": 4, \"microcode\": 219}}, "
                      "\"platform_info\": {\"mask\": \"0x3\", \"value\": 1}, \"insecure_any_measurement\": "
                      "true, "
                      "\"family_id\": [\"00112233445566778899aabbccddeeff\", "
                      "\"ffeeddccbbaa99887766554433221100\"]}",
                            &p, &error) < 0)
                fail_msg("%s", error);
        assert_int_equal(p.vmpl.value, 1);
        assert_int_equal(p.guest_policy.value, 0x1f0000);
        assert_int_equal(p.minimum_version.value, 0x137);
        assert_int_equal(p.products.value, 1 << SNP_MILAN | 1 << SNP_GENOA);
        assert_true(p.minimum_tcb.given[SNP_MILAN] && !p.minimum_tcb.given[SNP_GENOA]);
        assert_int_equal(p.minimum_tcb.minimum[SNP_MILAN].part[SNP_TCB_MICROCODE], 219);
        assert_int_equal(p.bytes[SNP_FIELD_FAMILY_ID].n_values, 2);
        assert_int_equal(p.bytes[SNP_FIELD_MEASUREMENT].rule, SNP_RULE_ANY);
        assert_int_equal(p.bytes[SNP_FIELD_REPORT_DATA].rule, SNP_RULE_UNSET);
        snp_policy_done(&p);
}

static void bad_files_are_named(_unused_ void **state) {
#define S "{\"schema\": \"cvmspawn-snp-policy-1\", "
        static const struct {
                const char *text, *expected;
        } cases[] = {
                { "[]", "expected a JSON object" },
                { "{}", "member 'schema' is missing; expected \"cvmspawn-snp-policy-1\"" },
                { S "\"mesurement\": \"00\"}", "member 'mesurement': unknown member" },
                { S "\"measurement\": \"any\"}",
                                "member 'measurement': 'any' is not allowed; use \"insecure_any_measurement\": true "
                                "instead" },
                { S "\"measurement\": []}",
                                "member 'measurement': an empty list would accept nothing; omit the "
                                "member, or use \"any\"" },
                { S "\"report_data\": \"0011\"}",
                                "member 'report_data': expected 64 bytes in hex (128 digits), or a "
                                "list of such" },
                { S "\"vmpl\": 4}", "member 'vmpl': larger than the field can hold" },
                { S "\"vmpl\": -1}", "member 'vmpl': expected a number, or one in a string (\"0x30000\")" },
                { S "\"minimum_tcb\": {\"milan\": {\"fmc\": 1}}}",
                                "member 'minimum_tcb': Milan has no TCB part 'fmc'" },
                { S "\"minimum_tcb\": {\"milano\": {}}}",
                                "member 'minimum_tcb': 'milano' is not a processor generation" },
                { S "\"platform_info\": {\"mask\": 1, \"value\": 2}}",
                                "member 'platform_info': the value has bits that the mask leaves out" },
                { S "\"product\": []}", "member 'product': an empty list would accept nothing" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char *error = NULL;
                SnpPolicy p;

                assert_true(read_text(cases[i].text, &p, &error) < 0);
                assert_string_equal(error, cases[i].expected);
                free(error);
                snp_policy_done(&p);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(policy_is_judged_whole),
                cmocka_unit_test(migration_agents_are_refused),
                cmocka_unit_test(masked_chips_are_named),
                cmocka_unit_test(undecided_policies_do_not_judge),
                cmocka_unit_test(files_are_read),
                cmocka_unit_test(bad_files_are_named),
        };

        return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
