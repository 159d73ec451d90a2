/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Scanning a compressed initrd takes 5 ms for each MiB: the result is kept, under the SHA-256 of the bytes. */

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "atomic-file.h"
#include "fd.h"
#include "run-scan.h"
#include "strutil.h"

#define FOLDER    "initrds"
#define FORMAT    "cvmspawn-initrd/1" /* another one when a scan finds out something else */
#define SIZE_MAX_ ((size_t) 4096)

static const char *text_of(const Json *part, const char *member) {
        return js_string_value(js_get(part, member)) ?: "";
}

int run_known_key(const Json *answer, char **ret) {
        const Json *parts = js_get(js_get(js_get(answer, "parts"), "initrd"), "parts"), *only = NULL;
        uint64_t size;

        *ret = NULL;
        for (size_t i = 0; i < js_length(parts); i++) {
                const char *label = text_of(js_at(parts, i), "label");

                if (streq(label, "padding") || (streq(label, "credentials") && i + 1 == js_length(parts)))
                        continue;
                if (only)
                        return 0;
                only = js_at(parts, i);
        }
        if (!only || strlen(text_of(only, "sha256")) != 64 || js_u64_value(js_get(only, "size"), &size) < 0)
                return 0;
        if (asprintf(ret, "%" PRIu64 "-%s", size, text_of(only, "sha256")) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

bool run_known_size(uint64_t size) {
        _cleanup_free_ char *folder = NULL;
        char begin[32];
        bool found = false;
        DIR *d;

        if (cache_folder(FOLDER, &folder) < 0 || !folder)
                return false;
        d = opendir(folder);
        if (!d)
                return false;
        (void) snprintf(begin, sizeof(begin), "%" PRIu64 "-", size);
        for (struct dirent *e = readdir(d); e && !found; e = readdir(d))
                found = startswith(e->d_name, begin);
        (void) closedir(d);
        return found;
}

static char *path_of(const char *key, bool make) {
        _cleanup_free_ char *folder = NULL;
        char *path;

        if (cache_folder(FOLDER, &folder) < 0 || !folder || (make && make_directories(folder) < 0))
                return NULL;
        return asprintf(&path, "%s/%s", folder, key) < 0 ? NULL : path;
}

bool run_known_load(const char *key, ScanFacts *ret) {
        static const JsField fields[] = {
                { "initrd-release", JS_FIELD_BOOL, offsetof(ScanFacts, initrd_release), true, NULL },
                { "sh", JS_FIELD_BOOL, offsetof(ScanFacts, has_sh), true, NULL },
                { "systemd", JS_FIELD_UNSIGNED, offsetof(ScanFacts, systemd_version), true, NULL },
                { "content", JS_FIELD_U64, offsetof(ScanFacts, content), true, NULL },
        };
        _cleanup_free_ char *path = path_of(key, /* make= */ false), *text = NULL;
        _cleanup_js_ Json *j = NULL;
        ScanFacts facts = { .lasting = true };
        size_t n;

        if (!path || file_read_all(path, SIZE_MAX_, &text, &n) < 0 || js_parse(text, n, &j, NULL) < 0 ||
                        !streq(text_of(j, "format"), FORMAT) ||
                        js_dispatch(j, fields, ELEMENTSOF(fields), /* foreign= */ true, &facts, NULL) < 0)
                return false;
        *ret = facts;
        return true;
}

void run_known_store(const char *key, const ScanFacts *facts) {
        _cleanup_free_ char *path = path_of(key, /* make= */ true), *text = NULL;
        _cleanup_js_ Json *j = NULL;

        if (!path ||
                        js_build(&j, "{s:s, s:b, s:b, s:I, s:I}", "format", FORMAT, "initrd-release",
                                        facts->initrd_release, "sh", facts->has_sh, "systemd",
                                        (long long) facts->systemd_version, "content",
                                        (long long) facts->content) < 0)
                return;
        text = js_text(j, JS_SHORT);
        /* A full disk, or a folder that is not ours: the next launch scans again. */
        if (text)
                (void) !file_write_atomic(path, text, strlen(text), 0644, ATOMIC_FILE_REPLACE);
}
