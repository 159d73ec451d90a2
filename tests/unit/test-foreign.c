/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The tables of tests/golden/foreign: what each reader makes of a text. A file holds many cases:
 *
 *      ### NAME [OPTION=VALUE ...]        assume=NAME, launch=N, ovmf=FILE, ovmf-metadata, vcpu-sig=N, append=WORDS
 *      the text
 *      ---
 *      what comes out: options, notices ("! ..."), or "error: ..."
 *
 * The files that the texts name are made in a separate directory. UPDATE_GOLDEN=1 rewrites the tables. */

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "foreign-vmspawn.h"
#include "foreign.h"
#include "measure-request.h"
#include "strutil.h"
#include "test.h"

#define TABLE_MAX (4u * 1024u * 1024u)

/* --- the files of the cases ---------------------------------------------------------------------------------------------- */

static void make_file(const char *name, size_t size, const char *begin, size_t n_begin) {
        _cleanup_close_ int fd = fd_open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

        assert_true(fd >= 0);
        assert_ok(fd_write_all(fd, begin, n_begin));
        assert_int_equal(ftruncate(fd, (off_t) size), 0);
}

/* A bzImage as far as QEMU's Linux loader looks: boot protocol 2.12, one setup sector. */
static void make_kernel(const char *name, const char *magic, size_t size) {
        char k[0x240] = {};

        k[0x1f1] = 1;
        memcpy(k + 0x202, magic, 4);
        k[0x206] = 0x0c;
        k[0x207] = 2;
        k[0x211] = 1;
        memcpy(k + 0x22c, "\xff\xff\xff\x7f", 4);
        make_file(name, size, k, sizeof(k));
}

static void make_text(const char *name, const char *text) {
        make_file(name, strlen(text), text, strlen(text));
}

static void make_files(void) {
        make_file("firmware.fd", 128 * 1024, "", 0);
        make_file("odd.fd", 128 * 1024 + 1, "", 0);
        make_file("store.fd", 528 * 1024, "", 0);
        make_file("image.fd", 128 * 1024, "QFI\xfb", 4);
        make_file("huge.fd", 16 * 1024 * 1024, "", 0);
        make_kernel("kernel", "HdrS", 4096);
        make_kernel("cut", "HdrS", 600);
        make_kernel("pe", "\0\0\0\0", 4096);
        make_file("elf", 4096, "\177ELF", 4);
        make_file("initrd", 1000, "", 0);
        make_file("empty", 0, "", 0);
        make_file("large", 600 * 1024 * 1024, "", 0);
        assert_int_equal(mkdir("share", 0755), 0);
        make_file("share/other.fd", 64 * 1024, "", 0);
        make_text("vmspawn.conf",
                        "\n[machine]\n  type = \"q35\"\n  kernel-irqchip = \"split\"\n  "
                        "confidential-guest-support = \"snp0\"\n"
                        "\n[smp-opts]\n  cpus = \"4\"\n\n[memory]\n  size = \"512M\"\n\n[accel]\n  accel = "
                        "\"kvm\"\n"
                        "\n[device \"vmgenid0\"]\n  driver = \"vmgenid\"\n\n[object \"snp0\"]\n  qom-type = "
                        "\"sev-snp-guest\"\n"
                        "  cbitpos = \"51\"\n  reduced-phys-bits = \"1\"\n  kernel-hashes = \"on\"\n");
        make_text("lxd.conf",
                        "# Machine\n[machine]\ntype = \"q35\"\naccel = \"kvm\"\nconfidential-guest-support "
                        "= \"sev0\"\n"
                        "[drive]\nfile = \"firmware.fd\"\nif = \"pflash\"\nformat = \"raw\"\nunit = "
                        "\"0\"\nreadonly = \"on\"\n"
                        "[global]\ndriver = \"ICH9-LPC\"\nproperty = \"disable_s3\"\nvalue = \"1\"\n"
                        "[object \"sev0\"]\nqom-type = \"sev-guest\"\ncbitpos = \"51\"\nreduced-phys-bits = "
                        "\"1\"\npolicy = \"0x1\"\n");
        make_text("broken.conf", "[machine]\ntype = q35\n");
        make_text("unknown.conf", "[machine]\ntype = \"q35\"\n[mystery \"x\"]\na = \"1\"\n");
}

/* --- one case ------------------------------------------------------------------------------------------------------------ */

typedef struct Case {
        char *title, *input, *expected; /* owned */
        char **assumed;                 /* owned */
        unsigned launch;
        char *ovmf, *vcpu_sig, *append; /* owned */
        bool ovmf_metadata;
} Case;

static void case_done(Case *c) {
        free(c->title);
        free(c->input);
        free(c->expected);
        strv_free(c->assumed);
        free(c->ovmf);
        free(c->vcpu_sig);
        free(c->append);
        *c = (Case) {};
}

static void read_title(Case *c) {
        _cleanup_strv_free_ char **words = NULL;

        assert_ok(strv_split(c->title, ' ', &words));
        STRV_FOREACH(w, words) {
                const struct {
                        const char *prefix;
                        char **to;
                } options[] = {
                        { "ovmf=", &c->ovmf },
                        { "vcpu-sig=", &c->vcpu_sig },
                        { "append=", &c->append },
                };
                const char *rest = startswith(*w, "assume=");

                if (rest)
                        assert_ok(strv_push(&c->assumed, rest));
                if (streq(*w, "ovmf-metadata"))
                        c->ovmf_metadata = true;
                rest = startswith(*w, "launch=");
                if (rest)
                        assert_ok(parse_unsigned(rest, &c->launch));
                for (size_t i = 0; i < ELEMENTSOF(options); i++) {
                        rest = startswith(*w, options[i].prefix);
                        if (rest) {
                                *options[i].to = strdup(rest);
                                assert_non_null(*options[i].to);
                        }
                }
        }
}

/* A value as one word of the table. */
static void put_value(Text *t, const char *name, const char *value) {
        if (!value)
                return;
        text_putf(t, "%s'", name);
        for (const char *s = value; *s; s++)
                if (*s == '\n' || *s == '\t' || *s == '\r')
                        text_put(t, *s == '\n' ? "\\n" : *s == '\t' ? "\\t" : "\\r");
                else
                        text_put_n(t, s, 1);
        text_put(t, "'\n");
}

static void put_notices(Text *t, char *const *notices) {
        STRV_FOREACH(n, notices)
                text_putf(t, "! %s\n", *n);
}

static void put_number(Text *t, const char *name, const char *format, uint64_t value) {
        char text[32];

        (void) snprintf(text, sizeof(text), format[0] == 'x' ? "0x%" PRIx64 : "%" PRIu64, value);
        put_value(t, name, text);
}

static void put_guest(Text *t, const Case *c, const ForeignGuest *g) {
        put_value(t, "mode=", measure_mode_to_string(measure_mode_of_coco(g->mode)));
        if (g->mode == COCO_SEV_ES)
                put_value(t, "vmsa=", vmm_profile_to_string(g->profile));
        put_number(t, "vcpus=", "u", g->vcpus);
        put_value(t, "vcpu-type=", g->cpu_model);
        put_value(t, "vcpu-sig=", c->vcpu_sig);
        if (g->cpu_signature != 0)
                put_number(t, "vcpu-sig=", "x", g->cpu_signature);
        if (g->features > 1)
                put_number(t, "guest-features=", "x", g->features);
        if (g->es_features != 0)
                put_number(t, "es-features=", "x", g->es_features);
        put_value(t, "ovmf=", g->firmware);
        put_value(t, "kernel=", g->kernel);
        put_value(t, "initrd=", g->initrd);
        put_value(t, "append=", g->append);
}

static void run_vmspawn(const Case *c, Text *t) {
        _cleanup_(vmspawn_line_done) VmspawnLine l = {};
        _cleanup_free_ char *error = NULL;
        int r = vmspawn_line_read(c->input, "xterm", c->assumed, &l, &error);

        if (r < 0) {
                assert_non_null(error);
                text_putf(t, "error: %s\n", error);
                return;
        }
        STRV_FOREACH(o, l.options)
                put_value(t, "", *o);
        STRV_FOREACH(w, l.words)
                put_value(t, "word ", *w);
        put_value(t, "root of ", l.image);
        put_notices(t, l.notices);
}

static void run_reader(const Case *c, bool libvirt, Text *t) {
        ForeignOptions options = {
                .assumed = c->assumed,
                .launch = c->launch,
                .given = { .firmware = c->ovmf, .append = c->append, .firmware_metadata = c->ovmf_metadata }
        };
        _cleanup_(foreign_result_done) ForeignResult result = {};
        _cleanup_free_ char *error = NULL, *cpu = NULL;
        int r;

        if (c->vcpu_sig)
                assert_true(asprintf(&cpu, "--vcpu-sig=%s", c->vcpu_sig) > 0);
        options.given.cpu = cpu;
        make_file("input", strlen(c->input), c->input, strlen(c->input));
        r = libvirt ? foreign_from_libvirt("input", &options, &result, &error)
                    : foreign_from_qemu("input", &options, &result, &error);
        if (r < 0) {
                assert_non_null(error);
                put_notices(t, result.notices);
                text_putf(t, "error: %s\n", error);
                return;
        }
        put_guest(t, c, &result.guest);
        put_value(t, "igvm=", result.igvm);
        put_notices(t, result.notices);
}

/* --- tables -------------------------------------------------------------------------------------------------------------- */

/* The next case from *text on; false at the end. */
static bool next_case(const char **text, Case *ret) {
        const char *title = strstr(*text, "### "), *input, *line, *end;

        if (!title)
                return false;
        input = strchr(title, '\n') + 1;
        line = strstr(input, "\n---\n");
        assert_non_null(line);
        end = strstr(line + 5, "\n### ");
        end = end ? end + 1 : line + 5 + strlen(line + 5);
        *ret = (Case) { .title = strndup(title + 4, (size_t) (input - title) - 5),
                .input = strndup(input, (size_t) (line - input)),
                .expected = strndup(line + 5, (size_t) (end - line) - 5) };
        assert_non_null(ret->title);
        assert_non_null(ret->input);
        assert_non_null(ret->expected);
        for (size_t n = strlen(ret->expected); n > 1 && ret->expected[n - 2] == '\n'; n--)
                ret->expected[n - 1] = 0;
        read_title(ret);
        *text = end;
        return true;
}

static unsigned run_table(const char *name, const char *path) {
        _cleanup_free_ char *text = NULL, *out = NULL;
        _cleanup_(text_done) Text table = {};
        bool update = getenv("UPDATE_GOLDEN");
        unsigned failures = 0, n = 0;
        const char *at;
        size_t size;
        Case c;

        assert_ok(file_read_all(path, TABLE_MAX, &text, &size));
        at = text;
        text_put_n(&table, text, (size_t) (strstr(text, "### ") - text));
        for (; next_case(&at, &c); case_done(&c), n++) {
                _cleanup_(text_done) Text got = {};
                _cleanup_free_ char *s = NULL;

                if (startswith(name, "vmspawn"))
                        run_vmspawn(&c, &got);
                else
                        run_reader(&c, startswith(name, "libvirt"), &got);
                assert_ok(text_finish(&got, &s));
                if (strstr(s, "libxml2 cannot be loaded"))
                        continue;
                if (!streq(s, c.expected)) {
                        failures += !update;
                        print_error("%s: %s\n--- expected\n%s--- got\n%s", name, c.title, c.expected, s);
                }
                text_putf(&table, "### %s\n%s\n---\n%s\n", c.title, c.input, s);
        }
        assert_true(n > 0);
        assert_ok(text_finish(&table, &out));
        if (update) {
                out[strlen(out) - 1] = 0;
                make_file(path, strlen(out), out, strlen(out));
        }
        return failures;
}

static int remove_one(const char *path, _unused_ const struct stat *st, _unused_ int flag,
                _unused_ struct FTW *w) {
        return remove(path);
}

static void test_tables(_unused_ void **state) {
        const char *source = getenv("CVMSPAWN_SOURCE");
        char work[] = "/tmp/cvmspawn-foreign-XXXXXX";
        _cleanup_free_ char *folder = NULL;
        unsigned failures = 0, tables = 0;
        DIR *d;

        if (!source)
                skip();
        assert_true(asprintf(&folder, "%s/tests/golden/foreign", source) > 0);
        assert_non_null(mkdtemp(work));
        assert_int_equal(chdir(work), 0);
        make_files();
        d = opendir(folder);
        assert_non_null(d);
        for (struct dirent *e = readdir(d); e; e = readdir(d)) {
                _cleanup_free_ char *path = NULL;

                if (!endswith(e->d_name, ".cases"))
                        continue;
                assert_true(asprintf(&path, "%s/%s", folder, e->d_name) > 0);
                failures += run_table(e->d_name, path);
                tables++;
        }
        closedir(d);
        assert_int_equal(nftw(work, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
        assert_int_equal(failures, 0);
        assert_true(tables >= 3);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_tables) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
