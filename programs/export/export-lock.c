/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --lock=: a launch that was written down by the launcher (launcher/run/run-lock.h). Without launch options it is the description of the launch; in each
 * case the launch that is exported must have its digest, which the measure program computes. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "export-cli.h"
#include "input.h"
#include "json.h"
#include "measure-child.h"
#include "strutil.h"

#define LOCK_SIZE_MAX (1024u * 1024u)
#define LOCK_FORMAT   "cvmspawn-lock-v1"

static int read_lock(const char *path, Json **ret, char **reterr) {
        _cleanup_js_ Json *j = NULL;
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r = input_read("lock", path, LOCK_SIZE_MAX, &text, &size, reterr);

        if (r < 0)
                return r;
        r = js_parse(text, size, &j, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--lock: '%s'", path);
        if (!streq_ptr(js_string_value(js_get(j, "format")), LOCK_FORMAT) ||
                        !js_string_value(js_get(j, "digest")))
                return error_set(reterr, -EINVAL,
                                "--lock: '%s' is not a lock file of cvmspawn (no \"format\":\"%s\")", path,
                                LOCK_FORMAT);
        *ret = TAKE_PTR(j);
        return 0;
}

/* --- as launch options --------------------------------------------------------------------------------------------------- */

/* A file of the lock, which is named relative to it. */
static int put_file(const char *path, const Json *lock, const char *input, const char *option, char ***l,
                char **reterr) {
        const Json *list = js_get(js_get(js_get(lock, "parts"), input), "parts");
        const char *label = js_string_value(js_get(js_at(list, 0), "label")), *slash = strrchr(path, '/');

        if (!list)
                return 0;
        if (js_length(list) != 1 || !label)
                return error_set(reterr, -EINVAL,
                                "--lock: the %s of '%s' was put together from %zu parts: pass the launch options that made it, and they are compared with the lock",
                                input, path, js_length(list));
        return strv_pushf(l, "--%s=%.*s%s", option, slash && *label != '/' ? (int) (slash - path) + 1 : 0,
                        path, label);
}

static int put_number(const Json *lock, const char *key, const char *option, const char *format, char ***l,
                char **reterr) {
        uint64_t n;

        if (js_u64_value(js_get(lock, key), &n) < 0)
                return error_set(reterr, -EINVAL, "--lock: the member %s is not a number", key);
        return strv_pushf(l, format[0] == 'x' ? "--%s=0x%llx" : "--%s=%llu", option, (unsigned long long) n);
}

static int put_policy(const Json *lock, const Coco *coco, char ***l, char **reterr) {
        uint64_t policy;

        if (js_u64_value(js_get(lock, "policy"), &policy) < 0)
                return error_set(reterr, -EINVAL, "--lock: the member policy is not a number");
        return strv_pushf(l, "--coco-policy=0x%" PRIx64 "%s", policy,
                        coco_policy_allows_debug(coco, policy) ? ",debug" : "");
}

/* Everything that enters the digest. */
static int put_options(const char *path, const Json *lock, char ***l, char **reterr) {
        const char *mode = js_string_value(js_get(lock, "mode")),
                   *cpu = js_string_value(js_get(lock, "cpu-model"));
        const Coco *coco = coco_of(mode ? coco_mode_from_string(mode) : COCO_NONE);
        bool legacy = false;
        int r;

        if (!mode || !coco->qemu_object || !cpu)
                return error_set(reterr, -EINVAL, "--lock: the member mode or cpu-model is missing");
        r = strv_pushf(l, "--coco=%s", mode);
        if (r >= 0)
                r = strv_pushf(l, "--cpu=%s", cpu);
        if (r >= 0)
                r = put_number(lock, "vcpus", "cpus", "u", l, reterr);
        if (r >= 0 && coco->guest_features)
                r = put_number(lock, "guest-features", "guest-features", "x", l, reterr);
        if (r >= 0)
                r = put_policy(lock, coco, l, reterr);
        if (r >= 0 && js_bool_value(js_get(lock, "legacy-vm-type"), &legacy) >= 0 && legacy)
                r = strv_push(l, "--sev-vm-type=legacy");
        if (r >= 0)
                r = put_file(path, lock, "firmware", "firmware", l, reterr);
        if (r >= 0)
                r = put_file(path, lock, "kernel", "linux", l, reterr);
        return r >= 0 ? put_file(path, lock, "initrd", "initrd", l, reterr) : r;
}

/* The kernel command line goes behind all options. */
static int put_words(const char *path, const Json *lock, char ***l, char **reterr) {
        const char *words = js_string_value(js_get(lock, "command-line"));
        int r;

        if (!js_get(js_get(lock, "parts"), "kernel"))
                return 0;
        if (!words)
                return error_set(reterr, -EINVAL,
                                "--lock: '%s' does not have the kernel command line: pass the launch options",
                                path);
        r = strv_push(l, "--exact-words");
        if (r >= 0)
                r = strv_push(l, "--");
        return r >= 0 && *words ? strv_push(l, words) : r;
}

static bool described(char *const *launcher) {
        for (size_t i = 1; launcher[i] && !streq(launcher[i], "--"); i++)
                if (startswith(launcher[i], "--coco=") || streq(launcher[i], "--coco"))
                        return true;
        return false;
}

int export_lock_options(const char *path, char ***launcher, char **reterr) {
        _cleanup_strv_free_ char **out = NULL;
        _cleanup_js_ Json *lock = NULL;
        int r = read_lock(path, &lock, reterr);

        if (r < 0 || described(*launcher))
                return r;
        r = strv_push(&out, (*launcher)[0]);
        if (r >= 0)
                r = put_options(path, lock, &out, reterr);
        for (size_t i = 1; r >= 0 && (*launcher)[i]; i++)
                r = streq((*launcher)[i], "--")
                                ? error_set(reterr, -EINVAL,
                                                  "--lock: the kernel command line is that of the lock: leave it out, or pass all launch options")
                                : strv_push(&out, (*launcher)[i]);
        if (r >= 0)
                r = put_words(path, lock, &out, reterr);
        if (r < 0)
                return r;
        strv_free(*launcher);
        *launcher = TAKE_PTR(out);
        return 0;
}

/* --- compared ------------------------------------------------------------------------------------------------------------ */

int export_lock_check(const char *path, char *const *launcher, const ExportGuest *g, char **reterr) {
        _cleanup_free_ char *digest = NULL;
        _cleanup_js_ Json *lock = NULL;
        uint64_t policy;
        int status, r = read_lock(path, &lock, reterr);

        if (r >= 0)
                r = measure_child(launcher + 1, &digest, &status, reterr);
        if (r < 0)
                return r;
        if (status != 0)
                return error_set(reterr, -EINVAL, "--lock: the launch could not be measured");
        if (!streq(digest, js_string_value(js_get(lock, "digest"))))
                return error_set(reterr, -EINVAL,
                                "--lock: the launch digest is %s, and '%s' has %s: an input has changed ('cvmspawn --lock=' with the launch options names it)",
                                digest, path, js_string_value(js_get(lock, "digest")));
        if (js_u64_value(js_get(lock, "policy"), &policy) < 0 || policy != g->policy)
                return error_set(reterr, -EINVAL,
                                "--lock: the guest policy differs from the one in '%s': it is 0x%" PRIx64,
                                path, g->policy);
        return 0;
}
