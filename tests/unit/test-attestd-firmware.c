/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Firmware that owners upload, and the launch digests that registrations mean by it. The arithmetic has its own tests: here is shown
 * that all of what was allowed, and nothing else, is computed and accepted. */

#include "attestd-world.h"

#include "measure-launch.h"
#include "ovmf-image.h"
#include "sev-cpu.h"

#define KERNEL "2222222222222222222222222222222222222222222222222222222222222222"
#define INITRD "3333333333333333333333333333333333333333333333333333333333333333"
#define WORDS  "4444444444444444444444444444444444444444444444444444444444444444"

static unsigned upload(World *w, const char *owner, const void *p, size_t n) {
        Request q = {
                .method = "POST", .path = "/firmware", .authorization = owner, .body = p, .body_size = n
        };

        return answer(w, &q);
}

/* An image; its hash is left in `ret`. */
static void upload_image(World *w, const ImageSpec *spec, char ret[static 65]) {
        uint8_t image[IMAGE_SIZE];

        image_build(spec, image);
        assert_in_range(upload(w, OWNER, image, sizeof(image)), 200, 201);
        (void) snprintf(ret, 65, "%s", text(w, "sha256"));
}

static unsigned register_firmware(
                World *w, const char *scheme, unsigned policy, const char *firmware, const char *more) {
        _cleanup_free_ char *body = NULL;

        assert_true(asprintf(&body,
                                    "{\"scheme\":\"%s\",\"policy\":%u,\"cloud-cert\":\"any\",\"max-"
                                    "instances\":1000,"
                                    "\"firmware-hashes\":[\"%s\"]%s,"
                                    "\"secrets\":[{\"type\":\"luks-passphrase\",\"passphrase\":\"sesame\"}]"
                                    "}",
                                    scheme, policy, firmware, more) > 0);
        (void) ask(w, "DELETE", "/vm/a", OWNER, NULL);
        return ask(w, "POST", "/vm/a", OWNER, body);
}

#define KERNEL_HASHES                                                                                       \
        ",\"kernel-hash\":\"" KERNEL "\",\"initrd-hash\":\"" INITRD "\",\"cmdline-hash\":\"" WORDS "\""

/* What measure/ says about such a launch. */
static void expect_digest(const ImageSpec *image_spec, LaunchSpec *spec, uint8_t *ret) {
        _cleanup_(firmware_image_done) FirmwareImage f = {};
        _cleanup_(plan_input_done) PlanInput in = {};
        uint8_t image[IMAGE_SIZE];
        LaunchDigest d;
        int fd;

        image_build(image_spec, image);
        fd = memfd_new_sealed("image", image, sizeof(image));
        assert_true(fd >= 0);
        assert_ok(plan_input_add(&in, "image", fd, 0, sizeof(image)));
        assert_ok(firmware_image_load(&in, launch_firmware_work(spec->mode), &f, NULL));
        memset(spec->hashes.kernel, 0x22, 32);
        memset(spec->hashes.initrd, 0x33, 32);
        memset(spec->hashes.cmdline, 0x44, 32);
        assert_ok(launch_digest(&f, spec, NULL, NULL, &d, NULL));
        memcpy(ret, d.bytes, d.size);
        (void) fd_close(fd);
}

static void assert_accepted(World *w, const uint8_t digest[static 32], uint32_t policy, bool accepted) {
        Measured m;

        assert_int_equal(launch(w), 200);
        m = measured_digest(w, digest, policy);
        assert_int_equal(validate(w, &m, true), accepted ? 200 : 403);
}

static size_t n_computed(World *w) {
        assert_int_equal(ask(w, "GET", "/vm/a", OWNER, NULL), 200);
        assert_null(js_get(js_get(w->reply.body, "registration"), "computed-digests"));
        return js_length(js_get(w->reply.body, "computed-digests"));
}

static void files(void **state) {
        ImageSpec other = image_amdsev;
        World *w = *state;
        char sha[65], path[96];
        bool b;

        assert_int_equal(upload(w, NULL, "x", 1), 401);
        assert_int_equal(upload(w, "Bearer wrong", "x", 1), 401);
        assert_int_equal(upload(w, OWNER, NULL, 0), 400);
        upload_image(w, &image_amdsev, sha);
        assert_int_equal(w->reply.status, 201);
        assert_ok(js_bool_value(js_get(w->reply.body, "kernel-hashes"), &b));
        assert_true(b);
        upload_image(w, &image_amdsev, sha);
        assert_int_equal(w->reply.status, 200);
        other.no_hash_table = true;
        upload_image(w, &other, sha);
        assert_ok(js_bool_value(js_get(w->reply.body, "kernel-hashes"), &b));
        assert_false(b);
        assert_int_equal(ask(w, "GET", "/firmware", OWNER, NULL), 200);
        assert_int_equal(js_length(w->reply.body), 2);
        assert_int_equal(ask(w, "GET", "/firmware", OTHER, NULL), 200);
        assert_int_equal(js_length(w->reply.body), 0);
        (void) snprintf(path, sizeof(path), "/firmware/%s", sha);
        assert_int_equal(ask(w, "DELETE", path, OTHER, NULL), 404);
        assert_int_equal(ask(w, "DELETE", path, OWNER, NULL), 204);
        assert_int_equal(ask(w, "DELETE", path, OWNER, NULL), 404);
        assert_int_equal(ask(w, "DELETE", "/firmware/x", OWNER, NULL), 404);
        for (unsigned i = 1; i < FIRMWARES_MAX; i++)
                assert_int_equal(upload(w, OWNER, &i, sizeof(i)), 201);
        assert_int_equal(upload(w, OWNER, "more", 4), 409);
        assert_int_equal(upload(w, OTHER, "more", 4), 201);
        /* only owners may send much, and only here */
        assert_int_equal(body_max("POST", "/firmware"), FIRMWARE_BODY_MAX);
        assert_int_equal(service_takes_upload(&w->s, &(Request) { .method = "POST", .path = "/firmware" }),
                        0);
        assert_int_equal(service_takes_upload(&w->s,
                                         &(Request) { .method = "POST",
                                                         .path = "/firmware",
                                                         .authorization = OWNER }),
                        1);
        assert_int_equal(service_takes_upload(&w->s,
                                         &(Request) { .method = "POST",
                                                         .path = "/vm/a",
                                                         .authorization = OWNER }),
                        0);
}

static void plain_sev(void **state) {
        LaunchSpec spec = { .mode = COCO_SEV };
        World *w = *state;
        uint8_t digest[32];
        char sha[65];

        /* the hash of firmware alone is the digest: no file is needed */
        assert_int_equal(register_firmware(w, "amd-sev", 3, DIGEST, ""), 201);
        memset(digest, 0x11, sizeof(digest));
        assert_accepted(w, digest, 3, true);
        assert_int_equal(n_computed(w), 0);
        /* with kernel hashes it is not, and the firmware without them is not accepted */
        assert_int_equal(register_firmware(w, "amd-sev", 3, DIGEST, KERNEL_HASHES), 422);
        assert_non_null(strstr(text(w, "detail"), "upload"));
        upload_image(w, &image_amdsev, sha);
        assert_int_equal(register_firmware(w, "amd-sev", 3, sha, KERNEL_HASHES ",\"cpu-count\":3"), 201);
        assert_int_equal(n_computed(w), 1);
        expect_digest(&image_amdsev, &spec, digest);
        assert_accepted(w, digest, 3, false);
        spec.kernel_hashes = true;
        expect_digest(&image_amdsev, &spec, digest);
        assert_accepted(w, digest, 3, true);
        digest[0] ^= 1;
        assert_accepted(w, digest, 3, false);
}

static void sev_es(void **state) {
        static const char *const types[] = { "", ",\"vm-type\":\"any\"", ",\"vm-type\":\"new\"",
                ",\"vm-type\":\"legacy\"" };
        LaunchSpec spec = { .mode = COCO_SEV_ES, .kernel_hashes = true };
        World *w = *state;
        uint8_t digest[32];
        char sha[65];

        upload_image(w, &image_amdsev, sha);
        assert_int_equal(register_firmware(w, "amd-sev-es", 7, sha, KERNEL_HASHES), 422);
        assert_non_null(strstr(text(w, "detail"), "cpu-count"));
        FOREACH_ARRAY(type, types, ELEMENTSOF(types)) {
                _cleanup_free_ char *more = NULL;
                bool new = !strstr(*type, "legacy"), legacy = !strstr(*type, "new");

                assert_true(asprintf(&more, KERNEL_HASHES ",\"cpu-count-max\":5%s", *type) > 0);
                assert_int_equal(register_firmware(w, "amd-sev-es", 7, sha, more), 201);
                assert_int_equal(n_computed(w), 5 * ((size_t) new + legacy));
                for (unsigned i = 1; i <= 6; i++) {
                        spec.vcpus = i;
                        assert_ok(sev_cpu_resolve("EPYC-v4", &spec.signature, NULL));
                        spec.profile = VMM_QEMU;
                        expect_digest(&image_amdsev, &spec, digest);
                        assert_accepted(w, digest, 7, new &&i <= 5);
                        spec.profile = VMM_QEMU_PRE_6_10;
                        expect_digest(&image_amdsev, &spec, digest);
                        assert_accepted(w, digest, 7, legacy && i <= 5);
                }
        }
        /* exactly so many, of the models that are named */
        assert_int_equal(register_firmware(w, "amd-sev-es", 7, sha,
                                         KERNEL_HASHES ",\"cpu-count\":3,\"vm-type\":\"new\",\"cpu-model\":["
                                                       "\"EPYC-Milan\",\"EPYC-Genoa\"]"),
                        201);
        assert_int_equal(n_computed(w), 2);
        spec.profile = VMM_QEMU;
        for (unsigned i = 2; i <= 4; i++) {
                spec.vcpus = i;
                assert_ok(sev_cpu_resolve("EPYC-Milan", &spec.signature, NULL));
                expect_digest(&image_amdsev, &spec, digest);
                assert_accepted(w, digest, 7, i == 3);
                assert_ok(sev_cpu_resolve("EPYC-v4", &spec.signature, NULL));
                expect_digest(&image_amdsev, &spec, digest);
                assert_accepted(w, digest, 7, false);
        }
        /* the file may go: what was computed stays */
        {
                char path[96];

                (void) snprintf(path, sizeof(path), "/firmware/%s", sha);
                assert_int_equal(ask(w, "DELETE", path, OWNER, NULL), 204);
                assert_int_equal(n_computed(w), 2);
        }
}

/* The list of what a registration means, against measure/ for each number of vCPUs. */
static void sev_snp(void **state) {
        static const char *const models[] = { "EPYC-Milan", "EPYC-Genoa" };
        LaunchSpec spec = {
                .mode = COCO_SEV_SNP, .profile = VMM_QEMU, .features = 1, .kernel_hashes = true
        };
        const char report_policy[] = ",\"report-policy\":{\"minimum_tcb\":\"any\"}";
        _cleanup_free_ char *body = NULL;
        ImageSpec other = image_amdsev;
        const Json *list;
        World *w = *state;
        char sha[65];

        upload_image(w, &image_amdsev, sha);
        assert_true(asprintf(&body,
                                    "{\"scheme\":\"amd-sev-snp\",\"policy\":196608,\"firmware-hashes\":[\"%"
                                    "s\"],\"cpu-count-max\":4,"
                                    "\"cpu-model\":[\"EPYC-Milan\",\"EPYC-Genoa\"]" KERNEL_HASHES
                                    "%s,\"secrets\":[{\"type\":\"luks-passphrase\",\"passphrase\":"
                                    "\"sesame\"}]}",
                                    sha, report_policy) > 0);
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, body), 201);
        assert_int_equal(n_computed(w), 8);
        list = js_get(w->reply.body, "computed-digests");
        for (unsigned i = 0; i < 8; i++) {
                _cleanup_free_ char *hex = NULL;
                uint8_t digest[48];

                spec.vcpus = i % 4 + 1;
                assert_ok(sev_cpu_resolve(models[i / 4], &spec.signature, NULL));
                expect_digest(&image_amdsev, &spec, digest);
                hex = hex_encode(digest, sizeof(digest));
                assert_string_equal(js_string_value(js_at(list, i)), hex);
        }
        assert_int_equal(ask(w, "POST", "/vm/a/launch", NULL, "{}"), 200);
        assert_non_null(text(w, "nonce"));

        other.no_metadata = true;
        upload_image(w, &other, sha);
        memcpy(strstr(body, "hashes\":[\"") + strlen("hashes\":[\""), sha, 64);
        assert_int_equal(ask(w, "PUT", "/vm/a", OWNER, body), 422);
        *strstr(body, "cpu-count-max") = 'x';
        assert_int_equal(ask(w, "PUT", "/vm/a", OWNER, body), 422);
        assert_int_equal(n_computed(w), 8);
}

static void what_cannot_be_computed(void **state) {
        ImageSpec spec = image_amdsev;
        World *w = *state;
        char sha[65];

        upload_image(w, &image_amdsev, sha);
        assert_int_equal(
                        register_firmware(w, "amd-sev-es", 7, sha, ",\"cpu-count\":1,\"cpu-model\":\"Z80\""),
                        422);
        assert_non_null(strstr(text(w, "detail"), "Z80"));
        assert_int_equal(
                        register_firmware(w, "amd-sev-es", 7, sha, ",\"cpu-count\":1,\"cpu-model\":7"), 422);
        assert_int_equal(register_firmware(w, "amd-sev-es", 7, sha, ",\"cpu-count-max\":129"),
                        422); /* times two */
        assert_non_null(strstr(text(w, "detail"), "256"));
        assert_int_equal(register_firmware(w, "amd-sev-es", 7, sha, ",\"cpu-count-max\":128"), 201);
        spec.no_hash_table = true;
        upload_image(w, &spec, sha);
        assert_int_equal(register_firmware(w, "amd-sev", 3, sha, KERNEL_HASHES), 422);
        assert_int_equal(register_firmware(w, "amd-sev-es", 7, sha, ",\"cpu-count\":1"), 201);
        spec.no_reset = true;
        upload_image(w, &spec, sha);
        assert_int_equal(register_firmware(w, "amd-sev-es", 7, sha, ",\"cpu-count\":1"), 422);
        assert_int_equal(upload(w, OWNER, "no firmware at all", 18), 201);
        (void) snprintf(sha, sizeof(sha), "%s", text(w, "sha256"));
        assert_int_equal(register_firmware(w, "amd-sev", 3, sha, ""), 201);
        assert_int_equal(register_firmware(w, "amd-sev", 3, sha, KERNEL_HASHES), 422);
        /* a different owner's file does not exist */
        {
                _cleanup_free_ char *body = NULL;

                upload_image(w, &image_amdsev, sha);
                assert_true(asprintf(&body,
                                            "{\"scheme\":\"amd-sev\",\"policy\":3,\"cloud-cert\":\"any\","
                                            "\"firmware-hashes\":[\"%s\"]"
                                            ",\"kernel-hash\":\"" KERNEL
                                            "\",\"secrets\":[{\"type\":\"luks-passphrase\",\"passphrase\":"
                                            "\"x\"}]}",
                                            sha) > 0);
                assert_int_equal(ask(w, "POST", "/vm/b", OTHER, body), 422);
                assert_int_equal(ask(w, "POST", "/vm/b", OWNER, body), 201);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(files, setup, teardown),
                cmocka_unit_test_setup_teardown(plain_sev, setup, teardown),
                cmocka_unit_test_setup_teardown(sev_es, setup, teardown),
                cmocka_unit_test_setup_teardown(sev_snp, setup, teardown),
                cmocka_unit_test_setup_teardown(what_cannot_be_computed, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
