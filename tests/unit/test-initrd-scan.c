/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#include "cpio-library.h"
#include "error.h"
#include "initrd-image.h"
#include "initrd-scan.h"
#include "strutil.h"

#define LIBSYSTEMD "usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-262.1-1.so"

static const struct {
        InitrdCompression compression;
        int filter; /* -1: lz4 legacy */
} compressions[] = {
        { INITRD_COMPRESSION_GZIP, ARCHIVE_FILTER_GZIP },
        { INITRD_COMPRESSION_BZIP2, ARCHIVE_FILTER_BZIP2 },
        { INITRD_COMPRESSION_LZMA, ARCHIVE_FILTER_LZMA },
        { INITRD_COMPRESSION_XZ, ARCHIVE_FILTER_XZ },
        { INITRD_COMPRESSION_ZSTD, ARCHIVE_FILTER_ZSTD },
        { INITRD_COMPRESSION_LZ4, -1 },
};

static void put_part(Image *i, size_t compression, const Image *content) {
        if (compressions[compression].filter < 0)
                image_put_lz4_legacy(i, content->data, content->size);
        else if (compressions[compression].filter == ARCHIVE_FILTER_XZ)
                image_put_xz(i, content->data, content->size);
        else
                assert_true(image_put_compressed(
                                i, compressions[compression].filter, content->data, content->size));
}

static void put_guest(Image *i) {
        uint8_t noise[700];

        for (size_t k = 0; k < sizeof(noise); k++)
                noise[k] = (uint8_t) (k * 2654435761u >> 11);
        image_member(i, "etc", S_IFDIR | 0755, NULL, 0);
        image_member(i, "etc/initrd-release", S_IFLNK | 0777, "../usr/lib/initrd-release", 25);
        image_member(i, "init", S_IFLNK | 0777, "usr/lib/systemd/systemd", 23);
        image_member(i, "usr/bin/sh", S_IFREG | 0755, noise, sizeof(noise));
        image_member(i, LIBSYSTEMD, S_IFREG | 0644, "so", 2);
        image_trailer(i);
}

static int scan(const Image *i, InitrdInfo *ret, char **reterr) {
        _cleanup_close_ int fd = image_to_fd(i);

        return initrd_scan(fd, 0, i->size, ret, reterr);
}

static void scan_ok(const Image *i, InitrdInfo *ret) {
        char *error = NULL;

        if (scan(i, ret, &error) < 0)
                fail_msg("%s", error);
}

static void assert_refused(const Image *i, int code, const char *word) {
        InitrdInfo info = { .n_parts = 17 };
        char *error = NULL;

        assert_error(scan(i, &info, &error), code);
        assert_non_null(error);
        if (!strstr(error, word))
                fail_msg("'%s' is not in: %s", word, error);
        assert_int_equal(info.n_parts, 17);
        free(error);
}

static void test_plain(_unused_ void **state) {
        _cleanup_(initrd_info_done) InitrdInfo info = {};
        _cleanup_image_ Image i = {};

        put_guest(&i);
        scan_ok(&i, &info);
        assert_int_equal(info.n_parts, 1);
        assert_int_equal(info.parts[0].length, i.size);
        assert_int_equal(info.parts[0].content, i.size);
        assert_int_equal(info.parts[0].members, 5);
        assert_true(info.initrd_release && info.has_sh && info.has_init);
        assert_int_equal(info.systemd_version, 262);
}

static void test_empty(_unused_ void **state) {
        _cleanup_(initrd_info_done) InitrdInfo info = {};
        _cleanup_image_ Image i = {};

        scan_ok(&i, &info);
        assert_int_equal(info.n_parts, 0);
        image_zero(&i, 1027);
        scan_ok(&i, &info);
        assert_int_equal(info.n_parts, 0);
        assert_true(!info.initrd_release && !info.has_sh && !info.has_init);
        assert_int_equal(info.systemd_version, 0);
}

/* The launcher's own case: a compressed initrd, padded, then the credentials; then a second compressed one. */
static void test_compressed(_unused_ void **state) {
        _cleanup_image_ Image guest = {}, extra = {};

        put_guest(&guest);
        image_member(&extra, ".extra", S_IFDIR | 0555, NULL, 0);
        image_trailer(&extra);

        for (size_t c = 0; c < ELEMENTSOF(compressions); c++)
                for (size_t pad = 4; pad <= 512; pad += 508) {
                        _cleanup_(initrd_info_done) InitrdInfo info = {};
                        _cleanup_image_ Image i = {};
                        size_t end;

                        put_part(&i, c, &guest);
                        end = i.size;
                        if (compressions[c].compression == INITRD_COMPRESSION_LZ4)
                                image_zero(&i, 4);
                        image_pad(&i, pad);
                        image_put(&i, extra.data, extra.size);
                        put_part(&i, c, &guest);
                        scan_ok(&i, &info);

                        assert_int_equal(info.n_parts, 3);
                        assert_int_equal(info.parts[0].compression, compressions[c].compression);
                        assert_int_equal(info.parts[0].offset, 0);
                        assert_int_equal(info.parts[0].length, end);
                        assert_int_equal(info.parts[0].content, guest.size);
                        assert_int_equal(info.parts[1].compression, INITRD_COMPRESSION_NONE);
                        assert_int_equal(info.parts[1].length, extra.size);
                        assert_int_equal(info.parts[1].members, 1);
                        assert_int_equal(info.parts[2].compression, compressions[c].compression);
                        assert_int_equal(info.parts[2].length, end);
                        assert_true(info.initrd_release && info.has_sh && info.has_init);
                        assert_int_equal(info.systemd_version, 262);
                }
}

/* Kernel modules are xz files inside of the initrd: their ends must not pass for its end. */
static void test_xz_inside_xz(_unused_ void **state) {
        _cleanup_(initrd_info_done) InitrdInfo info = {};
        _cleanup_image_ Image noise = {}, module = {}, content = {}, i = {};

        for (uint32_t k = 0, v = 1; k < 3000; k++, v = v * 1664525u + 1013904223u)
                image_put(&noise, &(uint8_t) { (uint8_t) (v >> 24) }, 1);
        image_put_xz(&module, noise.data, noise.size);
        for (int k = 0; k < 4; k++) {
                char name[] = "module-0.ko.xz";

                name[7] = (char) ('0' + k);
                image_member(&content, name, S_IFREG | 0644, module.data, (uint32_t) module.size);
                /* Every alignment in the compressed file. */
                image_put(&content, "\0\0\0\0", 4);
        }
        image_trailer(&content);
        image_put_xz(&i, content.data, content.size);
        scan_ok(&i, &info);
        assert_int_equal(info.n_parts, 1);
        assert_int_equal(info.parts[0].length, i.size);
        assert_int_equal(info.parts[0].members, 4);
}

static void test_facts(_unused_ void **state) {
        static const struct {
                const char *path;
                bool release, sh, init;
                unsigned version;
        } rows[] = {
                { "./etc/initrd-release", true, false, false, 0 },
                { "/etc/initrd-release", true, false, false, 0 },
                { "usr/etc/initrd-release", false, false, false, 0 },
                { "bin/sh", false, true, false, 0 },
                { "sbin/sh", false, true, false, 0 },
                { "./usr/bin/sh", false, true, false, 0 },
                { "usr/local/bin/sh", false, false, false, 0 },
                { "bin/sh.distrib", false, false, false, 0 },
                { "/init", false, false, true, 0 },
                { "usr/init", false, false, false, 0 },
                { "usr/lib/systemd/libsystemd-shared-259.so", false, false, false, 259 },
                { "usr/lib/systemd/libsystemd-shared-252.39-1~deb12u1.so", false, false, false, 252 },
                { "usr/lib64/systemd/libsystemd-shared-263~rc1.so", false, false, false, 263 },
                { "usr/lib/systemd/libsystemd-shared-.so", false, false, false, 0 },
                { "usr/lib/systemd/libsystemd-shared-262", false, false, false, 0 },
                { "usr/lib/systemd/libsystemd-shared-4294967558.so", false, false, false, 0 },
                { "usr/lib/systemd/libsystemd-core-262.so", false, false, false, 0 },
        };

        for (size_t k = 0; k < ELEMENTSOF(rows); k++) {
                _cleanup_(initrd_info_done) InitrdInfo info = {};
                _cleanup_image_ Image i = {};

                image_member(&i, rows[k].path, S_IFREG | 0644, NULL, 0);
                scan_ok(&i, &info);
                assert_int_equal(info.initrd_release, rows[k].release);
                assert_int_equal(info.has_sh, rows[k].sh);
                assert_int_equal(info.has_init, rows[k].init);
                assert_int_equal(info.systemd_version, rows[k].version);
        }
}

/* With two versions around, the older one has to be able to do it. */
static void test_two_versions(_unused_ void **state) {
        _cleanup_(initrd_info_done) InitrdInfo info = {};
        _cleanup_image_ Image i = {};

        image_member(&i, "a/libsystemd-shared-262.so", S_IFREG, NULL, 0);
        image_member(&i, "a/libsystemd-shared-255.so", S_IFREG, NULL, 0);
        image_member(&i, "a/libsystemd-shared-263.so", S_IFREG, NULL, 0);
        scan_ok(&i, &info);
        assert_int_equal(info.systemd_version, 255);
}

/* All that the kernel would silently ignore. */
static void test_refused(_unused_ void **state) {
        _cleanup_image_ Image guest = {}, extra = {}, odd = {}, frame = {}, lzo = {}, twice = {}, inner = {},
                              once = {}, crc64 = {};

        put_guest(&guest);
        image_member(&extra, ".extra", S_IFDIR | 0555, NULL, 0);

        for (size_t c = 0; c < ELEMENTSOF(compressions); c++)
                for (size_t shift = 1; shift < 4; shift++) {
                        _cleanup_image_ Image i = {};

                        put_part(&i, c, &guest);
                        image_pad(&i, 4);
                        image_zero(&i, shift + (compressions[c].filter < 0 ? 4 : 0));
                        image_put(&i, extra.data, extra.size);
                        assert_refused(&i, EBADMSG, "is not at a multiple of 4");
                }

        image_put_lz4_legacy(&odd, guest.data, guest.size);
        image_pad(&odd, 4);
        image_put(&odd, extra.data, extra.size);
        assert_refused(&odd, EBADMSG, "fewer than 4 zero bytes");

        image_put(&frame, "\x04\x22\x4d\x18xxxx", 8);
        assert_refused(&frame, EBADMSG, "lz4 -l");
        image_put(&lzo, "\x89\x4c\x5a\x4f\0\0\0\0", 8);
        assert_refused(&lzo, EBADMSG, "initrd part at 0 (lzo): the compressed data is damaged");

        assert_true(image_put_compressed(&crc64, ARCHIVE_FILTER_XZ, guest.data, guest.size));
        assert_refused(&crc64, EBADMSG, "xz --check=crc32");

        assert_true(image_put_compressed(&once, ARCHIVE_FILTER_GZIP, guest.data, guest.size));
        assert_true(image_put_compressed(&twice, ARCHIVE_FILTER_GZIP, once.data, once.size));
        assert_refused(&twice, EBADMSG, "compressed twice");

        image_put(&extra, "tail", 4);
        assert_true(image_put_compressed(&inner, ARCHIVE_FILTER_ZSTD, extra.data, extra.size));
        assert_refused(&inner, EBADMSG, "initrd part at 0 (zstd)");
}

/* No beginning of a compressed part passes for the whole (cut at each byte near both ends), and none upsets the scanner (run with ASan and UBSan). */
static void test_truncated(_unused_ void **state) {
        _cleanup_image_ Image guest = {};

        put_guest(&guest);
        for (size_t n = 1; n < guest.size; n++) {
                InitrdInfo info = {};
                Image i = { .data = guest.data, .size = n };
                int r = scan(&i, &info, NULL);

                /* Right behind a member the kernel is content, trailer or not; otherwise padding alone may be missing. */
                assert_true(r == 0 || r == -EBADMSG);
                if (r == 0)
                        assert_true(info.parts[0].members < 5 || n + 127 >= guest.size);
                initrd_info_done(&info);
        }

        for (size_t c = 0; c < ELEMENTSOF(compressions); c++) {
                _cleanup_image_ Image whole = {};

                put_part(&whole, c, &guest);
                for (size_t n = 1; n < whole.size; n += n < 128 || n + 128 > whole.size ? 1 : 3) {
                        Image i = { .data = whole.data, .size = n };
                        InitrdInfo info = {};
                        int r = scan(&i, &info, NULL);

                        if (r != -EBADMSG)
                                fail_msg("%s cut at %zu of %zu bytes: %d",
                                                initrd_compression_to_string(compressions[c].compression), n,
                                                whole.size, r);
                }
        }
}

/* Any answer is right but a crash or an endless loop. */
static void test_flipped(_unused_ void **state) {
        _cleanup_image_ Image guest = {}, plain = {};

        put_guest(&guest);
        image_put(&plain, guest.data, 1024);
        for (size_t c = 0; c <= ELEMENTSOF(compressions); c++) {
                _cleanup_image_ Image i = {};

                if (c < ELEMENTSOF(compressions))
                        put_part(&i, c, &guest);
                else
                        image_put(&i, guest.data, guest.size);
                image_zero(&i, 4);
                image_pad(&i, 4);
                image_trailer(&i);
                /* Each byte of the headers and ends, every fifth in between. */
                for (size_t k = 0; k < i.size; k += k < 128 || k + 192 > i.size ? 1 : 5) {
                        InitrdInfo info = {};
                        uint8_t before = i.data[k];

                        i.data[k] ^= (uint8_t) (1u << k % 8);
                        if (scan(&i, &info, NULL) >= 0)
                                initrd_info_done(&info);
                        i.data[k] = before;
                }
        }
}

static void test_limits(_unused_ void **state) {
        _cleanup_image_ Image parts = {}, members = {}, head = {};
        _cleanup_close_ int fd = memfd_new("sparse");
        InitrdInfo info = {};
        char *error = NULL;
        uint64_t end = 0;

        for (size_t k = 0; k <= INITRD_PARTS_MAX; k++)
                image_trailer(&parts);
        assert_refused(&parts, E2BIG, "parts");
        for (size_t k = 0; k <= INITRD_MEMBERS_MAX; k++)
                image_member(&members, "m", S_IFREG, NULL, 0);
        assert_refused(&members, E2BIG, "members");

        /* 4 GiB each, and nothing of it in memory. */
        image_head(&head, (ImageHead) { .mode = S_IFREG, .size = 0xfffffffc, .name_size = 2 });
        image_put(&head, "x", 2);
        for (int k = 0; k < 3; k++) {
                assert_int_equal(pwrite(fd, head.data, head.size, (off_t) end), head.size);
                end += 112 + 0xfffffffcull;
        }
        assert_ok(ftruncate(fd, (off_t) end));
        assert_error(initrd_scan(fd, 0, end, &info, &error), E2BIG);
        assert_non_null(strstr(error, "8 GiB"));
        free(error);

        assert_error(initrd_scan(fd, UINT64_MAX, 2, &info, NULL), EFBIG);
        /* The file is shorter than the caller believes. */
        assert_error(initrd_scan(fd, end - 4, 8, &info, NULL), ESTALE);
}

/* Members of gzip and streams of bzip2 are separate parts: each has to end where a member of the archive does. */
static void test_streams(_unused_ void **state) {
        _cleanup_image_ Image guest = {};

        put_guest(&guest);
        for (size_t c = 0; c < 2; c++) {
                _cleanup_(initrd_info_done) InitrdInfo info = {};
                _cleanup_image_ Image both = {}, amid = {};

                put_part(&both, c, &guest);
                put_part(&both, c, &guest);
                scan_ok(&both, &info);
                assert_int_equal(info.n_parts, 2);
                assert_int_equal(info.parts[1].offset, both.size / 2);
                assert_int_equal(info.parts[1].members, 5);

                put_part(&amid, c, &(Image) { .data = guest.data, .size = 300 });
                put_part(&amid, c, &(Image) { .data = guest.data + 300, .size = guest.size - 300 });
                assert_refused(&amid, EBADMSG, "ends inside the member");
        }
}

static void test_gzip_fields(_unused_ void **state) {
        static const struct {
                uint8_t flag;
                const char *field, *word; /* NULL: read */
                size_t size;
        } rows[] = {
                { 1 << 0, "", NULL, 0 },
                { 1 << 3, "name", NULL, 5 },
                { 1 << 2, "\2\0ab", "an extra field", 4 },
                { 1 << 4, "hello", "a comment", 6 },
                { 1 << 1, "ab", "a checksum", 2 },
        };
        _cleanup_image_ Image guest = {}, packed = {};

        put_guest(&guest);
        put_part(&packed, 0, &guest);
        for (size_t k = 0; k < ELEMENTSOF(rows); k++) {
                _cleanup_(initrd_info_done) InitrdInfo info = {};
                _cleanup_image_ Image i = {};

                image_put(&i, packed.data, 10);
                i.data[3] = rows[k].flag;
                image_put(&i, rows[k].field, rows[k].size);
                image_put(&i, packed.data + 10, packed.size - 10);
                if (rows[k].word)
                        assert_refused(&i, EBADMSG, rows[k].word);
                else
                        scan_ok(&i, &info);
        }
}

/* After an uncompressed archive the kernel wants everything on a multiple of 4, elsewhere only uncompressed archives. */
static void test_alignment(_unused_ void **state) {
        _cleanup_(initrd_info_done) InitrdInfo info = {};
        _cleanup_image_ Image guest = {}, plain = {}, packed = {};

        put_guest(&guest);
        image_put(&plain, guest.data, guest.size);
        image_zero(&plain, 1);
        put_part(&plain, 0, &guest);
        assert_refused(&plain, EBADMSG, "after an uncompressed cpio");

        image_zero(&packed, 1);
        put_part(&packed, 0, &guest);
        image_zero(&packed, packed.size % 2 == 0 ? 1 : 2);
        put_part(&packed, 0, &guest);
        scan_ok(&packed, &info);
        assert_int_equal(info.n_parts, 2);
}

#define FOO ".extra/system_credentials/foo.cred"

static void test_credentials(_unused_ void **state) {
        static const struct {
                const char *path;
                uint32_t mode;
                bool refused;
        } rows[] = {
                { FOO, S_IFREG | 0600, false },
                { FOO, S_IFLNK | 0777, false },
                { FOO, S_IFDIR | 0755, true },
                { "elsewhere/foo.cred", S_IFDIR | 0755, true }, /* a link may lead there */
                { ".extra/system_credentials/bar.cred", S_IFDIR | 0755, false },
                { ".extra/system_credentials", S_IFLNK | 0777, false },
        };

        for (size_t k = 0; k < ELEMENTSOF(rows); k++) {
                _cleanup_(initrd_info_done) InitrdInfo info = {};
                _cleanup_image_ Image i = {};

                image_member(&i, rows[k].path, rows[k].mode, NULL, 0);
                image_trailer(&i);
                image_member(&i, FOO, S_IFREG | 0400, "bar", 3);
                if (rows[k].refused)
                        assert_refused(&i, EBADMSG, "'foo.cred'");
                else
                        scan_ok(&i, &info);
        }
}

/* A range in the middle of a file counts from its own beginning. */
static void test_range(_unused_ void **state) {
        _cleanup_(initrd_info_done) InitrdInfo info = {};
        _cleanup_image_ Image i = {}, content = {};
        _cleanup_close_ int fd = -EBADF;
        size_t end;

        image_trailer(&content);
        image_put(&i, "0707junk!", 9);
        image_put(&i, content.data, content.size);
        put_part(&i, 0, &content);
        end = i.size;
        image_put(&i, "more junk", 9);
        fd = image_to_fd(&i);
        assert_ok(initrd_scan(fd, 9, end - 9, &info, NULL));
        assert_int_equal(info.n_parts, 2);
        assert_int_equal(info.parts[1].offset, 124);
}

typedef struct Listing {
        char *text;
        int answer;
} Listing;

static int list_one(const InitrdMember *m, void *userdata) {
        Listing *l = userdata;
        char *text = NULL;

        assert_true(asprintf(&text, "%s%zu:%s:%o:%u\n", l->text ?: "", m->part, m->path, m->mode, m->size) >
                        0);
        free(l->text);
        l->text = text;
        return l->answer;
}

static void test_list(_unused_ void **state) {
        _cleanup_image_ Image i = {}, second = {};
        _cleanup_close_ int fd = -EBADF;
        Listing l = {};

        image_member(&i, "a", S_IFDIR | 0755, NULL, 0);
        image_member(&i, "a/b", S_IFREG | 04711, "xyz", 3);
        image_trailer(&i);
        image_member(&second, "c", S_IFREG | 0400, NULL, 0);
        put_part(&i, 4, &second);
        fd = image_to_fd(&i);
        assert_ok(initrd_list(fd, 0, i.size, list_one, &l, NULL));
        assert_string_equal(l.text, "0:a:40755:0\n0:a/b:104711:3\n1:c:100400:0\n");

        free(TAKE_PTR(l.text));
        l.answer = 1;
        assert_int_equal(initrd_list(fd, 0, i.size, list_one, &l, NULL), 1);
        assert_string_equal(l.text, "0:a:40755:0\n");
        free(TAKE_PTR(l.text));
        l.answer = -EIO;
        assert_error(initrd_list(fd, 0, i.size, list_one, &l, NULL), EIO);
        free(l.text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_plain),
                cmocka_unit_test(test_empty),
                cmocka_unit_test(test_compressed),
                cmocka_unit_test(test_xz_inside_xz),
                cmocka_unit_test(test_facts),
                cmocka_unit_test(test_two_versions),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_truncated),
                cmocka_unit_test(test_flipped),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_streams),
                cmocka_unit_test(test_gzip_fields),
                cmocka_unit_test(test_alignment),
                cmocka_unit_test(test_credentials),
                cmocka_unit_test(test_range),
                cmocka_unit_test(test_list),
        };
        int r = cmocka_run_group_tests(tests, NULL, NULL);

        cpio_library_unload();
        return r;
}
