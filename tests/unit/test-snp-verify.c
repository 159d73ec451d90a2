/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The verifier against a made-up AMD, which can do what the real one never does: a wrong chip with an equal key, each TCB part
 * wrong, missing and double extensions, revoked and expired certificates, a wrong salt, a forged root with AMD's names,
 * swapped intermediates, short signatures, reserved bytes. Everything is made at run time from fresh keys. */

#include "snp-world.h"

static void genuine_chains_are_authentic(_unused_ void **state) {
        const FakeAmd *all[] = { &shared_milan, &shared_turin };

        for (size_t i = 0; i < ELEMENTSOF(all); i++)
                for (unsigned vlek = 0; vlek < 2; vlek++)
                        WITH_WORLD(w, all[i]) {
                                if (vlek)
                                        use_vlek(&w);
                                verify(&w);
                                if (!w.result.authentic)
                                        fail_msg("%s", w.result.sentence);
                                /* Authentic is not verified. */
                                assert_int_equal(w.result.verdict, VERDICT_UNVERIFIED);
                                assert_true(w.result.insecure_root);
                                /* A second look uses what was verified before, and gives the same result. */
                                verify_again(&w);
                                assert_true(w.result.authentic);
                        }
}

static void made_up_root_is_not_amds(_unused_ void **state) {
        WITH_WORLD(w, &shared_milan) {
                add(&w, &w.ark);
                add(&w, &w.ask);
                add(&w, &w.leaf);
                encode_and_sign(&w);
                verify_again(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_ROOT, "does not have AMD's key");
        }
}

static void forged_root_with_amds_names(_unused_ void **state) {
        /* The whole chain is a different one with the same names; the anchor is ours. */
        WITH_WORLD(w, &shared_milan) {
                FakeCertificate forged;

                trust_ark(&w, &w.ark);
                fake_ark(&w.other, &forged);
                add(&w, &forged);
                fake_certificate_done(&forged);
                w.ask.issuer_key = w.other.ark;
                add(&w, &w.ask);
                add(&w, &w.leaf);
                encode_and_sign(&w);
                verify_again(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_ROOT, "does not have AMD's key");
                /* With the genuine root available the forged intermediate does not fit. */
                add(&w, &w.ark);
                verify_again(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_INTERMEDIATE,
                                "not an issuer signed by AMD's root");
        }
}

static void root_with_the_right_key_but_another_signature(_unused_ void **state) {
        WITH_WORLD(w, &shared_milan) {
                trust_ark(&w, &w.ark);
                w.ark.issuer_key = w.other.ark;
                add(&w, &w.ark);
                add(&w, &w.ask);
                add(&w, &w.leaf);
                encode_and_sign(&w);
                verify_again(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_ROOT, "not a proper self-signed root");
        }
}

static void swapped_intermediates(_unused_ void **state) {
        WITH_WORLD(w, &shared_milan) {
                /* A VCEK signed by the VLEK intermediate's key. */
                w.leaf.issuer_key = w.amd.asvk;
                verify(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_LEAF,
                                "not signed by AMD's intermediate");
        }
        WITH_WORLD(w, &shared_milan) {
                /* The same with the name that goes with the key: not a name that signs a VCEK. */
                w.leaf.issuer_key = w.amd.asvk;
                w.leaf.issuer = w.amd.asvk_name;
                verify(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_COLLATERAL, "no VCEK");
        }
        WITH_WORLD(w, &shared_milan) {
                /* An intermediate that may not sign certificates. */
                assert_true(fake_remove_extension(&w.ask, "2.5.29.19"));
                verify(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_INTERMEDIATE, "not an issuer");
        }
}

/* A whole forged chain under AMD's names, put into the pool first, is not in the way of the genuine one. */
static void forged_certificates_in_the_pool_do_no_harm(_unused_ void **state) {
        WITH_WORLD(w, &shared_milan) {
                FakeCertificate ark, ask, leaf;

                fake_ark(&w.other, &ark);
                fake_ask(&w.other, &ask);
                fake_vcek(&w.other, &w.tcb, w.chip, &leaf);
                add(&w, &leaf);
                add(&w, &ask);
                add(&w, &ark);
                fake_certificate_done(&ark);
                fake_certificate_done(&ask);
                fake_certificate_done(&leaf);
                verify(&w);
                assert_true(w.result.authentic);
        }
}

static void missing_certificates_are_not_a_verdict(_unused_ void **state) {
        WITH_WORLD(w, &shared_milan) {
                trust_ark(&w, &w.ark);
                encode_and_sign(&w);
                verify_again(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_COLLATERAL, "no VCEK");
                add(&w, &w.leaf);
                verify_again(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_COLLATERAL,
                                "no root certificate ARK-Milan");
                add(&w, &w.ark);
                verify_again(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_COLLATERAL,
                                "no intermediate certificate SEV-Milan");
                add(&w, &w.ask);
                verify_again(&w);
                assert_true(w.result.authentic);
        }
}

static void wrong_chip_with_equal_key(_unused_ void **state) {
        WITH_WORLD(w, &shared_milan) {
                w.report.chip_id[63] ^= 1;
                verify(&w);
                expect(&w, VERDICT_NOT_AUTHENTIC, SNP_STEP_CHIP, "another chip");
        }
        WITH_WORLD(w, &shared_turin) {
                /* Bytes after the eight of a Turin id. */
                w.report.chip_id[8] = 1;
                verify(&w);
                expect(&w, VERDICT_NOT_AUTHENTIC, SNP_STEP_CHIP, "another chip");
        }
        WITH_WORLD(w, &shared_milan) {
                /* MASK_CHIP_ID: nothing to compare with. */
                memset(w.report.chip_id, 0, sizeof(w.report.chip_id));
                verify(&w);
                assert_true(w.result.authentic);
        }
}

static void each_tcb_part_counts(_unused_ void **state) {
        const FakeAmd *all[] = { &shared_milan, &shared_turin };

        for (size_t i = 0; i < ELEMENTSOF(all); i++)
                for (int p = 0; p < _SNP_TCB_PART_MAX; p++)
                        for (int delta = -1; delta <= 1; delta += 2) {
                                if (!snp_generation_has_tcb_part(all[i]->generation, (SnpTcbPart) p))
                                        continue;
                                WITH_WORLD(w, all[i]) {
                                        SnpTcb tcb = w.tcb;

                                        tcb.part[p] = (uint8_t) (tcb.part[p] + delta);
                                        snp_tcb_encode(&tcb, w.amd.generation, w.report.reported_tcb);
                                        verify(&w);
                                        expect(&w, VERDICT_NOT_AUTHENTIC, SNP_STEP_TCB, "another TCB");
                                }
                        }
        WITH_WORLD(w, &shared_milan) {
                w.report.reported_tcb[3] = 1; /* a byte that Milan does not use */
                verify(&w);
                expect(&w, VERDICT_NOT_AUTHENTIC, SNP_STEP_TCB, "does not use");
        }
}

static void extensions_must_be_complete_and_single(_unused_ void **state) {
        static const char *const oids[] = { "1.3.6.1.4.1.3704.1.1", "1.3.6.1.4.1.3704.1.2",
                "1.3.6.1.4.1.3704.1.3.1", "1.3.6.1.4.1.3704.1.3.2", "1.3.6.1.4.1.3704.1.3.3",
                "1.3.6.1.4.1.3704.1.3.8", "1.3.6.1.4.1.3704.1.4" };

        for (size_t i = 0; i < ELEMENTSOF(oids); i++)
                WITH_WORLD(w, &shared_milan) {
                        assert_true(fake_remove_extension(&w.leaf, oids[i]));
                        verify(&w);
                        expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_EXTENSIONS, "is missing");
                }
        WITH_WORLD(w, &shared_turin) {
                assert_true(fake_remove_extension(&w.leaf, "1.3.6.1.4.1.3704.1.3.9"));
                verify(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_EXTENSIONS, "fmc is missing");
        }
        WITH_WORLD(w, &shared_milan) {
                FakeBytes der;

                fake_add_number(&w.leaf, "1.3.6.1.4.1.3704.1.3.1", 4);
                der = fake_certificate_make(&w.leaf);
                assert_error(snp_collateral_add(&w.pool, der.data, der.size, "twice", false, NULL), EBADMSG);
                free(der.data);
        }
        WITH_WORLD(w, &shared_milan) {
                fake_add_number(&w.leaf, "1.3.6.1.4.1.3704.1.3.9", 1); /* a Milan has no FMC */
                verify(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_EXTENSIONS, "is not allowed in");
        }
        WITH_WORLD(w, &shared_milan) {
                fake_add_text(&w.leaf, "1.3.6.1.4.1.3704.1.5", "CN=cloud.example"); /* of a VLEK */
                verify(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_EXTENSIONS, "cspID is not allowed in");
        }
        WITH_WORLD(w, &shared_milan) {
                fake_add_number(&w.leaf, "1.3.6.1.4.1.3704.1.7", 1);
                verify(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_EXTENSIONS, "unknown AMD extension");
        }
        WITH_WORLD(w, &shared_milan) {
                assert_true(fake_remove_extension(&w.leaf, "1.3.6.1.4.1.3704.1.3.8"));
                fake_add_number(&w.leaf, "1.3.6.1.4.1.3704.1.3.8", 219 + 256); /* the last byte would fit */
                verify(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_EXTENSIONS, "0 to 255");
        }
        WITH_WORLD(w, &shared_milan) {
                assert_true(fake_remove_extension(&w.leaf, "1.3.6.1.4.1.3704.1.2"));
                fake_add_text(&w.leaf, "1.3.6.1.4.1.3704.1.2", "Genoa");
                verify(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_EXTENSIONS, "does not fit the issuer");
        }
}

static void hardware_id_may_be_wrapped(_unused_ void **state) {
        WITH_WORLD(w, &shared_milan) {
                FakeBytes value = { .data = malloc(66), .size = 66 };

                value.data[0] = 0x04;
                value.data[1] = 0x40;
                memcpy(value.data + 2, w.chip, 64);
                assert_true(fake_remove_extension(&w.leaf, "1.3.6.1.4.1.3704.1.4"));
                fake_add_extension(&w.leaf, "1.3.6.1.4.1.3704.1.4", false, value);
                verify(&w);
                assert_true(w.result.authentic);
        }
}

static void validity_and_salt(_unused_ void **state) {
        WITH_WORLD(w, &shared_milan) {
                w.leaf.not_after = "260920000000Z";
                verify(&w);
                expect(&w, VERDICT_NOT_AUTHENTIC, SNP_STEP_VALIDITY, "leaf certificate is valid from");
        }
        WITH_WORLD(w, &shared_milan) {
                w.ask.not_before = "261001000000Z";
                verify(&w);
                expect(&w, VERDICT_NOT_AUTHENTIC, SNP_STEP_VALIDITY,
                                "intermediate certificate is valid from");
        }
        WITH_WORLD(w, &shared_milan) {
                w.ark.not_after = "250101000000Z";
                verify(&w);
                expect(&w, VERDICT_NOT_AUTHENTIC, SNP_STEP_VALIDITY, "root certificate is valid from");
        }
        WITH_WORLD(w, &shared_milan) {
                w.leaf.salt = 32;
                verify(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_LEAF, "not signed");
        }
        WITH_WORLD(w, &shared_milan) {
                w.ask.salt = 47;
                verify(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_INTERMEDIATE, "not an issuer signed");
        }
}

static void add_list(World *w, EVP_PKEY *key, const char *from, const char *to, unsigned serial) {
        FakeBytes der = fake_crl_make(&w->amd, key, from, to, &serial, 1);

        assert_ok(snp_collateral_add(&w->pool, der.data, der.size, "list", false, NULL));
        free(der.data);
}

static void revocation(_unused_ void **state) {
        WITH_WORLD(w, &shared_milan) {
                add_list(&w, w.amd.ark, "260901000000Z", "261001000000Z", 0x10001);
                verify(&w);
                expect(&w, VERDICT_NOT_AUTHENTIC, SNP_STEP_REVOCATION, "has revoked");
        }
        WITH_WORLD(w, &shared_milan) {
                add_list(&w, w.amd.ark, "260901000000Z", "261001000000Z", 0x10002);
                verify(&w);
                assert_true(w.result.authentic);
                assert_null(w.result.crl_note);
        }
        WITH_WORLD(w, &shared_milan) {
                /* A forged list revokes nothing and proves nothing. */
                add_list(&w, w.other.ark, "260901000000Z", "261001000000Z", 0x10001);
                verify(&w);
                assert_true(w.result.authentic);
                assert_non_null(w.result.crl_note);
                w.crl = SNP_CRL_REQUIRED;
                verify_again(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_REVOCATION, "no list is available");
        }
        WITH_WORLD(w, &shared_milan) {
                add_list(&w, w.amd.ark, "260701000000Z", "260801000000Z", 0x10002);
                w.crl = SNP_CRL_REQUIRED;
                verify(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_REVOCATION, "not current");
                w.crl = SNP_CRL_OFF;
                verify_again(&w);
                assert_true(w.result.authentic);
        }
}

/* What AMD once revoked stays revoked, whether the list is outdated, from the future, or older than one that lacks it. */
static void outdated_lists_revoke(_unused_ void **state) {
        static const char *const times[][2] = {
                { "260701000000Z", "260801000000Z" },
                { "270701000000Z", "270801000000Z" },
        };

        for (size_t i = 0; i < ELEMENTSOF(times); i++)
                WITH_WORLD(w, &shared_milan) {
                        add_list(&w, w.amd.ark, times[i][0], times[i][1], 0x10001);
                        add_list(&w, w.amd.ark, "260901000000Z", "261001000000Z", 0x10002);
                        verify(&w);
                        expect(&w, VERDICT_NOT_AUTHENTIC, SNP_STEP_REVOCATION, "has revoked");
                }
}

static void every_signed_bit_counts(_unused_ void **state) {
        WITH_WORLD(w, &shared_milan) {
                verify(&w);
                assert_true(w.result.authentic);
                for (size_t i = 0; i < 0x2a0 + 144; i += 7) {
                        w.raw[i] ^= 0x10;
                        verify_again(&w);
                        assert_false(w.result.authentic);
                        assert_true(w.result.verdict == VERDICT_NOT_AUTHENTIC ||
                                        w.result.verdict == VERDICT_COLLATERAL_UNAVAILABLE);
                        w.raw[i] ^= 0x10;
                }
                w.raw[0x90] ^= 1;
                verify_again(&w);
                expect(&w, VERDICT_NOT_AUTHENTIC, SNP_STEP_SIGNATURE, "not made by the key");
        }
}

static void reserved_bytes_and_lengths(_unused_ void **state) {
        static const size_t reserved[] = { 0x4c, 0x4f, 0x18b, 0x19f, 0x1eb, 0x1ef, 0x208, 0x29f, 0x2a0 + 48,
                0x2a0 + 71, 0x2a0 + 72 + 48, 0x2a0 + 144, 0x49f };

        for (size_t i = 0; i < ELEMENTSOF(reserved); i++)
                WITH_WORLD(w, &shared_milan) {
                        trust_ark(&w, &w.ark);
                        encode_and_sign(&w);
                        w.raw[reserved[i]] = 1;
                        if (reserved[i] < 0x2a0)
                                fake_report_sign(&w.amd, w.raw);
                        verify_again(&w);
                        expect(&w, VERDICT_NOT_AUTHENTIC, SNP_STEP_LAYOUT, "offset 0x");
                }
        WITH_WORLD(w, &shared_milan) {
                encode_and_sign(&w);
                w.raw_size = SNP_REPORT_SIZE + 1;
                verify_again(&w);
                expect(&w, VERDICT_NOT_AUTHENTIC, SNP_STEP_LAYOUT, "1184 bytes, but the input has 1185");
                w.raw_size = SNP_REPORT_SIZE - 1;
                verify_again(&w);
                expect(&w, VERDICT_NOT_AUTHENTIC, SNP_STEP_LAYOUT, "1184 bytes, but the input has 1183");
        }
}

static void key_information(_unused_ void **state) {
        static const struct {
                unsigned key;
                bool mask;
                const char *sentence;
        } cases[] = {
                { SNP_SIGNING_KEY_NONE, false, "is not signed" },
                { 3, false, "signing key 3" },
                { SNP_SIGNING_KEY_VCEK, true, "MASK_CHIP_KEY" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                WITH_WORLD(w, &shared_milan) {
                        w.report.signing_key = cases[i].key;
                        w.report.mask_chip_key = cases[i].mask;
                        verify(&w);
                        expect(&w, VERDICT_NOT_AUTHENTIC, SNP_STEP_KEY, cases[i].sentence);
                }
        WITH_WORLD(w, &shared_milan) {
                w.report.signature_algorithm = 2;
                verify(&w);
                expect(&w, VERDICT_NOT_AUTHENTIC, SNP_STEP_KEY, "algorithm 2");
        }
}

static void versions_and_generations(_unused_ void **state) {
        WITH_WORLD(w, &shared_milan) {
                w.report.version = 2;
                verify(&w);
                assert_true(w.result.authentic);
                assert_int_equal(w.result.generation, SNP_MILAN);
                w.stated = SNP_GENOA;
                verify_again(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_COLLATERAL, "no VCEK");
        }
        WITH_WORLD(w, &shared_turin) {
                w.report.version = 2;
                verify(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_GENERATION,
                                "pass --generation (snpguest: -p turin)");
                w.stated = SNP_TURIN;
                verify_again(&w);
                assert_true(w.result.authentic);
        }
        WITH_WORLD(w, &shared_milan) {
                w.report.version = 6;
                verify(&w);
                assert_true(w.result.authentic); /* the policy says what to think of it */
        }
        WITH_WORLD(w, &shared_milan) {
                w.report.version = 1;
                verify(&w);
                expect(&w, VERDICT_NOT_AUTHENTIC, SNP_STEP_LAYOUT, "version 1");
        }
        WITH_WORLD(w, &shared_milan) {
                w.report.cpuid_model = 0x70;
                verify(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_GENERATION,
                                "no known processor generation");
        }
        WITH_WORLD(w, &shared_milan) {
                w.report.cpuid_model = 0x11; /* says Genoa, signed by a Milan chip */
                verify(&w);
                expect(&w, VERDICT_COLLATERAL_UNAVAILABLE, SNP_STEP_COLLATERAL, "no VCEK");
        }
}

static void short_signatures_verify(_unused_ void **state) {
        WITH_WORLD(w, &shared_milan) {
                bool is_short;

                verify(&w);
                fake_report_sign_short(&w.amd, w.raw, &is_short);
                assert_true(is_short);
                verify_again(&w);
                assert_true(w.result.authentic);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(genuine_chains_are_authentic),
                cmocka_unit_test(made_up_root_is_not_amds),
                cmocka_unit_test(forged_root_with_amds_names),
                cmocka_unit_test(root_with_the_right_key_but_another_signature),
                cmocka_unit_test(swapped_intermediates),
                cmocka_unit_test(forged_certificates_in_the_pool_do_no_harm),
                cmocka_unit_test(missing_certificates_are_not_a_verdict),
                cmocka_unit_test(wrong_chip_with_equal_key),
                cmocka_unit_test(each_tcb_part_counts),
                cmocka_unit_test(extensions_must_be_complete_and_single),
                cmocka_unit_test(hardware_id_may_be_wrapped),
                cmocka_unit_test(validity_and_salt),
                cmocka_unit_test(revocation),
                cmocka_unit_test(outdated_lists_revoke),
                cmocka_unit_test(every_signed_bit_counts),
                cmocka_unit_test(reserved_bytes_and_lengths),
                cmocka_unit_test(key_information),
                cmocka_unit_test(versions_and_generations),
                cmocka_unit_test(short_signatures_verify),
        };

        return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
