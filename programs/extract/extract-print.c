/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* For people. Names and texts come from the image: nothing of them moves the cursor. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "extract-child.h"
#include "extract.h"
#include "log.h"
#include "strutil.h"
#include "terminal.h"

static uint64_t number(const Json *object, const char *key) {
        uint64_t n = 0;

        return js_u64_value(js_get(object, key), &n) < 0 ? 0 : n;
}

static void put(const char *s) {
        _cleanup_free_ char *visible = s ? terminal_visible(s, strlen(s)) : NULL;

        printf("%s", visible ?: "-");
}

static void put_member(const Json *object, const char *key) {
        put(js_string_value(js_get(object, key)));
}

static void put_place(const Json *part) {
        put_member(part, "path");
        if (number(part, "partition") > 0)
                printf(" in partition %" PRIu64, number(part, "partition"));
        printf(" (%s)", js_string_value(js_get(part, "filesystem")) ?: "-");
}

static void print_entry(const Json *e) {
        bool chosen = false;

        (void) !js_bool_value(js_get(e, "chosen"), &chosen);
        printf("%s %-5s %-3" PRIu64 " ", chosen ? "*" : " ", js_string_value(js_get(e, "source")) ?: "-",
                        number(e, "partition"));
        put_member(e, "version");
        printf("\n       id: ");
        put_member(e, "id");
        printf("\n    title: ");
        put_member(e, "title");
        printf("\n     file: ");
        put_member(e, "file");
        printf("\n");
}

static void print_list(const Json *j) {
        const Json *entries = js_get(j, "entries"), *partitions = js_get(j, "partitions");

        for (size_t i = 0; i < js_length(partitions); i++) {
                const Json *p = js_at(partitions, i);

                printf("partition %-3" PRIu64 " offset %" PRIu64 " size %" PRIu64 " ", number(p, "number"),
                                number(p, "offset"), number(p, "size"));
                put_member(p, "content");
                printf("\n");
        }
        for (size_t i = 0; i < js_length(entries); i++)
                print_entry(js_at(entries, i));
}

static const Json *chosen_entry(const Json *j) {
        const Json *entries = js_get(j, "entries");

        for (size_t i = 0; i < js_length(entries); i++) {
                bool chosen = false;

                if (js_bool_value(js_get(js_at(entries, i), "chosen"), &chosen) >= 0 && chosen)
                        return js_at(entries, i);
        }
        return NULL;
}

static void print_kernel(const Json *kernel) {
        const char *driver = js_string_value(js_get(kernel, "sev-guest-driver"));
        bool stub = false;

        (void) !js_bool_value(js_get(kernel, "efi-stub"), &stub);
        printf("kernel    ");
        put_place(kernel);
        printf("\n          %" PRIu64 " bytes, sha256 ", number(kernel, "size"));
        put_member(kernel, "sha256");
        printf("\n          Linux ");
        put_member(kernel, "version");
        printf(", EFI stub: %s, CONFIG_SEV_GUEST: %s\n", stub ? "yes" : "no", driver ?: "unknown");
}

static void print_found(const Json *j) {
        const Json *entry = chosen_entry(j), *initrds = js_get(j, "initrds"), *initrd = js_get(j, "initrd");

        printf("entry     ");
        put(js_string_value(js_get(entry, "title")) ?: js_string_value(js_get(entry, "id")));
        printf(" (%s: ", js_string_value(js_get(entry, "source")) ?: "-");
        put_member(entry, "file");
        printf(")\n");
        print_kernel(js_get(j, "kernel"));
        for (size_t i = 0; i < js_length(initrds); i++) {
                printf("%s", i == 0 ? "initrd    " : "          ");
                put_place(js_at(initrds, i));
                printf("\n");
        }
        if (!js_is_null(initrd)) {
                printf("          %" PRIu64 " bytes, sha256 ", number(initrd, "size"));
                put_member(initrd, "sha256");
                printf("\n");
        }
        printf("cmdline   ");
        put_member(j, "cmdline");
        printf("\n");
}

int extract_print(const Arguments *a, const char *image, const Json *j) {
        const Json *written = js_get(j, "written");

        if (a->common.json)
                return verb_print_json(j, a->common.style);
        printf("image     ");
        put(image);
        printf(" (%s, %" PRIu64 " bytes, partition table: %s)\n",
                        js_string_value(js_get(j, "format")) ?: "-", number(j, "size"),
                        js_string_value(js_get(j, "table")) ?: "-");
        if (a->list)
                print_list(j);
        else
                print_found(j);
        for (size_t i = 0; i < js_length(written); i++) {
                printf("%s", i == 0 ? "written   " : "          ");
                put(js_string_value(js_at(written, i)));
                printf("\n");
        }
        return 0;
}

int extract_print_container(const Arguments *a, const Json *j) {
        const Json *file = js_get(j, "file"), *layer = js_get(file, "layer"),
                   *written = js_get(j, "written");
        uint64_t outside = number(j, "ignored-entries");

        if (outside > 0)
                log_warning("%" PRIu64
                            " entries of the layers were ignored: their names have '..' or are too long",
                                outside);
        if (a->common.json)
                return verb_print_json(j, a->common.style);
        printf("image     ");
        put(js_string_value(js_get(j, "name")) ?: js_string_value(js_get(j, "source")));
        printf(" (%s, %" PRIu64 " layers)\n          ", js_string_value(js_get(j, "kind")) ?: "-",
                        number(j, "layers"));
        put_member(j, "manifest");
        printf("\nfile      ");
        put_member(file, "path");
        printf("\n          %" PRIu64 " bytes, sha256 ", number(file, "size"));
        put_member(file, "sha256");
        printf("\nlayer     %" PRIu64 " of %" PRIu64 ", ", number(layer, "number"), number(layer, "of"));
        put_member(layer, "content");
        printf("\n");
        if (js_length(written) > 0) {
                printf("written   ");
                put(js_string_value(js_at(written, 0)));
                printf("\n");
        }
        return 0;
}

void extract_warn(const Json *j, bool list) {
        static const char *const lists[] = { "notes", "problems" };
        _cleanup_strv_free_ char **problems = NULL;

        for (size_t k = 0; k < ELEMENTSOF(lists); k++) {
                const Json *l = js_get(j, lists[k]);

                for (size_t i = 0; i < js_length(l); i++)
                        log_warning("%s", js_string_value(js_at(l, i)) ?: "");
        }
        if (list)
                return;
        if (extract_kernel_problems(js_get(j, "kernel"), &problems) >= 0)
                STRV_FOREACH(p, problems)
                        log_warning("%s", *p);
        if (js_is_null(js_get(j, "cmdline")))
                log_warning("the image has no kernel command line for this kernel: pass one with root=... to launch it");
}
