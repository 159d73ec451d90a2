/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Digests of the image that tests/lib/ovmf-image.h builds. The answers come from tests/golden/measure/generate.py, an independent
 * implementation, fed with the same image. */

#include "test.h"

#include "encode.h"
#include "fd.h"
#include "measure-launch.h"
#include "ovmf-image.h"
#include "sev-cpu.h"
#include "strutil.h"

static void assert_hex(const uint8_t *p, size_t n, const char *expected) {
        char *hex = hex_encode(p, n);

        assert_string_equal(hex, expected);
        free(hex);
}

static void vmsa_pages(_unused_ void **state) {
        static const struct {
                VmmProfile profile;
                const char *boot, *application;
        } rows[] = {
                { VMM_QEMU,
                                "77920c4c629ff47e90c0e174fc1ad0eb6fa664f88cd4739488058a8c6cb1a77b"
                                "3856f55378e9518d0da99452d51c553a",
                                "8413b852790765a310d95867a8b00bfca3a802b5a80830044b45e253fe962226"
                                "57e11e53fcf63eb0e0afd722385bf7b4" },
                { VMM_QEMU_PRE_6_10,
                                "14a5fd3372321f8c3822d23dfa09d335f6ca174c1154758613d2c1b341d4b590"
                                "999ec68e8d866422557b29dd8d19a3f8",
                                "379ebbdd0d5a51d33a915dd51d089b88fd6830ebc1433b768ca9ad9acf4c89d7"
                                "36188440fee50b4abdf83f5312acb2ea" },
                { VMM_EC2,
                                "d08442e8bcdb6a5dcd7f22e4f7fd6979beffb9f0bb54a9d1977407fe84f482ab"
                                "f23c1baae6ce95a6a9e7a94c3c51f412",
                                "acff2d22db95b8eb82272d844aa2ad1f8f84218ccbab003697acade12228a6e9"
                                "01256e160d41713c22fed92e0a1ed0e1" },
                { VMM_EC2_2023,
                                "1ce642f84290ae8cabc97e93c602d756bbbad7c1a3b7973180b02a4aec331fde"
                                "a29155cacc988601047a7457eea1025b",
                                "30d909894e8fbfef2d23d09922bc3afa9679bd1e07ca1d6a2aebb6161c493573"
                                "8437b67ef9e1453217d7ccd2b54b5c36" },
                { VMM_GCE,
                                "f9e03177dad7f4819ee193af7cfb70507d8a923ab513412e908bc73460a9dfda"
                                "a54215d58952816118ffb2ec281e7fd2",
                                "5302d262c88780a7a13159a327fa99cf188cab234c680e1f3b6729171380a431"
                                "2511813a354cab136d69c778050c245a" },
                { VMM_KRUN,
                                "1ce642f84290ae8cabc97e93c602d756bbbad7c1a3b7973180b02a4aec331fde"
                                "a29155cacc988601047a7457eea1025b",
                                "1d400854a0902b7d14c8c1ca3569f47c985834fc979900068fa392c053619910"
                                "524f865257d943269c3da02a5a687bca" },
                { VMM_SVSM,
                                "591fa80ced4228dacbd86307ef8f87437b828db22483246e8c88f39ffbd5c9a0"
                                "310fd18978073eb3837971e327220a8b",
                                "591fa80ced4228dacbd86307ef8f87437b828db22483246e8c88f39ffbd5c9a0"
                                "310fd18978073eb3837971e327220a8b" },
                { VMM_SVSM_PRE_6_10,
                                "e09dfdf027f7c93d0b3b03400f00d3584c6b55a0906c55ec1d7173b397a1bc25"
                                "fe1ce1101b73d47ecac210d2ccac3197",
                                "e09dfdf027f7c93d0b3b03400f00d3584c6b55a0906c55ec1d7173b397a1bc25"
                                "fe1ce1101b73d47ecac210d2ccac3197" },
        };
        static_assert(ELEMENTSOF(rows) == _VMM_PROFILE_MAX, "every profile is tested");

        FOREACH_ARRAY(row, rows, ELEMENTSOF(rows)) {
                VmsaSpec spec = { row->profile, false, 0x80b004, 0x800f12, 1 };
                VmsaDigests d;

                assert_ok(vmsa_digests(&spec, &d));
                assert_hex(d.boot, sizeof(d.boot), row->boot);
                assert_hex(d.application, sizeof(d.application), row->application);
        }
}

static void vmsa_fields_read_back(_unused_ void **state) {
        uint8_t page[SEV_PAGE_SIZE];
        const VmsaField *fields;
        unsigned seen = 0;
        size_t n;

        vmsa_build(&(VmsaSpec) { VMM_QEMU, true, 0x12345678, 0xa00f11, 0x21 }, page);
        fields = vmsa_fields(&n);
        FOREACH_ARRAY(f, fields, n) {
                static const struct {
                        const char *name;
                        uint64_t value;
                } known[] = { { "rip", 0x5678 }, { "cs.base", 0x12340000 }, { "rdx", 0xa00f11 },
                        { "sev_features", 0x21 }, { "mxcsr", 0x1f80 }, { "x87_fcw", 0x37f }, { "cpl", 0 } };

                FOREACH_ARRAY(k, known, ELEMENTSOF(known))
                        if (streq(k->name, f->name)) {
                                assert_int_equal(vmsa_field_value(f, page), k->value);
                                seen++;
                        }
        }
        assert_int_equal(seen, 7);
}

static void cpu_signatures(_unused_ void **state) {
        static const struct {
                const char *name;
                uint32_t signature;
        } rows[] = { { "EPYC-v4", 0x800f12 }, { "epyc-rome", 0x830f10 }, { "EPYC-Milan", 0xa00f11 },
                { "EPYC-Genoa-v2", 0xa10f10 }, { "EPYC-Turin", 0xb00f00 }, { "Dhyana", 0x900f01 },
                { "Opteron_G3", 0x100f23 }, { "qemu64", 0x60fb1 } };
        const SevCpu *cpus;
        char *error = NULL;
        uint32_t signature;
        size_t n;

        FOREACH_ARRAY(row, rows, ELEMENTSOF(rows)) {
                assert_ok(sev_cpu_resolve(row->name, &signature, &error));
                assert_int_equal(signature, row->signature);
        }
        cpus = sev_cpu_table(&n);
        FOREACH_ARRAY(c, cpus, n) {
                unsigned family, model, stepping;

                sev_cpu_from_signature(sev_cpu_signature(c->family, c->model, c->stepping), &family, &model,
                                &stepping);
                assert_int_equal(family, c->family);
                assert_int_equal(model, c->model);
                assert_int_equal(stepping, c->stepping);
        }
        assert_true(sev_cpu_resolve("i486", &signature, &error) < 0);
        assert_non_null(strstr(error, "unknown CPU model 'i486'"));
        free(error);
}

static int put(PlanInput *in, const void *p, size_t n) {
        int fd = memfd_new_sealed("test", p, n);

        assert_true(fd >= 0);
        assert_ok(plan_input_add(in, "test", fd, 0, n));
        return fd;
}

static void launches(_unused_ void **state) {
        static const struct {
                CocoMode mode;
                VmmProfile profile;
                unsigned vcpus;
                bool kernel;
                const char *digest;
        } rows[] = {
                { COCO_SEV_SNP, VMM_QEMU, 3, true,
                                "374e08b8daecb22d94c6b71fbb5ae6990eedb63994837b3e46e72ab3f2365f55"
                                "e2e8099e2ae52e440b10284fd9c43146" },
                { COCO_SEV_SNP, VMM_QEMU, 1, false,
                                "0b0765a3d293f59efeed3de58b12430d1b4e4d96ebf201624a4ed9aae04eb80f"
                                "244278645f22e7d05ab3e85507bc243e" },
                { COCO_SEV_ES, VMM_QEMU, 3, true,
                                "13570e13dd56ffb58160d9c6d2e2c10fbfd80e328fa41c54fbb9f8e86137776f" },
                { COCO_SEV, VMM_QEMU, 0, true,
                                "ba6f14f8b240353342802f3a4115fa7c61e44494e0cedf913fc85b339a1f03ef" },
                { COCO_SEV_SNP, VMM_GCE, 2, true,
                                "a475ab709c6fd0d86ded5dd0bffaacfd75df88673883356d859587b3388ad1f9"
                                "8a53eb80a6e7883e232b7161cecaebf3" },
                { COCO_SEV_SNP, VMM_EC2, 2, false,
                                "0eb8e56d8fcd40d30cb0ad4089d8c4fff729b539b16916425b6a4264c4f472bf"
                                "b62ed59a753241a5fa097ee998e08976" },
        };
        _cleanup_(firmware_image_done) FirmwareImage firmware = {};
        _cleanup_(launch_plan_done) LaunchPlan plan = {};
        _cleanup_(plan_digests_done) PlanDigests digests = {};
        uint8_t image[IMAGE_SIZE];
        int fds[4];

        image_build(&image_amdsev, image);
        fds[0] = put(&plan.firmware, image, sizeof(image));
        fds[1] = put(&plan.kernel, "a kernel", 8);
        fds[2] = put(&plan.initrd, "an initrd", 9);
        fds[3] = put(&plan.cmdline, "quiet", 5);
        assert_ok(firmware_image_load(&plan.firmware, FIRMWARE_SHA256 | FIRMWARE_SNP, &firmware, NULL));
        assert_ok(plan_digests(&plan, NULL, NULL, &digests, NULL));
        FOREACH_ARRAY(row, rows, ELEMENTSOF(rows)) {
                LaunchSpec spec = { .mode = row->mode,
                        .profile = row->profile,
                        .vcpus = row->vcpus,
                        .signature = 0x800f12,
                        .features = coco_of(row->mode)->guest_features,
                        .kernel_hashes = row->kernel };
                LaunchDigest d;

                plan_digests_hashes(&digests, &spec.hashes);
                assert_ok(launch_digest(&firmware, &spec, NULL, NULL, &d, NULL));
                assert_hex(d.bytes, d.size, row->digest);
        }
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                (void) fd_close(fds[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(vmsa_pages),
                cmocka_unit_test(vmsa_fields_read_back),
                cmocka_unit_test(cpu_signatures),
                cmocka_unit_test(launches),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
