/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `cvmspawn run-matrix FILE`: many guests, some at once, with the results that a CI server shows. */

#include "run-matrix.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "input.h"
#include "log.h"
#include "matrix-report.h"
#include "process.h"
#include "strutil.h"

#define STATUS_SOME_NOT 3
#define RETRY_MAX       100u
#define JOBS_MAX        1024u

#define AT(member) offsetof(Arguments, member)

static int set_jobs(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        return option_set_number(userdata, row, value, 1, JOBS_MAX, reterr);
}

static int set_retry(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        uint64_t number;

        if (parse_u64_max(value, RETRY_MAX, &number) < 0)
                return error_set(reterr, -ERANGE, "expected a number from 0 to %u, not '%s'", RETRY_MAX,
                                value);
        return option_set_string(userdata, row, value, reterr);
}

static int set_status(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        return option_set_number(userdata, row, value, 0, 255, reterr);
}

static const OptionRow rows[] = {
        { "jobs", 'J', OPTION_REQUIRED, "N", "Guests",
                        "Run at most N guests at once (default: as the file says,\notherwise one for each processor)",
                        NULL, set_jobs, AT(jobs), 0 },
        { "guest", 0, OPTION_REQUIRED, "NAME", NULL, "Run only this guest (repeatable)", NULL, option_append,
                        AT(guests), OPTION_LIST },
        { "launch", 0, OPTION_REQUIRED, "NAME", NULL,
                        "Run one guest of this name with the options of cvmspawn\nafter --, in place of a file",
                        NULL, option_set_once, AT(launch), 0 },
        { "expect-status", 0, OPTION_REQUIRED, "N", NULL,
                        "Expect this exit status of the guest of --launch=\n(default: 0)", NULL, set_status,
                        AT(expect_status), 0 },
        { "retry", 0, OPTION_REQUIRED, "N", NULL,
                        "Run a guest that does not pass up to N times more\n(default: as the file says, otherwise 0)",
                        NULL, set_retry, AT(retry), OPTION_STRING },
        { "fail-fast", 0, OPTION_NONE, NULL, NULL, "End all guests when one has not passed", NULL,
                        option_set_true, AT(fail_fast), 0 },
        { "output", 'o', OPTION_REQUIRED, "DIR", "Output",
                        "Write logs and results to this directory\n(default: matrix-results)", "@dir",
                        option_set_string, AT(output), 0 },
        { "print", 0, OPTION_NONE, NULL, NULL, "Print the guests with their options as JSON and run nothing",
                        NULL, option_set_true, AT(print), 0 },
        { "quiet", 'q', OPTION_NONE, NULL, NULL, "Print errors only", NULL, option_set_true, AT(quiet), 0 },
        VERB_ROWS(NULL),
};

static const OptionRule rules[] = {
        { "launch", NULL, "guest jobs", "it is one guest" },
        { "expect-status", "launch", NULL, "guests of a file have theirs there" },
        { "print", NULL, "jobs retry fail-fast output quiet", "nothing is run" },
};

static const OptionTable table = {
        .program = "cvmspawn run-matrix",
        .arguments = "FILE | --launch=NAME -- LAUNCH...",
        .summary = "Run many guests from one JSON or YAML file, and write logs, JUnit XML and JSON lines.",
        .zone = "host",
        .epilog = "LAUNCH are options and arguments of cvmspawn. Exit status: 0 all guests passed,\n"
                  "3 some did not, 1 usage error or failure, 128+N interrupted by signal N. Manual: cvmspawn-run-matrix(1).",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
};

static bool is_yaml(const char *path, const char *text, size_t n) {
        size_t blank = strspn(text, " \t\r\n");

        if (endswith(path, ".yaml") || endswith(path, ".yml"))
                return true;
        return !endswith(path, ".json") && blank < n && text[blank] != '{';
}

static int read_matrix(const char *path, Matrix *ret, char **reterr) {
        const bool standard = streq(path, "-");
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r = input_read(NULL, standard ? "/dev/stdin" : path, MATRIX_FILE_MAX, &text, &n, reterr);

        if (r < 0)
                return r;
        r = matrix_parse(text, n, is_yaml(path, text, n), ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "'%s'", path) : 0;
}

/* The folder of the file, or the working directory for standard input. */
static int open_source(const char *path, char **reterr) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *folder = slash ? strndup(path, (size_t) (slash - path) + 1) : strdup(".");
        int fd;

        if (!folder)
                return -ENOMEM;
        fd = fd_open(folder, O_RDONLY | O_DIRECTORY, 0);
        return fd < 0 ? error_set(reterr, fd, "cannot open the directory '%s': %s", folder, strerror(-fd))
                      : fd;
}

static bool wanted(const Arguments *a, const MatrixGuest *g) {
        return !a->guests || strv_contains(a->guests, g->name);
}

static int choose(const Arguments *a, Matrix *matrix, MatrixRun *m, char **reterr) {
        uint64_t retry;

        STRV_FOREACH(name, a->guests) {
                bool found = false;

                FOREACH_ARRAY(g, matrix->guests, matrix->n_guests)
                        found = found || streq(g->name, *name);
                if (!found)
                        return error_set(reterr, -ENOENT, "--guest: the file has no guest '%s'", *name);
        }
        m->results = calloc(matrix->n_guests, sizeof(MatrixResult));
        if (!m->results)
                return -ENOMEM;
        FOREACH_ARRAY(g, matrix->guests, matrix->n_guests) {
                if (!wanted(a, g))
                        continue;
                if (a->retry && parse_u64(a->retry, &retry) >= 0)
                        g->retry = (unsigned) retry;
                m->results[m->n++].guest = g;
        }
        return 0;
}

static unsigned processors(void) {
        cpu_set_t set;

        return sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : (unsigned) CPU_COUNT(&set);
}

static int print(const MatrixRun *m) {
        FOREACH_ARRAY(r, m->results, m->n) {
                _cleanup_js_ Json *j = NULL, *arguments = js_strv(r->guest->arguments);
                int k = arguments ? js_build(&j, "{s:s, s:O, s:I, s:I}", "guest", r->guest->name,
                                                    "arguments", arguments, "expected-status",
                                                    (long long) r->guest->expect_status, "retry",
                                                    (long long) r->guest->retry)
                                  : -ENOMEM;

                if (k >= 0)
                        k = verb_print_json(j, m->args->common.style);
                if (k < 0)
                        return k;
        }
        return 0;
}

/* The last line, and the status. */
static int conclude(const MatrixRun *m) {
        MatrixCounts c = matrix_count(m->results, m->n);

        if (!m->args->quiet)
                log_notice("%zu passed, %zu failed, %zu with errors, %zu not run to their end; results in '%s'",
                                c.passed, c.failed, c.errors, c.skipped,
                                m->args->output ?: "matrix-results");
        if (m->signal > 0)
                return 128 + m->signal;
        return c.passed == m->n ? 0 : STATUS_SOME_NOT;
}

static int run_all(MatrixRun *m, const char *path, char **reterr) {
        int r = matrix_check(m, reterr), k;

        if (r < 0)
                return m->args->launch ? r : error_prefix(reterr, r, "'%s'", path);
        r = matrix_output_open(m->args, m, reterr);
        if (r >= 0)
                r = matrix_show_new(m, &m->show);
        if (r >= 0)
                r = matrix_run(m, reterr);
        if (m->lines < 0)
                return r;
        /* After a failure as well: what has ended has a result. */
        k = matrix_output_finish(m, path, reterr);
        return r < 0 ? r : k < 0 ? k : conclude(m);
}

static void run_done(MatrixRun *m) {
        m->show = matrix_show_free(m->show);
        FOREACH_ARRAY(r, m->results, m->n)
                matrix_result_done(r);
        free(m->results);
        (void) fd_close(m->source);
        (void) fd_close(m->output);
        (void) fd_close(m->lines);
}

static int run_matrix_run(void *arguments, char **words, char **reterr) {
        Arguments *a = arguments;
        _cleanup_(matrix_done) Matrix matrix = {};
        _cleanup_(run_done) MatrixRun m = { .args = a, .source = -EBADF, .output = -EBADF, .lines = -EBADF };
        _cleanup_free_ char *program = NULL;
        int r;

        if (a->launch)
                r = matrix_single(a->launch, words, a->expect_status, &matrix, reterr);
        else if (strv_length(words) != 1)
                return error_set(reterr, -EINVAL, "expected one file; see --help");
        else
                r = read_matrix(words[0], &matrix, reterr);
        if (r >= 0)
                r = choose(a, &matrix, &m, reterr);
        if (r >= 0 && a->print)
                return print(&m);
        if (r >= 0) {
                r = process_find_beside("spawn", &program);
                if (r == -ENOENT)
                        r = error_set(reterr, r, "the program 'spawn' is not installed beside this one");
        }
        if (r < 0)
                return r;
        m.program = program;
        m.source = open_source(a->launch ? "-" : words[0], reterr);
        if (m.source < 0)
                return m.source;
        m.jobs = a->jobs > 0 ? a->jobs : matrix.jobs > 0 ? matrix.jobs : processors();
        return run_all(&m, a->launch ?: words[0], reterr);
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(Arguments),
        .common = AT(common),
        .run = run_matrix_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
