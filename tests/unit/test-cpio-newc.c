/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/stat.h>

#include "test.h"

#include "cpio-newc.h"
#include "error.h"
#include "initrd-image.h"

typedef struct Seen {
        char text[1024]; /* "PATH:MODE:SIZE;" for each member */
        size_t length;
        int answer;
} Seen;

static int see(const NewcMember *m, void *userdata) {
        Seen *s = userdata;

        s->length += (size_t) snprintf(s->text + s->length, sizeof(s->text) - s->length, "%s:%o:%u@%u;",
                        m->path, m->mode, m->size, (unsigned) m->offset);
        assert_true(s->length < sizeof(s->text));
        return s->answer;
}

static NewcParser parser(Seen *s, bool stop_at_trailer) {
        *s = (Seen) { .answer = s->answer };
        return (NewcParser) { .callback = see, .userdata = s, .stop_at_trailer = stop_at_trailer };
}

/* Feeds in steps of `step` bytes. */
static int feed(NewcParser *p, const Image *i, size_t step, size_t *ret_used, char **reterr) {
        size_t pos = 0, used;
        int r = NEWC_MORE;

        while (pos < i->size && r == NEWC_MORE) {
                r = newc_parser_feed(p, i->data + pos, MIN(step, i->size - pos), &used, reterr);
                if (r >= 0)
                        pos += used;
        }
        *ret_used = pos;
        return r;
}

static void build(Image *i) {
        image_zero(i, 8);
        image_member(i, "a", S_IFDIR | 0755, NULL, 0);
        image_member(i, "a/file", S_IFREG | 0600, "12345", 5);
        image_zero(i, 4);
        image_member(i, "link", S_IFLNK | 0777, "target", 6);
        image_trailer(i);
        image_member(i, "late", S_IFREG | 0644, "x", 1);
}

#define EARLY "a:40755:0@8;a/file:100600:5@120;link:120777:6@252;"

static void test_members(_unused_ void **state) {
        static const size_t steps[] = { 1, 2, 3, 7, 109, 110, 111, 4096 };
        _cleanup_image_ Image i = {};
        size_t trailed;

        build(&i);
        trailed = 252 + 116 + 8 + 124;
        for (size_t k = 0; k < ELEMENTSOF(steps); k++) {
                Seen s = {};
                NewcParser p = parser(&s, true);
                size_t used;

                assert_int_equal(feed(&p, &i, steps[k], &used, NULL), NEWC_TRAILED);
                assert_string_equal(s.text, EARLY);
                assert_int_equal(used, trailed);
                assert_ok(newc_parser_finish(&p, false, NULL));

                /* The kernel does not stop at a trailer. */
                p = parser(&s, false);
                assert_int_equal(feed(&p, &i, steps[k], &used, NULL), NEWC_MORE);
                assert_string_equal(s.text, EARLY "late:100644:1@500;");
                assert_int_equal(used, i.size);
                assert_ok(newc_parser_finish(&p, false, NULL));
        }
}

static void test_skip(_unused_ void **state) {
        _cleanup_image_ Image i = {};
        Seen s = {};
        NewcParser p = parser(&s, false);
        size_t used;

        image_member(&i, "file", S_IFREG | 0644, "0123456789", 10);
        assert_int_equal(newc_parser_feed(&p, i.data, 115, &used, NULL), NEWC_MORE);
        assert_int_equal(used, 115);
        assert_int_equal(newc_parser_skippable(&p), 1 + 12);
        assert_int_equal(newc_parser_skip(&p, 3), NEWC_MORE);
        assert_error(newc_parser_finish(&p, true, NULL), EBADMSG);
        assert_int_equal(newc_parser_skip(&p, 8), NEWC_MORE);
        /* Only padding is missing. */
        assert_ok(newc_parser_finish(&p, true, NULL));
        assert_error(newc_parser_finish(&p, false, NULL), EBADMSG);
        assert_int_equal(newc_parser_skip(&p, 2), NEWC_MORE);
        assert_ok(newc_parser_finish(&p, false, NULL));
        assert_int_equal(newc_parser_skippable(&p), 0);
}

static void test_stop(_unused_ void **state) {
        _cleanup_image_ Image i = {};
        Seen s = { .answer = 1 };
        NewcParser p = parser(&s, false);
        size_t used;

        build(&i);
        assert_int_equal(newc_parser_feed(&p, i.data, i.size, &used, NULL), NEWC_STOPPED);
        assert_string_equal(s.text, "a:40755:0@8;");
        s.answer = -EIO;
        p = parser(&s, false);
        assert_error(newc_parser_feed(&p, i.data, i.size, &used, NULL), EIO);
}

/* What the kernel passes over without a word must not be believed to be in the guest. */
static void test_ignored_members(_unused_ void **state) {
        static char long_name[NEWC_NAME_MAX + 4], target[NEWC_NAME_MAX + 4];
        _cleanup_image_ Image i = {};
        Seen s = {};
        NewcParser p = parser(&s, false);
        size_t used;

        memset(long_name, 'n', NEWC_NAME_MAX);
        memset(target, 't', sizeof(target));
        image_member(&i, long_name, S_IFREG | 0644, "x", 1);
        image_member(&i, "link", S_IFLNK | 0777, target, NEWC_NAME_MAX + 1);
        image_member(&i, "directory", S_IFDIR | 0755, "data", 4);
        image_head(&i, (ImageHead) { .mode = S_IFREG });
        image_pad(&i, 4);
        image_member(&i, "good", S_IFREG | 0644, "x", 1);
        long_name[NEWC_NAME_MAX - 1] = 0;
        image_member(&i, long_name, S_IFREG | 0644, "x", 1);
        p.callback = NULL;
        assert_int_equal(feed(&p, &i, i.size, &used, NULL), NEWC_MORE);

        /* The longest name that counts is seen as well. */
        p = parser(&s, false);
        i.size -= 110 + NEWC_NAME_MAX + 2 + 4;
        assert_int_equal(feed(&p, &i, 5000, &used, NULL), NEWC_MORE);
        assert_non_null(strstr(s.text, "good:"));
        assert_null(strstr(s.text, "link"));
        assert_null(strstr(s.text, "directory"));
        assert_null(strstr(s.text, "nnn"));
        assert_ok(newc_parser_finish(&p, false, NULL));
}

static void assert_bad(const Image *i, const char *word) {
        char *error = NULL;
        Seen s = {};
        NewcParser p = parser(&s, false);
        size_t used;

        assert_error(feed(&p, i, i->size, &used, &error), EBADMSG);
        assert_non_null(strstr(error, word));
        free(error);
}

static void test_damage(_unused_ void **state) {
        for (size_t field = 0; field < 13; field++)
                for (size_t digit = 0; digit < 8; digit++) {
                        _cleanup_image_ Image i = {};

                        image_member(&i, "x", S_IFREG, NULL, 0);
                        i.data[6 + 8 * field + digit] = "g/:@` G"[digit % 7];
                        assert_bad(&i, "hexadecimal");
                }

        _cleanup_image_ Image odc = {}, magic = {}, name = {};

        image_head(&odc, (ImageHead) { .magic = "070707", .name_size = 2 });
        assert_bad(&odc, "odc");
        image_head(&magic, (ImageHead) { .magic = "070703", .name_size = 2 });
        assert_bad(&magic, "no cpio header");
        image_head(&name, (ImageHead) { .mode = S_IFREG, .name_size = 2 });
        image_put(&name, "xy", 2);
        assert_bad(&name, "is not terminated");
}

static void test_headers(_unused_ void **state) {
        _cleanup_image_ Image i = {};
        Seen s = {};
        NewcParser p = parser(&s, false);
        size_t used;

        /* With checksum, and digits of either case. */
        image_head(&i, (ImageHead) { .magic = "070702", .mode = 0x81ed, .size = 0, .name_size = 2 });
        image_put(&i, "x\0", 2);
        image_pad(&i, 4);
        memcpy(i.data + 14, "000081ED", 8);
        assert_int_equal(feed(&p, &i, 1, &used, NULL), NEWC_MORE);
        assert_string_equal(s.text, "x:100755:0@0;");

        /* Not on a multiple of 4, and something else altogether: the byte is left for the caller to judge. */
        image_zero(&i, 1);
        image_put(&i, "070701", 6);
        p = parser(&s, false);
        assert_int_equal(feed(&p, &i, 64, &used, NULL), NEWC_FOREIGN);
        assert_int_equal(used, i.size - 6);
        i.data[i.size - 6] = 0x1f;
        p = parser(&s, false);
        assert_int_equal(feed(&p, &i, 64, &used, NULL), NEWC_FOREIGN);
        assert_int_equal(used, i.size - 6);
}

/* 070702: the sum of a file's bytes has to be right, in whatever pieces they come; other kinds of members have none. */
static void test_sums(_unused_ void **state) {
        static const struct {
                const char *sum, *data;
                uint32_t mode;
                bool right;
        } rows[] = {
                { "0000014f", "\x7f\x61\x6f", S_IFREG, true },
                { "000001fd", "\xff\xfe", S_IFREG, true },
                { "000001fe", "\xff\xfe", S_IFREG, false },
                { "00000000", "", S_IFREG, true },
                { "00000001", "", S_IFREG, false },
                { "00000001", "", S_IFDIR, true },
                { "00000001", "f", S_IFLNK, true },
        };

        for (size_t k = 0; k < ELEMENTSOF(rows); k++)
                for (size_t step = 1; step < 200; step += 13) {
                        _cleanup_image_ Image i = {};
                        size_t n = strlen(rows[k].data), used;
                        char *error = NULL;
                        NewcParser p;
                        Seen seen = {};
                        int r;

                        image_head(&i,
                                        (ImageHead) { .magic = "070702",
                                                        .mode = rows[k].mode,
                                                        .size = (uint32_t) n,
                                                        .name_size = 3 });
                        memcpy(i.data + 102, rows[k].sum, 8);
                        image_put(&i, "ab", 3);
                        image_pad(&i, 4);
                        image_put(&i, rows[k].data, n);
                        image_pad(&i, 4);
                        image_trailer(&i);
                        p = parser(&seen, false);
                        r = feed(&p, &i, step, &used, &error);
                        assert_int_equal(r, rows[k].right ? NEWC_MORE : -EBADMSG);
                        assert_int_equal(!error, rows[k].right);
                        assert_true(!rows[k].right || newc_parser_finish(&p, false, NULL) == 0);
                        free(error);
                }
}

typedef struct Written {
        NewcMember wanted;
        unsigned calls;
} Written;

static int compare_member(const NewcMember *m, void *userdata) {
        Written *w = userdata;
        const NewcMember *x = &w->wanted;

        w->calls++;
        assert_string_equal(m->path, x->path);
        assert_true(m->ino == x->ino && m->mode == x->mode && m->uid == x->uid && m->gid == x->gid);
        assert_true(m->nlink == x->nlink && m->mtime == x->mtime && m->size == x->size && m->offset == 0);
        return 0;
}

/* What is written is read back, whatever its lengths; a buffer that is too small is an error, and untouched behind its end. */
static void test_write(_unused_ void **state) {
        static const char names[] = "directory/name";
        uint8_t buf[256];

        for (size_t name = 1; name < sizeof(names); name++)
                for (uint32_t size = 0; size < 9; size++) {
                        Written seen = { .wanted = { .path = names + sizeof(names) - 1 - name,
                                                         .ino = 7,
                                                         .mode = S_IFREG | 0640,
                                                         .uid = 0xabcdef01,
                                                         .gid = 2,
                                                         .nlink = 3,
                                                         .mtime = UINT32_MAX,
                                                         .size = size } };
                        NewcParser p = { .callback = compare_member, .userdata = &seen };
                        uint64_t whole = newc_member_size(name, size);
                        ByteWriter w = byte_writer(buf, sizeof(buf));
                        size_t used;

                        newc_write(&w, &seen.wanted, "123456789");
                        assert_ok(byte_writer_finish(&w, whole));
                        assert_int_equal(newc_parser_feed(&p, buf, whole, &used, NULL), NEWC_MORE);
                        assert_ok(newc_parser_finish(&p, /* lenient= */ false, NULL));
                        assert_int_equal(seen.calls, 1);

                        memset(buf, 0xee, sizeof(buf));
                        w = byte_writer(buf, whole - 1);
                        newc_write(&w, &seen.wanted, "123456789");
                        assert_true(byte_writer_finish(&w, whole) < 0);
                        assert_int_equal(buf[whole - 1], 0xee);
                }

        assert_int_equal(newc_member_size(NEWC_NAME_MAX - 1, 0), 4208);
        assert_int_equal(newc_member_size(NEWC_NAME_MAX, 0), 0);
        assert_int_equal(newc_member_size(1, UINT32_MAX), 112 + (UINT64_C(1) << 32));
        assert_int_equal(newc_member_size(1, UINT64_C(1) << 32), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_members),
                cmocka_unit_test(test_sums),
                cmocka_unit_test(test_skip),
                cmocka_unit_test(test_stop),
                cmocka_unit_test(test_ignored_members),
                cmocka_unit_test(test_damage),
                cmocka_unit_test(test_headers),
                cmocka_unit_test(test_write),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
