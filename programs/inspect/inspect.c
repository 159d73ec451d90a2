/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn inspect: what a firmware image, a kernel, an initrd or a cpio archive is made of, as far as a confidential launch cares. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "firmware-ovmf.h"
#include "initrd-scan.h"
#include "input.h"
#include "inspect.h"
#include "json.h"
#include "strutil.h"
#include "tdvf-metadata.h"
#include "verb.h"

#define IMAGE_SIZE_MAX (256u * 1024u * 1024u)
/* systemd since 262 imports credentials that come in the initrd under .extra/system_credentials. */
#define IMPORT_VERSION 262u

typedef struct Arguments {
        VerbCommon common;
} Arguments;

#define AT(member) offsetof(Arguments, member)

static const OptionRow rows[] = { VERB_ROWS("Options") };

static const OptionCommand commands[] = {
        { "firmware", "FILE", "Show sections, tables and fitness of an OVMF image", "json" },
        { "kernel", "FILE", "Show the setup header of a kernel", "json" },
        { "uki", "FILE", "Show the sections of a unified kernel image, and which systemd-stub measures",
                        "json" },
        { "image", "FILE", "Show which kernel, initrd and command line a disk image boots", "json" },
        { "initrd", "FILE", "Show what an initrd is made of, and whether it imports credentials", "json" },
        { "cpio", "FILE", "Show the same, and list the members", "json" },
};

static const OptionTable table = {
        .program = "cvmspawn inspect",
        .summary = "Show what a confidential launch cares about in a file.",
        .zone = "verifier",
        .arguments = "[COMMAND] FILE",
        .epilog = "Without a command the file's kind is detected.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .commands = commands,
        .n_commands = ELEMENTSOF(commands),
        .command_optional = true,
};

/* --- firmware -------------------------------------------------------------------------------------------------------- */

static int firmware_entries(const OvmfInfo *info, Json *j) {
        Json *entries = js_array();
        int r = entries ? 0 : -ENOMEM;

        FOREACH_ARRAY(e, info->entries, r < 0 ? 0 : info->n_entries) {
                char guid[GUID_TEXT_SIZE];
                Json *item = NULL;

                guid_format(&e->guid, guid);
                r = js_build(&item, "{s:s, s:o, s:I, s:I}", "guid", guid, "name",
                                js_string(ovmf_guid_to_string(&e->guid)), "offset", (long long) e->offset,
                                "size", (long long) e->size);
                if (r >= 0)
                        r = js_append(entries, item);
                if (r < 0) {
                        js_unref(entries);
                        return r;
                }
        }
        return r < 0 ? r : js_set(j, "table", entries);
}

static int firmware_sections(const OvmfInfo *info, Json *j) {
        Json *sections = js_array();
        int r = sections ? 0 : -ENOMEM;

        FOREACH_ARRAY(s, info->sections, r < 0 ? 0 : info->n_sections) {
                Json *item = NULL;

                r = js_build(&item, "{s:I, s:I, s:I, s:s}", "gpa", (long long) s->gpa, "size",
                                (long long) s->size, "type", (long long) s->type, "name",
                                ovmf_section_type_to_string(s->type));
                if (r >= 0)
                        r = js_append(sections, item);
                if (r < 0) {
                        js_unref(sections);
                        return r;
                }
        }
        return r < 0 ? r : js_set(j, "sections", sections);
}

/* What a TD begins with; null: the image is not for TDX. */
static int firmware_tdx(const uint8_t *data, size_t size, const OvmfInfo *info, Json *j) {
        _cleanup_free_ char *why = NULL;
        _cleanup_js_ Json *sections = js_array();
        TdvfInfo tdvf;
        int r;

        if (!sections)
                return -ENOMEM;
        r = ovmf_require(info, OVMF_NEED_TDX_METADATA, &why);
        if (r >= 0)
                r = tdvf_parse(data, size, info->tdx_distance, &tdvf, &why);
        if (r < 0)
                return js_set(j, "tdx-sections", js_null()) < 0 ? -ENOMEM
                                                                : js_set(j, "not-for-tdx", js_string(why));
        FOREACH_ARRAY(s, tdvf.sections, tdvf.n_sections) {
                Json *item = NULL;

                r = js_build(&item, "{s:I, s:I, s:I, s:I, s:s, s:b}", "offset", (long long) s->offset,
                                "file-size", (long long) s->raw, "gpa", (long long) s->gpa, "size",
                                (long long) s->size, "name", tdvf_type_to_string(s->type), "measured",
                                (s->attributes & TDVF_EXTEND) != 0);
                if (r >= 0)
                        r = js_append(sections, item);
                if (r < 0)
                        return r;
        }
        r = js_set(j, "tdx-sections", js_ref(sections));
        return r < 0 ? r : js_set(j, "not-for-tdx", js_null());
}

static Json *area_json(const OvmfArea *area) {
        Json *j = NULL;

        if (!area->present)
                return js_null();
        return js_build(&j, "{s:I, s:I}", "gpa", (long long) area->base, "size", (long long) area->size) < 0
                        ? NULL
                        : j;
}

/* What it can be used for: null, or the sentence why not. */
static int add_fitness(const OvmfInfo *info, const char *key, unsigned needs, Json *j) {
        _cleanup_free_ char *why = NULL;
        int r = ovmf_require(info, needs, &why);

        return js_set(j, key, r < 0 ? js_string(why) : js_null());
}

/* A build for TDX may have SEV metadata that are of no use to SEV guests: *ret_why says so. */
static int parse_firmware(const uint8_t *data, size_t size, OvmfInfo *ret, char **ret_why, char **reterr) {
        int r = ovmf_parse_table(data, size, ret, reterr), k;

        if (r < 0)
                return r;
        k = ovmf_parse(data, size, ret, ret_why);
        if (k >= 0 || (k == -EBADMSG && ret->has_tdx))
                return 0;
        return *ret_why ? error_set(reterr, k, "%s", *ret_why) : k;
}

static int inspect_firmware(const char *path, Json *j, char **reterr) {
        _cleanup_free_ char *why = NULL;
        _cleanup_free_ char *data = NULL;
        OvmfInfo info;
        size_t size;
        int r;

        r = input_read(NULL, path, IMAGE_SIZE_MAX, &data, &size, reterr);
        if (r < 0)
                return r;
        r = parse_firmware((const uint8_t *) data, size, &info, &why, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "%s", path);
        r = js_set(j, "size", js_u64(size));
        if (r >= 0)
                r = js_set(j, "gpa", js_u64((UINT64_C(1) << 32) - size));
        if (r >= 0)
                r = firmware_entries(&info, j);
        if (r >= 0)
                r = firmware_sections(&info, j);
        if (r >= 0)
                r = js_set(j, "hash-table", area_json(&info.hash_table));
        if (r >= 0)
                r = js_set(j, "secret-area", area_json(&info.secret));
        if (r >= 0)
                r = js_set(j, "reset-address", info.has_reset ? js_u64(info.reset_address) : js_null());
        if (r >= 0)
                r = add_fitness(&info, "not-for-kernel-hashes", OVMF_NEED_HASH_TABLE, j);
        if (r >= 0)
                r = add_fitness(&info, "not-for-sev-es", OVMF_NEED_RESET, j);
        if (r >= 0)
                r = why ? js_set(j, "not-for-sev-snp", js_string(why))
                        : add_fitness(&info, "not-for-sev-snp", OVMF_NEED_RESET | OVMF_NEED_METADATA, j);
        if (r >= 0)
                r = firmware_tdx((const uint8_t *) data, size, &info, j);
        return r;
}

/* --- initrd and cpio ------------------------------------------------------------------------------------------------- */

static int add_member(const InitrdMember *m, void *userdata) {
        Json *members = userdata, *item = NULL;
        int r = js_build(&item, "{s:s, s:I, s:I, s:I}", "path", m->path, "mode", (long long) m->mode, "size",
                        (long long) m->size, "part", (long long) m->part);

        /* A path that is not UTF-8 cannot stand in JSON. */
        if (r == -EINVAL)
                return 0;
        return r < 0 ? r : js_append(members, item);
}

static int initrd_parts(const InitrdInfo *info, Json *j) {
        Json *parts = js_array();
        int r = parts ? 0 : -ENOMEM;

        FOREACH_ARRAY(p, info->parts, r < 0 ? 0 : info->n_parts) {
                Json *item = NULL;

                r = js_build(&item, "{s:I, s:I, s:s, s:I, s:I}", "offset", (long long) p->offset, "size",
                                (long long) p->length, "compression",
                                initrd_compression_to_string(p->compression), "content",
                                (long long) p->content, "members", (long long) p->members);
                if (r >= 0)
                        r = js_append(parts, item);
                if (r < 0) {
                        js_unref(parts);
                        return r;
                }
        }
        return r < 0 ? r : js_set(j, "parts", parts);
}

static int inspect_initrd(const char *path, bool members, Json *j, char **reterr) {
        _cleanup_(initrd_info_done) InitrdInfo info = {};
        _cleanup_js_ Json *list = NULL;
        _cleanup_close_ int fd = -EBADF;
        uint64_t size;
        int r;

        fd = fd_open_regular(path, &size);
        if (fd < 0)
                return error_set(reterr, fd, "cannot open '%s': %s", path, strerror(-fd));
        r = initrd_scan(fd, 0, size, &info, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "%s", path);
        r = js_set(j, "size", js_u64(size));
        if (r >= 0)
                r = initrd_parts(&info, j);
        if (r >= 0)
                r = js_set(j, "systemd",
                                info.systemd_version > 0 ? js_u64(info.systemd_version) : js_null());
        if (r >= 0)
                r = js_set(j, "initrd-release", js_bool(info.initrd_release));
        if (r >= 0)
                r = js_set(j, "init", js_bool(info.has_init));
        if (r >= 0)
                r = js_set(j, "shell", js_bool(info.has_sh));
        if (r >= 0)
                r = js_set(j, "imports-credentials",
                                js_bool(info.systemd_version >= IMPORT_VERSION && info.initrd_release));
        if (r < 0 || !members)
                return r;
        list = js_array();
        if (!list)
                return -ENOMEM;
        r = initrd_list(fd, 0, size, add_member, list, reterr);
        return r < 0 ? error_prefix(reterr, r, "%s", path) : js_set(j, "list", js_ref(list));
}

/* --- output ---------------------------------------------------------------------------------------------------------- */

/* Addresses and sizes of memory are read more easily in hexadecimal. */
static bool is_address(const char *key) {
        return streq(key, "gpa") || streq(key, "reset-address") || streq(key, "mode") ||
                        streq(key, "offset");
}

static void print_value(const char *key, const Json *value, unsigned depth);

/* Objects in one line below an array, else a line a member. */
static void print_line(const Json *object) {
        for (void *i = js_iter(object); i; i = js_iter_next(object, i)) {
                printf(" %s=", js_iter_key(i));
                print_value(js_iter_key(i), js_iter_value(i), 0);
        }
}

static void print_value(const char *key, const Json *value, unsigned depth) {
        uint64_t n;
        bool b;

        if (js_is_null(value))
                printf("-");
        else if (js_string_value(value))
                printf("%s", js_string_value(value));
        else if (js_bool_value(value, &b) >= 0)
                printf("%s", b ? "yes" : "no");
        else if (js_u64_value(value, &n) >= 0)
                printf(is_address(key) ? "0x%" PRIx64 : "%" PRIu64, n);
        else if (js_is_object(value))
                print_line(value);
        for (size_t i = 0; js_is_array(value) && i < js_length(value); i++) {
                printf("\n%*s", (int) depth * 8, "");
                print_value(key, js_at(value, i), depth);
        }
}

static int print_result(const Arguments *a, const Json *j) {
        if (a->common.json)
                return verb_print_json(j, a->common.style);
        for (void *i = js_iter(j); i; i = js_iter_next(j, i)) {
                printf("%-22s ", js_iter_key(i));
                print_value(js_iter_key(i), js_iter_value(i), 1);
                printf("\n");
        }
        return 0;
}

static int inspect(const Arguments *a, char *const *words, char **reterr) {
        _cleanup_js_ Json *j = js_object();
        InspectKind kind = inspect_kind_from_string(words[0]);
        const char *path = words[1] ?: words[0];
        int r = 0;

        if (strv_length(words) > 2 || (kind >= 0 && !words[1]))
                return error_set(reterr, -EINVAL,
                                "expected one file: cvmspawn inspect [firmware|kernel|uki|initrd|cpio|image] FILE; a file whose name is one of these words is ./%s",
                                words[0]);
        if (!j)
                return -ENOMEM;
        if (!words[1])
                r = inspect_find_kind(path, &kind, reterr);
        if (r >= 0)
                r = js_set(j, "kind", js_string(inspect_kind_to_string(kind)));
        if (r < 0)
                return r;
        if (kind == INSPECT_FIRMWARE)
                r = inspect_firmware(path, j, reterr);
        else if (kind == INSPECT_KERNEL)
                r = inspect_kernel(path, j, reterr);
        else if (kind == INSPECT_UKI)
                r = inspect_uki(path, j, reterr);
        else if (kind == INSPECT_IMAGE)
                r = inspect_image(path, a->common.json, j, reterr);
        else
                r = inspect_initrd(path, kind == INSPECT_CPIO || a->common.json, j, reterr);
        return r < 0 ? r : print_result(a, j);
}

static int inspect_run(void *arguments, char **words, char **reterr) {
        return inspect(arguments, words, reterr);
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(Arguments),
        .common = AT(common),
        .run = inspect_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
