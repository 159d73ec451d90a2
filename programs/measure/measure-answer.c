/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --expect: equal or different, why, and what to run next. */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "firmware-descriptor.h"
#include "json.h"
#include "measure-cli.h"
#include "measure-expect.h"
#include "strutil.h"

/* Images in the directory of the one that was given. */
static int add_neighbours(const char *path, char ***l) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *directory = slash ? strndup(path, (size_t) (slash - path) + 1) : strdup("./");
        DIR *dir;
        int r = 0;

        if (!directory)
                return -ENOMEM;
        dir = opendir(directory);
        if (!dir)
                return 0;
        for (struct dirent *e; r >= 0 && (e = readdir(dir));)
                if (endswith(e->d_name, ".fd") && !streq(e->d_name, slash ? slash + 1 : path))
                        r = strv_pushf(l, "%s%s", slash ? directory : "", e->d_name);
        (void) closedir(dir);
        return r;
}

/* All images that this machine knows besides the one that was measured. */
static int find_siblings(const char *path, char ***ret) {
        _cleanup_strv_free_ char **directories = NULL, **l = NULL;
        _cleanup_(firmware_list_done) FirmwareList list = {};
        int r;

        if (path) {
                r = add_neighbours(path, &l);
                if (r < 0)
                        return r;
        }
        r = firmware_directories(getenv, &directories);
        if (r >= 0)
                r = firmware_list_load(directories, &list, NULL);
        FOREACH_ARRAY(d, list.items, list.n_items) {
                if (r < 0)
                        return r;
                if (!d->problem && !streq_ptr(d->executable, path) && !strv_contains(l, d->executable))
                        r = strv_push(&l, d->executable);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

static int print_answers(
                const CliArguments *a, const MeasureContext *c, const ExpectResult *r, char *const *argv) {
        _cleanup_free_ char *hex = hex_encode(r->computed.bytes, r->computed.size), *command = NULL;
        int k;

        if (!hex)
                return -ENOMEM;
        if (r->equal)
                return printf("equal: %s\n", hex) < 0 ? -EIO : 0;
        if (printf("different: computed %s\n", hex) < 0)
                return -EIO;
        FOREACH_ARRAY(i, r->answers, r->n_answers)
                if (printf("that digest has %s%s%s\n", i->texts[0], i->n_changes > 1 ? " and " : "",
                                    i->n_changes > 1 ? i->texts[1] : "") < 0)
                        return -EIO;
        if (r->n_answers == 0 &&
                        printf("no one or two of the usual changes give that digest: firmware, kernel, initrd or command line have different bytes\n") <
                                        0)
                return -EIO;
        k = next_command(a, c, argv, r, &command);
        if (k < 0)
                return k;
        return printf("next: %s\n", command) < 0 ? -EIO : 0;
}

static int print_answers_json(const CliArguments *a, const MeasureContext *c, const ExpectResult *r,
                const uint8_t *expected, char *const *argv) {
        _cleanup_free_ char *command = NULL;
        _cleanup_js_ Json *j = NULL, *answers = js_array();
        int k;

        if (!answers)
                return -ENOMEM;
        FOREACH_ARRAY(answer, r->answers, r->n_answers) {
                Json *changes = js_array();

                for (size_t i = 0; i < answer->n_changes; i++) {
                        _cleanup_free_ char *option = next_option(argv, answer->options[i]);
                        Json *change = NULL;

                        k = js_build(&change, "{s:s, s:o}", "text", answer->texts[i], "option",
                                        js_string(option));
                        if (k < 0 || js_append(changes, change) < 0) {
                                js_unref(changes);
                                return -ENOMEM;
                        }
                }
                k = js_append(answers, changes);
                if (k < 0)
                        return k;
        }
        k = js_build(&j, "{s:b, s:o, s:o, s:O}", "equal", r->equal, "expected",
                        js_hex(expected, r->computed.size), "computed",
                        js_hex(r->computed.bytes, r->computed.size), "explanations", answers);
        if (k >= 0 && !r->equal) {
                k = next_command(a, c, argv, r, &command);
                if (k >= 0)
                        k = js_set(j, "next", js_string(command));
        }
        if (k < 0)
                return k;
        return verb_print_json(j, a->common.style);
}

int print_expectation(const CliArguments *a, const MeasureContext *c, char *const *argv, char **reterr) {
        const MeasureRequest *q = c->request;
        bool sha256 = q->mode == MEASURE_SEV || q->mode == MEASURE_SEV_ES;
        size_t n = sha256 ? SHA256_SIZE : SHA384_SIZE;
        _cleanup_(expect_result_done) ExpectResult result = {};
        _cleanup_strv_free_ char **siblings = NULL;
        uint8_t expected[SHA384_SIZE];
        int r;

        if (q->n_vcpus * q->n_cpus > 1)
                return error_set(reterr, -EINVAL,
                                "--expect compares one launch: pass one vCPU count and one CPU");
        r = bytes_from_text(a->expect, expected, n, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--expect");
        r = find_siblings(q->plan.firmware.n_parts > 0 ? q->plan.firmware.parts[0].label : NULL, &siblings);
        if (r >= 0)
                r = measure_expect(c, q->vcpus[0], q->cpus, expected, n, siblings, &result, reterr);
        if (r < 0)
                return r;
        r = a->common.json ? print_answers_json(a, c, &result, expected, argv)
                           : print_answers(a, c, &result, argv);
        return r < 0 ? r : result.equal ? 0 : MEASURE_DIFFERENT;
}
