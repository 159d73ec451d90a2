/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-lock.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "atomic-file.h"
#include "error.h"
#include "fd.h"
#include "strutil.h"

#define LOCK_SIZE_MAX (1024u * 1024u) /* some hundred bytes an input */
#define LOCK_FORMAT   "cvmspawn-lock-v1"

/* Everything that enters the digest: the plan's numbers and the hashes of the bytes, part by part. */
static int lock_json(const LaunchPlan *plan, const MeasureAnswer *answer, Json **ret) {
        return js_build(ret, "{s:s, s:s, s:O, s:O, s:I, s:s, s:I, s:I, s:b, s:b, s:O}", "format",
                        LOCK_FORMAT, "mode", sev_mode_to_string(plan->mode), "digest",
                        js_get(answer->json, "digest"), "digest-algorithm",
                        js_get(answer->json, "digest-algorithm"), "vcpus", (long long) plan->vcpus,
                        "cpu-model", plan->cpu_model, "guest-features", (long long) plan->guest_features,
                        "policy", (long long) plan->policy, "kernel-hashes", plan->kernel_hashes,
                        "legacy-vm-type", plan->legacy_vm_type, "parts", js_get(answer->json, "parts"));
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
                                                : !new ? "is not given any more"
                                                       : "has other parts");
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

static int explain(const char *path, const Json *old, const Json *new, char **reterr) {
        static const char *const numbers[] = { "mode", "vcpus", "cpu-model", "guest-features",
                "kernel-hashes", "legacy-vm-type" };
        static const char *const inputs[] = { "firmware", "kernel", "initrd", "words" };
        _cleanup_free_ char *a = NULL, *b = NULL, *changes = NULL;
        _cleanup_(text_done) Text t = {};

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                if (!same(js_get(old, numbers[i]), js_get(new, numbers[i])))
                        text_putf(&t, "; %s was %s, now %s", numbers[i],
                                        text_of(js_get(old, numbers[i]), &a),
                                        text_of(js_get(new, numbers[i]), &b));
        for (size_t i = 0; i < ELEMENTSOF(inputs); i++)
                explain_input(inputs[i], js_get(js_get(old, "parts"), inputs[i]),
                                js_get(js_get(new, "parts"), inputs[i]), &t);

        if (text_finish(&t, &changes) < 0)
                return -ENOMEM;
        return error_set(reterr, -EBADE,
                        "--lock: the launch digest is not the one in '%s'%s; if that is meant, remove the "
                        "file",
                        path, changes);
}

static int compare(const char *path, const char *text, size_t size, const Json *new, char **reterr) {
        _cleanup_js_ Json *old = NULL;
        const char *format;
        int r = js_parse(text, size, &old, reterr);

        if (r < 0)
                return error_prefix(reterr, r, "--lock: '%s'", path);
        format = js_string_value(js_get(old, "format"));
        if (!format || !streq(format, LOCK_FORMAT))
                return error_set(reterr, -EBADMSG,
                                "--lock: '%s' is no lock file of this program (no \"format\":\"%s\")", path,
                                LOCK_FORMAT);
        if (!same(js_get(old, "digest"), js_get(new, "digest")))
                return explain(path, old, new, reterr);
        /* Not part of any digest, but the processor enforces it. */
        if (!same(js_get(old, "policy"), js_get(new, "policy"))) {
                uint64_t was = 0, is = 0;

                if (js_u64_value(js_get(old, "policy"), &was) < 0 ||
                                js_u64_value(js_get(new, "policy"), &is) < 0)
                        return error_set(reterr, -EBADMSG,
                                        "--lock: '%s' is no lock file of this program (no \"policy\")", path);
                return error_set(reterr, -EBADE,
                                "--lock: the guest policy is not the one in '%s': it was 0x%" PRIx64
                                ", now 0x%" PRIx64 "; if that is meant, remove the file",
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

        r = lock_json(plan, answer, &j);
        if (r < 0)
                return r;
        r = file_read_all(path, LOCK_SIZE_MAX, &text, &size);
        if (r >= 0) {
                *ret = LOCK_SAME;
                return compare(path, text, size, j, reterr);
        }
        if (r != -ENOENT)
                return error_set(reterr, r, "--lock: cannot read '%s': %s", path, strerror(-r));

        *ret = LOCK_WRITTEN;
        if (!write)
                return 0;
        fresh = js_text(j, JS_PRETTY);
        text_put(&t, fresh ?: "");
        text_put(&t, "\n");
        r = fresh ? text_finish(&t, &line) : -ENOMEM;
        if (r >= 0)
                r = file_write_atomic(path, line, strlen(line), 0644, 0);
        if (r < 0)
                return error_set(reterr, r, "--lock: cannot write '%s': %s", path, strerror(-r));
        return 0;
}
