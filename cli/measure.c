/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn measure: what the launch digest of a guest will be. */

#include <errno.h>
#include <stdio.h>

#include "error.h"
#include "fd.h"
#include "json.h"
#include "log.h"
#include "measure-plan.h"
#include "options.h"
#include "plan.h"
#include "strutil.h"

/* A plan names a handful of parts. */
#define PLAN_SIZE_MAX (1024u * 1024u)

typedef struct Arguments {
        char *plan_fd;
} Arguments;

static const OptionRow rows[] = {
        { .name = "plan-fd",
                        .arg = OPTION_REQUIRED,
                        .metavar = "FD",
                        .help = "answers a launcher: reads its plan from this descriptor",
                        .handler = option_set_string,
                        .offset = offsetof(Arguments, plan_fd),
                        .flags = OPTION_HIDDEN },
};

static const OptionTable table = {
        .program = "cvmspawn measure",
        .summary = "Computes and explains the launch digest of a guest",
        .zone = "verifier",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
};

static void arguments_done(Arguments *a) {
        free(a->plan_fd);
}

static int answer_plan(const char *number, char **reterr) {
        _cleanup_(launch_plan_done) LaunchPlan plan = {};
        _cleanup_js_ Json *j = NULL, *answer = NULL;
        _cleanup_free_ char *text = NULL, *line = NULL;
        unsigned fd;
        size_t size;
        int r;

        r = parse_unsigned(number, &fd);
        if (r < 0)
                return error_set(reterr, r, "--plan-fd: '%s' is no descriptor number", number);
        r = fd_read_all((int) fd, PLAN_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_set(reterr, r, "cannot read the launch plan: %s", strerror(-r));
        r = js_parse(text, size, &j, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "launch plan");
        r = launch_plan_from_json(j, &plan, reterr);
        if (r < 0)
                return r;
        r = measure_plan(&plan, &answer, reterr);
        if (r < 0)
                return r;
        line = js_text(answer, JS_SHORT);
        if (!line)
                return -ENOMEM;
        return printf("%s\n", line) < 0 || fflush(stdout) != 0 ? -EIO : 0;
}

static int run(int argc, char **argv, char **reterr) {
        _cleanup_(arguments_done) Arguments a = {};
        _cleanup_strv_free_ char **words = NULL;
        int r;

        r = options_parse(&table, argc, argv, &a, &words, reterr);
        if (r < 0)
                return r;
        if (strv_length(words) > 0)
                return error_set(reterr, -EINVAL, "unexpected argument '%s'", words[0]);
        if (a.plan_fd)
                return answer_plan(a.plan_fd, reterr);
        return error_set(reterr, -EINVAL, "nothing to measure: see --help");
}

int main(int argc, char **argv) {
        _cleanup_free_ char *error = NULL;
        int r;

        log_open("cvmspawn measure", /* quiet= */ false);
        if (options_dump_requested(&table, argc, argv))
                return 0;
        r = run(argc, argv, &error);
        return r < 0 ? (log_failure(r, error), 1) : 0;
}
