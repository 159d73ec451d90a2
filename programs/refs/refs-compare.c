/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* refs diff: two bundles compared, for people and for scripts. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "error.h"
#include "refs-diff.h"
#include "refs.h"
#include "sev-cpu.h"
#include "strutil.h"

#define ROWS_SHOWN 8u /* of each kind and launch; --json has all */

static const char *text_of(const Json *o, const char *member) {
        return js_string_value(js_get(o, member));
}

static const char *input_name(const char *input) {
        return streq(input, "cmdline")        ? "kernel command line"
                        : streq(input, "vmm") ? "monitor (vmm)"
                                              : input;
}

static void print_inputs(const Json *inputs) {
        for (size_t i = 0; i < js_length(inputs); i++) {
                const Json *x = js_at(inputs, i);
                const char *old = text_of(x, "old"), *new = text_of(x, "new"), *part = text_of(x, "part");

                printf("  %s%s%s%s: %.16s -> %.16s\n", input_name(text_of(x, "input")), part ? " (" : "",
                                part ?: "", part ? ")" : "", old ?: "none", new ?: "none");
        }
        if (js_length(inputs) == 0)
                puts("  the recorded inputs are the same");
}

/* Of a TD: those that differ. */
static void print_registers(const Json *registers) {
        for (size_t i = 0; i < js_length(registers); i++) {
                const Json *x = js_at(registers, i);

                printf("      %s: %.16s -> %.16s\n", text_of(x, "register"), text_of(x, "old") ?: "none",
                                text_of(x, "new") ?: "none");
        }
}

static void print_row(const Json *row) {
        const char *old = text_of(row, "old"), *new = text_of(row, "new"), *name = text_of(row, "cpu-model");
        _cleanup_free_ char *model = name ? strdup(name) : NULL;
        uint64_t vcpus = 0, signature = 0;
        bool has_signature = js_u64_value(js_get(row, "vcpu-sig"), &signature) >= 0;

        text_flatten(model, SIZE_MAX);
        fputs("   ", stdout);
        if (js_u64_value(js_get(row, "vcpus"), &vcpus) >= 0)
                printf(" %" PRIu64 " vCPU%s", vcpus, vcpus == 1 ? "" : "s");
        if (model)
                printf(" %s", model);
        else if (has_signature)
                printf(" CPU signature 0x%" PRIx64, signature);
        if (vcpus == 0)
                fputs(" any vCPUs", stdout);
        printf(": %.16s%s%.16s\n", old ?: "", old && new && !streq(old, new) ? " -> " : "",
                        old && new && streq(old, new) ? "" : new ?: "");
        print_registers(js_get(row, "registers"));
}

static void print_rows(const char *what, const Json *rows) {
        size_t n = js_length(rows);

        if (n == 0)
                return;
        printf("  %s: %zu row%s\n", what, n, n == 1 ? "" : "s");
        for (size_t i = 0; i < MIN(n, (size_t) ROWS_SHOWN); i++)
                print_row(js_at(rows, i));
        if (n > ROWS_SHOWN)
                printf("    and %zu more\n", n - ROWS_SHOWN);
}

static void print_launch(const Json *l) {
        const char *old = text_of(l, "old"), *new = text_of(l, "new");

        printf("%s %s\n",
                        old && new            ? "launch"
                                        : old ? "launch that went:"
                                              : "launch that came:",
                        new ?: old);
        if (old && new)
                print_inputs(js_get(l, "inputs"));
        print_rows("changed", js_get(l, "changed"));
        print_rows("came", js_get(l, "came"));
        print_rows("went", js_get(l, "went"));
}

static void print_expectation(const Json *x) {
        const char *what = text_of(x, "what"), *old = text_of(x, "old"), *new = text_of(x, "new"),
                   *none = streq(what, "expires") ? "never" : "none";
        bool lowered;

        if (js_bool_value(js_get(x, "lowered"), &lowered) < 0)
                lowered = false;
        printf("%s: %s -> %s%s\n", what, old ?: none, new ?: none, lowered ? " (LOWERED)" : "");
}

static void print_diff(const Json *j, const char *old, const char *new, bool complete) {
        const Json *launches = js_get(j, "launches"), *expectations = js_get(j, "expectations"),
                   *rows = js_get(j, "rows");
        uint64_t counts[4] = {};
        static const char *const names[] = { "same", "changed", "came", "went" };

        for (size_t i = 0; i < js_length(launches); i++)
                print_launch(js_at(launches, i));
        for (size_t i = 0; i < js_length(expectations); i++)
                print_expectation(js_at(expectations, i));
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (js_u64_value(js_get(rows, names[i]), counts + i) < 0)
                        counts[i] = 0;
        printf("rows: %" PRIu64 " same, %" PRIu64 " changed, %" PRIu64 " came, %" PRIu64 " went\n",
                        counts[0], counts[1], counts[2], counts[3]);
        printf(complete ? "every row of %s is in %s\n" : "not every row of %s is in %s\n", old, new);
}

int refs_compare(const RefsArguments *a, char **words, char **reterr) {
        _cleanup_(refs_file_done) RefsFile old = {}, new = {};
        _cleanup_js_ Json *j = NULL;
        bool complete;
        int r = refs_open(a, words[0], &old, reterr);

        if (r >= 0)
                r = refs_open(a, words[1], &new, reterr);
        if (r < 0)
                return refs_status(r, reterr);
        r = refs_diff(&old.bundle, &new.bundle, &j, &complete);
        if (r < 0)
                return r;
        if (a->common.json) {
                r = verb_print_json(j, a->common.style);
                if (r < 0)
                        return r;
        } else
                print_diff(j, words[0], words[1], complete);
        return complete ? 0 : REFS_NOT_MET;
}
