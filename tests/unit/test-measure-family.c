/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a family extrapolates is what measuring gives: for 1 to 512 vCPUs and every CPU model, with and without kernel hashes. */

#include <errno.h>
#include <unistd.h>

#include "test.h"

#include "coco.h"
#include "encode.h"
#include "fd.h"
#include "measure-family.h"
#include "ovmf-image.h"
#include "sev-cpu.h"
#include "strutil.h"

#define MANY 512u

static const uint8_t kernel_bytes[] = "a kernel that no machine boots";

typedef struct World {
        MeasureRequest request;
        MeasureContext context;
        int fd;
} World;

static void world_open(World *w, CocoMode mode, VmmProfile profile, bool kernel) {
        uint8_t image[IMAGE_SIZE];

        *w = (World) { .fd = memfd_new("image") };
        image_build(&image_amdsev, image);
        assert_true(w->fd >= 0);
        assert_int_equal(write(w->fd, image, sizeof(image)), sizeof(image));
        assert_int_equal(write(w->fd, kernel_bytes, sizeof(kernel_bytes)), sizeof(kernel_bytes));
        w->request = (MeasureRequest) {
                .mode = measure_mode_of_coco(mode), .profile = profile, .features = 1
        };
        w->request.plan.mode = mode;
        w->request.plan.sev.kernel_hashes = kernel;
        w->request.vcpus = calloc(1, sizeof(unsigned));
        w->request.cpus = calloc(1, sizeof(MeasureCpu));
        w->request.n_vcpus = w->request.n_cpus = w->request.vcpus[0] = 1;
        assert_int_equal(plan_input_add(&w->request.plan.firmware, "firmware", w->fd, 0, IMAGE_SIZE), 0);
        if (kernel)
                assert_int_equal(plan_input_add(&w->request.plan.kernel, "kernel", w->fd, IMAGE_SIZE,
                                                 sizeof(kernel_bytes)),
                                0);
        assert_int_equal(measure_context_load(&w->request, 0, &w->context, NULL), 0);
}

static void world_close(World *w) {
        measure_context_done(&w->context);
        measure_request_done(&w->request);
        (void) fd_close(w->fd);
}

static void compare(const World *w, const LaunchFamily *f, unsigned vcpus, uint32_t signature) {
        MeasureCpu cpu = { .signature = signature };
        LaunchDigest full, member;
        LaunchSpec spec;

        measure_context_spec(&w->context, vcpus, &cpu, &spec);
        assert_int_equal(measure_context_digest(&w->context, &spec, NULL, NULL, &full, NULL), 0);
        assert_int_equal(launch_family_digest(f, vcpus, signature, &member), 0);
        assert_int_equal(member.size, full.size);
        assert_int_equal(member.algorithm, full.algorithm);
        assert_memory_equal(member.bytes, full.bytes, full.size);
}

static void family_equals_measuring(_unused_ void **state) {
        static const unsigned counts[] = { 1, 2, 3, 64, MANY };
        static const struct {
                CocoMode mode;
                VmmProfile profile;
                bool kernel;
        } rows[] = {
                { COCO_SEV_SNP, VMM_QEMU, true },
                { COCO_SEV_SNP, VMM_QEMU, false },
                { COCO_SEV_SNP, VMM_EC2, false },
                { COCO_SEV_SNP, VMM_GCE, false },
                { COCO_SEV_ES, VMM_QEMU, true },
                { COCO_SEV_ES, VMM_QEMU, false },
                { COCO_SEV_ES, VMM_QEMU_PRE_6_10, true },
        };

        FOREACH_ARRAY(row, rows, ELEMENTSOF(rows)) {
                LaunchFamily f, again;
                Json *j = NULL;
                size_t n;
                const SevCpu *cpus = sev_cpu_table(&n);
                World w;

                world_open(&w, row->mode, row->profile, row->kernel);
                assert_int_equal(measure_family(&w.context, &f, NULL), 0);
                /* Through JSON, as a relying party gets it. */
                assert_int_equal(launch_family_to_json(&f, &j), 0);
                assert_int_equal(launch_family_from_json(j, &again, NULL), 0);
                (void) js_unref(j);
                for (unsigned vcpus = 1; vcpus <= MANY; vcpus++)
                        compare(&w, &again, vcpus,
                                        cpus[vcpus % n].name ? sev_cpu_signature(cpus[vcpus % n].family,
                                                                               cpus[vcpus % n].model,
                                                                               cpus[vcpus % n].stepping)
                                                             : 0);
                FOREACH_ARRAY(cpu, cpus, n)
                        FOREACH_ARRAY(vcpus, counts, ELEMENTSOF(counts))
                                compare(&w, &again, *vcpus,
                                                sev_cpu_signature(cpu->family, cpu->model, cpu->stepping));
                world_close(&w);
        }
}

static void members_are_found(_unused_ void **state) {
        static const CocoMode modes[] = { COCO_SEV_SNP, COCO_SEV_ES };

        FOREACH_ARRAY(mode, modes, ELEMENTSOF(modes)) {
                uint32_t signature = sev_cpu_signature(25, 1, 1); /* EPYC-Milan */
                FamilyMember m;
                LaunchDigest d;
                LaunchFamily f;
                World w;

                world_open(&w, *mode, VMM_QEMU, true);
                assert_int_equal(measure_family(&w.context, &f, NULL), 0);
                assert_int_equal(launch_family_digest(&f, 37, signature, &d), 0);
                assert_int_equal(launch_family_find(&f, d.bytes, 64, 0, &m), 1);
                assert_int_equal(m.vcpus, 37);
                assert_int_equal(m.signature, signature);
                assert_int_equal(launch_family_find(&f, d.bytes, 36, 0, &m), 0);
                assert_int_equal(launch_family_find(&f, d.bytes, 64, signature, &m), 1);
                assert_int_equal(m.vcpus, 37);
                assert_int_equal(launch_family_find(&f, d.bytes, 64, sev_cpu_signature(25, 17, 0), &m), 1);
                assert_int_equal(m.signature, signature);
                d.bytes[0] ^= 1;
                assert_int_equal(launch_family_find(&f, d.bytes, 64, 0, &m), 0);
                assert_int_equal(launch_family_digest(&f, 0, signature, &d), -ERANGE);
                assert_int_equal(launch_family_digest(&f, FAMILY_VCPUS_MAX + 1, signature, &d), -ERANGE);
                world_close(&w);
        }
}

/* FIPS 180-4, and a long text in pieces of all sizes around a block. */
static void state_continues(_unused_ void **state) {
        uint8_t bytes[1000], expected[SHA256_SIZE], digest[SHA256_SIZE];

        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t) (i * 7);
        assert_int_equal(hash_digest(HASH_SHA256, bytes, sizeof(bytes), expected), 0);
        for (size_t piece = 1; piece < 200; piece++) {
                Sha256State s;

                assert_int_equal(sha256_state_init(&s), 0);
                for (size_t at = 0; at < sizeof(bytes); at += piece)
                        assert_int_equal(sha256_state_update(&s, bytes + at, MIN(piece, sizeof(bytes) - at)),
                                        0);
                assert_int_equal(s.size, sizeof(bytes));
                assert_int_equal(sha256_state_digest(&s, digest), 0);
                assert_memory_equal(digest, expected, sizeof(expected));
        }
}

static void bad_families_are_refused(_unused_ void **state) {
        static const char *const bad[] = {
                "{}",
                "[]",
                "{\"technology\":\"sev\",\"vmsa\":\"qemu\",\"reset-address\":1,\"features\":1}",
                "{\"technology\":\"sev-snp\",\"vmsa\":\"qemu\",\"reset-address\":1,\"features\":1}",
                "{\"technology\":\"sev-snp\",\"vmsa\":\"nobody\",\"reset-address\":1,\"features\":1,\"seed\":\"\"}",
                "{\"technology\":\"sev-snp\",\"vmsa\":\"qemu\",\"reset-address\":1,\"features\":1,\"seed\":\"00\"}",
                ("{\"technology\":\"sev-es\",\"vmsa\":\"qemu\",\"reset-address\":1,\"features\":0,\"state\":"
                 "\"0000000000000000000000000000000000000000000000000000000000000000\",\"size\":65,\"tail\":\"\"}"),
        };

        FOREACH_ARRAY(text, bad, ELEMENTSOF(bad)) {
                _cleanup_free_ char *error = NULL;
                _cleanup_js_ Json *j = NULL;
                LaunchFamily f;

                assert_int_equal(js_parse(*text, strlen(*text), &j, NULL), 0);
                assert_true(launch_family_from_json(j, &f, &error) < 0);
                assert_non_null(error);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(family_equals_measuring),
                cmocka_unit_test(members_are_found),
                cmocka_unit_test(state_continues),
                cmocka_unit_test(bad_families_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
