/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-lock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "atomic-file.h"
#include "error.h"
#include "fd.h"
#include "file-check.h"
#include "strutil.h"

#define LOCK_SIZE_MAX (1024u * 1024u) /* some hundred bytes an input */
#define LOCK_FORMAT   "cvmspawn-lock-v1"
#define CMDLINE_MAX   (64u * 1024u) /* Linux takes 2 KiB on x86 */

/* The lock's directory as a path without links, with a slash at its end: what lies in it has the same name on other machines. */
static char *place_of(const char *path) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *directory = slash ? strndup(path, (size_t) (slash - path) + 1) : strdup(".");
        _cleanup_free_ char *real = directory ? realpath(directory, NULL) : NULL;
        char *place;

        return real && asprintf(&place, "%s/", streq(real, "/") ? "" : real) >= 0 ? place : NULL;
}

/* The parts, a copy, with labels that are relative to the lock where they can be. */
static int relative_parts(const char *path, const Json *parts, Json **ret) {
        _cleanup_free_ char *text = js_text(parts, JS_SHORT), *place = place_of(path);
        _cleanup_js_ Json *copy = NULL;
        int r = text ? js_parse(text, strlen(text), &copy, NULL) : -ENOMEM;

        for (void *i = r >= 0 ? js_iter(copy) : NULL; i && place; i = js_iter_next(copy, i)) {
                const Json *list = js_get(js_iter_value(i), "parts");

                for (size_t k = 0; k < js_length(list); k++) {
                        const char *label = js_string_value(js_get(js_at(list, k), "label")),
                                   *rest = label ? startswith(label, place) : NULL;

                        if (rest && *rest)
                                r = js_set((Json *) js_at(list, k), "label", js_string(rest));
                        if (r < 0)
                                return r;
                }
        }
        if (r >= 0)
                *ret = TAKE_PTR(copy);
        return r;
}

/* The kernel command line as text, NULL if there is none. Values of credentials are left out: a lock is made to be shared. */
static int cmdline_text(const LaunchPlan *plan, char **ret) {
        static const char word[] = "systemd.set_credential";
        const PlanPart *part = plan->cmdline.n_parts == 1 ? plan->cmdline.parts : NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        *ret = NULL;
        if (!part || part->length > CMDLINE_MAX)
                return 0;
        text = calloc(1, part->length + 1);
        if (!text)
                return -ENOMEM;
        r = fd_pread_exact(part->fd, text, part->length, part->offset);
        if (r < 0)
                return r;
        for (char *p = text; (p = strstr(p, word)); p++) {
                char *value = p + strcspn(p, ": "), *end = value;
                bool quoted = false;

                for (const char *q = text; q < value; q++)
                        quoted ^= *q == '"';
                for (; *end && (*end != ' ' || quoted); end++)
                        quoted ^= *end == '"';
                end -= end > value && end[-1] == '"'; /* stays, so that quotes are in pairs */
                if (*value == ':')
                        memmove(value + 1, end, strlen(end) + 1);
        }
        *ret = TAKE_PTR(text);
        return 0;
}

/* Everything that enters the digest: the plan's numbers and the hashes of the bytes, part by part. */
static int lock_json(const char *path, const LaunchPlan *plan, const MeasureAnswer *answer, Json **ret) {
        _cleanup_free_ char *words = NULL;
        Json *parts = NULL;
        int r = cmdline_text(plan, &words);

        if (r >= 0)
                r = relative_parts(path, js_get(answer->json, "parts"), &parts);
        if (r < 0)
                return r;
        r = js_build(ret, "{s:s, s:s, s:O, s:O, s:I, s:s, s:I, s:I, s:b, s:b, s:s?, s:o}", "format",
                        LOCK_FORMAT, "mode", coco_mode_to_string(plan->mode), "digest",
                        js_get(answer->json, "digest"), "digest-algorithm",
                        js_get(answer->json, "digest-algorithm"), "vcpus", (long long) plan->vcpus,
                        "cpu-model", plan->cpu_model, "guest-features", (long long) plan->sev.features,
                        "policy", (long long) plan->policy, "kernel-hashes", plan->sev.kernel_hashes,
                        "legacy-vm-type", plan->sev.legacy_vm_type, "command-line", words, "parts", parts);
        if (r >= 0 && plan->tdx.memory > 0)
                r = js_set(*ret, "memory", js_u64(plan->tdx.memory));
        if (r >= 0 && js_get(answer->json, "registers"))
                r = js_set(*ret, "registers", js_ref((Json *) js_get(answer->json, "registers")));
        if (r >= 0 && js_get(answer->json, "host-credentials"))
                r = js_set(*ret, "host-credentials",
                                js_ref((Json *) js_get(answer->json, "host-credentials")));
        return r;
}

static bool same(const Json *a, const Json *b) {
        _cleanup_free_ char *x = a ? js_text(a, JS_SHORT) : NULL, *y = b ? js_text(b, JS_SHORT) : NULL;

        return streq_ptr(x, y);
}

static const char *text_of(const Json *j, char **buffer) {
        free(*buffer);
        *buffer = j ? js_text(j, JS_SHORT) : strdup("none");
        return *buffer ?: "?";
}

/* Part by part: files may have moved, so labels do not count where the hash is the same. */
static void explain_input(const char *name, const Json *old, const Json *new, Text *t) {
        const Json *old_parts = js_get(old, "parts"), *new_parts = js_get(new, "parts");

        if (same(js_get(old, "sha256"), js_get(new, "sha256")))
                return;
        if (!old || !new || js_length(old_parts) != js_length(new_parts)) {
                text_putf(t, "; %s: %s", name,
                                !old                   ? "was not given"
                                                : !new ? "is missing now"
                                                       : "consists of different parts");
                return;
        }
        for (size_t i = 0; i < js_length(old_parts); i++) {
                const Json *a = js_at(old_parts, i), *b = js_at(new_parts, i);

                if (!same(js_get(a, "sha256"), js_get(b, "sha256")))
                        text_putf(t, "; %s changed: '%s' had sha256 %.16s..., now %.16s...", name,
                                        js_string_value(js_get(b, "label")) ?: "?",
                                        js_string_value(js_get(a, "sha256")) ?: "?",
                                        js_string_value(js_get(b, "sha256")) ?: "?");
        }
}

/* The kernel command line is shown as text, before and now: false if one of the texts is not known, or they do not differ. */
static bool explain_words(const Json *old, const Json *new, Text *t) {
        const char *was = js_string_value(js_get(old, "command-line")),
                   *is = js_string_value(js_get(new, "command-line"));

        if (!was || !is || streq(was, is))
                return false;
        text_putf(t, "; the kernel command line was '%s', now it is '%s'", was, is);
        return true;
}

static int explain(const char *path, const Json *old, const Json *new, char **reterr) {
        static const char *const numbers[] = { "mode", "vcpus", "memory", "cpu-model", "guest-features",
                "kernel-hashes", "legacy-vm-type" };
        static const char *const inputs[] = { "firmware", "kernel", "initrd", "cmdline" };
        _cleanup_free_ char *a = NULL, *b = NULL, *changes = NULL;
        _cleanup_(text_done) Text t = {};

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                if (!same(js_get(old, numbers[i]), js_get(new, numbers[i])))
                        text_putf(&t, "; %s was %s, now %s", numbers[i],
                                        text_of(js_get(old, numbers[i]), &a),
                                        text_of(js_get(new, numbers[i]), &b));
        for (size_t i = 0; i < ELEMENTSOF(inputs); i++)
                if (!streq(inputs[i], "cmdline") || !explain_words(old, new, &t))
                        explain_input(inputs[i], js_get(js_get(old, "parts"), inputs[i]),
                                        js_get(js_get(new, "parts"), inputs[i]), &t);

        if (text_finish(&t, &changes) < 0)
                return -ENOMEM;
        return error_set(reterr, -EBADE,
                        "--lock: the launch%s differs from the one in '%s'%s; to accept the new one, remove the file",
                        same(js_get(old, "digest"), js_get(new, "digest")) ? "" : " digest", path, changes);
}

/* Is everything the same that the launch digest does not cover, but the guest's further registers do? */
static bool same_registers(const LaunchPlan *plan, const Json *old, const Json *new) {
        static const char *const inputs[] = { "kernel", "initrd", "cmdline" };

        if (!coco_of(plan->mode)->event_log)
                return true;
        for (size_t i = 0; i < ELEMENTSOF(inputs); i++)
                if (!same(js_get(js_get(js_get(old, "parts"), inputs[i]), "sha256"),
                                    js_get(js_get(js_get(new, "parts"), inputs[i]), "sha256")))
                        return false;
        return same(js_get(old, "vcpus"), js_get(new, "vcpus")) &&
                        same(js_get(old, "memory"), js_get(new, "memory"));
}

static int compare(const char *path, const LaunchPlan *plan, const char *text, size_t size, const Json *new,
                char **reterr) {
        _cleanup_js_ Json *old = NULL;
        const char *format;
        int r = js_parse(text, size, &old, reterr);

        if (r < 0)
                return error_prefix(reterr, r, "--lock: '%s'", path);
        format = js_string_value(js_get(old, "format"));
        if (!format || !streq(format, LOCK_FORMAT))
                return error_set(reterr, -EBADMSG,
                                "--lock: '%s' is not a lock file of cvmspawn (no \"format\":\"%s\")", path,
                                LOCK_FORMAT);
        if (!same(js_get(old, "digest"), js_get(new, "digest")) || !same_registers(plan, old, new))
                return explain(path, old, new, reterr);
        /* Not part of any digest, but the processor enforces it. */
        if (!same(js_get(old, "policy"), js_get(new, "policy"))) {
                uint64_t was = 0, is = 0;

                if (js_u64_value(js_get(old, "policy"), &was) < 0 ||
                                js_u64_value(js_get(new, "policy"), &is) < 0)
                        return error_set(reterr, -EBADMSG,
                                        "--lock: '%s' is not a lock file of cvmspawn (no \"policy\")", path);
                return error_set(reterr, -EBADE,
                                "--lock: the guest policy differs from the one in '%s': it was 0x%" PRIx64
                                ", now 0x%" PRIx64 "; to accept the new one, remove the file",
                                path, was, is);
        }
        return 0;
}

int run_lock(const char *path, const LaunchPlan *plan, const MeasureAnswer *answer, bool write,
                LockOutcome *ret, char **reterr) {
        _cleanup_free_ char *text = NULL, *fresh = NULL, *line = NULL;
        _cleanup_(text_done) Text t = {};
        _cleanup_js_ Json *j = NULL;
        size_t size;
        int r;

        r = lock_json(path, plan, answer, &j);
        if (r < 0)
                return r;
        r = file_read_all(path, LOCK_SIZE_MAX, &text, &size);
        if (r >= 0) {
                *ret = LOCK_SAME;
                return compare(path, plan, text, size, j, reterr);
        }
        if (r != -ENOENT)
                return error_set(reterr, r, "--lock: cannot read '%s': %s", path, strerror(-r));

        *ret = LOCK_WRITTEN;
        fresh = js_text(j, JS_PRETTY);
        text_put(&t, fresh ?: "");
        text_put(&t, "\n");
        r = fresh ? text_finish(&t, &line) : -ENOMEM;
        if (r >= 0 && !write)
                r = file_check_parent(path);
        else if (r >= 0)
                r = file_write_atomic(path, line, strlen(line), 0644, 0);
        if (r < 0)
                return error_set(reterr, r, "--lock: cannot write '%s': %s", path, strerror(-r));
        return 0;
}
