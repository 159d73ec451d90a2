/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#include "fd.h"
#include "firmware-descriptor.h"
#include "strutil.h"

#define TARGETS "\"targets\":[{\"architecture\":\"x86_64\",\"machines\":[\"pc-q35-*\"]}],\"tags\":[]"

static const char amdsev[] = "{\"description\":\"AmdSev\",\"interface-types\":[\"uefi\"],"
                             "\"mapping\":{\"device\":\"memory\",\"filename\":\"/fw/OVMF.amdsev.fd\"},"
                             "\"features\":[\"amd-sev\",\"amd-sev-es\",\"amd-sev-snp\"]," TARGETS "}";
static const char secure[] = "{\"description\":\"Secure\",\"interface-types\":[\"uefi\"],\"mapping\":{"
                             "\"device\":\"flash\","
                             "\"executable\":{\"filename\":\"/fw/CODE.ms.fd\",\"format\":\"raw\"},"
                             "\"nvram-template\":{\"filename\":\"/fw/VARS.ms.fd\",\"format\":\"raw\"}},"
                             "\"features\":[\"secure-boot\",\"enrolled-keys\"]," TARGETS "}";
static const char plain[] = "{\"description\":\"Plain\",\"interface-types\":[\"uefi\"],\"mapping\":{"
                            "\"device\":\"flash\",\"mode\":"
                            "\"split\",\"executable\":{\"filename\":\"/fw/CODE.fd\",\"format\":\"qcow2\"},"
                            "\"nvram-template\":{\"filename\":\"/fw/VARS.fd\",\"format\":\"qcow2\"}},"
                            "\"features\":[\"acpi-s3\"]," TARGETS ",\"new-member\":1}";
static const char stateless[] =
                "{\"description\":\"Stateless\",\"interface-types\":[\"uefi\"],\"mapping\":{\"device\":"
                "\"flash\",\"mode\":"
                "\"stateless\",\"executable\":{\"filename\":\"/fw/S.fd\",\"format\":\"raw\"}},"
                "\"features\":[\"amd-sev-es\"]," TARGETS "}";

static char *root;

static void put(const char *directory, const char *name, const char *text) {
        char *path = NULL;
        int fd;

        assert_true(asprintf(&path, "%s/%s", root, directory) > 0);
        assert_true(mkdir(path, 0700) >= 0 || errno == EEXIST);
        free(path);
        assert_true(asprintf(&path, "%s/%s/%s", root, directory, name) > 0);
        fd = fd_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_true(fd >= 0);
        assert_ok(fd_write_all(fd, text, strlen(text)));
        (void) close(fd);
        free(path);
}

static char **directories(const char *a, const char *b) {
        char **l = NULL;

        assert_ok(strv_pushf(&l, "%s/%s", root, a));
        if (b)
                assert_ok(strv_pushf(&l, "%s/%s", root, b));
        return l;
}

static int setup(_unused_ void **state) {
        root = strdup("/tmp/test-firmware-XXXXXX");
        assert_non_null(mkdtemp(root));
        put("etc", "30-plain.json", "");            /* masks */
        put("etc", "50-broken.json", "{ nonsense"); /* stays in the list with its problem */
        put("etc", "README", "no descriptor");
        put("usr", "30-plain.json", plain);
        put("usr", "40-secure.json", secure);
        put("usr", "50-broken.json", amdsev); /* hidden by the broken one */
        put("usr", "60-amdsev.json", amdsev);
        put("usr", "35-plain.json", plain);
        put("usr", "70-stateless.json", stateless);
        return 0;
}

static int teardown(_unused_ void **state) {
        char *command = NULL;
        int r;

        assert_true(asprintf(&command, "rm -r '%s'", root) > 0);
        r = system(command);
        free(command);
        free(root);
        return r;
}

static void lists_are_ordered_and_masked(_unused_ void **state) {
        static const char *const expected[] = { "35-plain.json", "40-secure.json", "50-broken.json",
                "60-amdsev.json", "70-stateless.json" };
        char **dirs = directories("etc", "usr"), *error = NULL;
        FirmwareList l;

        assert_ok(firmware_list_load(dirs, &l, &error));
        assert_int_equal(l.n_items, ELEMENTSOF(expected));
        for (size_t i = 0; i < l.n_items; i++)
                assert_true(endswith(l.items[i].path, expected[i]));
        assert_non_null(strstr(l.items[2].problem, "50-broken.json"));
        assert_null(l.items[3].problem);
        assert_int_equal(l.items[3].mapping, FIRMWARE_MEMORY);
        assert_string_equal(l.items[3].executable, "/fw/OVMF.amdsev.fd");
        assert_string_equal(l.items[3].executable_format, "raw");
        assert_null(l.items[3].nvram_template);
        assert_int_equal(l.items[0].mapping, FIRMWARE_FLASH);
        assert_string_equal(l.items[0].nvram_format, "qcow2");
        assert_string_equal(l.items[1].mode, "split");
        firmware_list_done(&l);
        strv_free(dirs);
}

static void the_first_match_is_chosen(_unused_ void **state) {
        static char *const snp[] = { (char *) "amd-sev-snp", NULL },
                           *const es[] = { (char *) "amd-sev-es", NULL },
                           *const enrolled[] = { (char *) "enrolled-keys", NULL },
                           *const secure_boot[] = { (char *) "secure-boot", (char *) "enrolled-keys", NULL },
                           *const tdx[] = { (char *) "intel-tdx", NULL };
        const struct {
                FirmwareQuery query;
                const char *file;
        } cases[] = {
                { { "x86_64", "q35", true, false, true, snp, enrolled }, "60-amdsev.json" },
                { { "x86_64", "q35", true, false, true, es, enrolled }, "60-amdsev.json" },
                { { "x86_64", "q35", false, true, false, NULL, enrolled }, "35-plain.json" },
                { { "x86_64", "q35", false, true, true, NULL, NULL }, "40-secure.json" },
                { { "x86_64", "q35", false, true, false, secure_boot, enrolled }, "40-secure.json" },
                { { "x86_64", "q35", false, true, true, NULL, enrolled }, NULL },
                { { "x86_64", "microvm", false, false, false, NULL, NULL }, NULL },
                { { "aarch64", "q35", false, false, false, NULL, NULL }, NULL },
                { { "x86_64", "q35", true, false, true, tdx, NULL }, NULL },
        };
        char **dirs = directories("etc", "usr"), *error = NULL;
        FirmwareList l;

        assert_ok(firmware_list_load(dirs, &l, &error));
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const FirmwareDescriptor *d = NULL;
                int r = firmware_choose(&l, &cases[i].query, &d, &error);

                if (cases[i].file) {
                        assert_ok(r);
                        assert_true(endswith(d->path, cases[i].file));
                } else {
                        assert_error(r, ENOENT);
                        assert_non_null(strstr(error, "none of 5 firmware descriptors fits"));
                        free(TAKE_PTR(error));
                }
        }
        assert_error(firmware_descriptor_match(&l.items[0], &cases[0].query, &error), EOPNOTSUPP);
        assert_string_equal(error, "keeps variables (split or combined flash)");
        free(error);
        firmware_list_done(&l);
        strv_free(dirs);
}

static void bad_descriptors_are_named(_unused_ void **state) {
        static const struct {
                const char *text, *part;
        } cases[] = {
                { "[]", "expected a JSON object" },
                { "{}", "is missing" },
                { "{\"description\":1}", "member 'description'" },
                { "{\"description\":\"\",\"interface-types\":[\"uefi\"],\"features\":[],\"mapping\":{"
                  "\"device\":\"kernel\"}," TARGETS "}",
                                "neither 'flash' nor 'memory'" },
                { "{\"description\":\"\",\"interface-types\":[\"uefi\"],\"features\":[],\"mapping\":{"
                  "\"device\":\"flash\"}," TARGETS "}",
                                "member 'executable' is missing" },
                { "{\"description\":\"\",\"interface-types\":[\"uefi\"],\"features\":[],\"mapping\":{"
                  "\"device\":\"memory\"}," TARGETS "}",
                                "member 'filename' is missing" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                FirmwareDescriptor d;
                char *error = NULL, *path = NULL;

                put("bad", "x.json", cases[i].text);
                assert_true(asprintf(&path, "%s/bad/x.json", root) > 0);
                assert_true(firmware_descriptor_load(path, &d, &error) < 0);
                assert_non_null(strstr(error, cases[i].part));
                free(error);
                free(path);
        }
}

static char *lookup_xdg(const char *name) {
        if (streq(name, "XDG_CONFIG_HOME"))
                return (char *) "/c";
        if (streq(name, "XDG_DATA_HOME"))
                return (char *) "relative";
        if (streq(name, "XDG_DATA_DIRS"))
                return (char *) "/x:/y:/x:";
        return NULL;
}

static char *lookup_home(const char *name) {
        return streq(name, "HOME") ? (char *) "/home/u" : NULL;
}

static void directories_follow_xdg(_unused_ void **state) {
        char **l = NULL, *text;

        assert_ok(firmware_directories(lookup_xdg, &l));
        text = strv_join(l, " ");
        assert_string_equal(text,
                        "/c/qemu/firmware /etc/qemu/firmware /x/qemu/firmware /y/qemu/firmware "
                        "/usr/share/qemu/firmware");
        free(text);
        l = strv_free(l);
        assert_ok(firmware_directories(lookup_home, &l));
        text = strv_join(l, " ");
        assert_string_equal(text,
                        "/home/u/.config/qemu/firmware /etc/qemu/firmware "
                        "/home/u/.local/share/qemu/firmware "
                        "/usr/local/share/qemu/firmware /usr/share/qemu/firmware");
        free(text);
        strv_free(l);
}

static char *lookup_cache(const char *name) {
        return streq(name, "CVMSPAWN_CACHE") ? root : NULL;
}

/* Where tools/fetch-artifacts puts it. */
static void a_fetched_image_is_found(_unused_ void **state) {
        _cleanup_free_ char *folder = NULL, *image = NULL, *found = NULL;
        int fd;

        assert_true(asprintf(&folder, "%s/firmware", root) > 0);
        assert_true(asprintf(&image, "%s/OVMF.amdsev.fd", folder) > 0);
        assert_int_equal(mkdir(folder, 0700), 0);
        fd = open(image, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        (void) close(fd);
        assert_ok(firmware_fetched(lookup_cache, &found));
        assert_string_equal(found, image);
        assert_int_equal(unlink(image), 0);
        assert_int_equal(rmdir(folder), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lists_are_ordered_and_masked),
                cmocka_unit_test(the_first_match_is_chosen),
                cmocka_unit_test(bad_descriptors_are_named),
                cmocka_unit_test(directories_follow_xdg),
                cmocka_unit_test(a_fetched_image_is_found),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
