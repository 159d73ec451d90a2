/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "test.h"

#include <errno.h>
#include <stdio.h>

#include "options.h"
#include "strutil.h"

typedef struct Target {
        bool yes, no, boolean;
        char *string, **list;
        unsigned number;
        uint64_t big, usec, size;
} Target;

#define AT(member) offsetof(Target, member)

static const OptionRow rows[] = {
        { "verbose", 'v', OPTION_NONE, NULL, "General", "Say more", NULL, option_set_true, AT(yes), 0 },
        { "no", 'n', OPTION_NONE, NULL, NULL, "Say no", NULL, option_set_false, AT(no), 0 },
        { "bool", 0, OPTION_OPTIONAL, "BOOL", NULL, "yes or no", NULL, option_set_bool, AT(boolean), 0 },
        { "string", 's', OPTION_REQUIRED, "TEXT", "Values", "A text\nof two lines", "alpha beta",
                        option_set_string, AT(string), 0 },
        { "list", 'l', OPTION_REQUIRED, "ITEM", NULL, "Repeatable: it's [a] list", "@file", option_append,
                        AT(list), 0 },
        { "number", 0, OPTION_REQUIRED, "N", NULL, "A number", NULL, option_set_unsigned, AT(number), 0 },
        { "number-big", 0, OPTION_REQUIRED, "N", NULL, "A big number", NULL, option_set_u64, AT(big), 0 },
        { "usec", 0, OPTION_REQUIRED, "TIME", NULL, "A time", NULL, option_set_usec, AT(usec), 0 },
        { "size", 0, OPTION_REQUIRED, "BYTES", NULL, "A size", NULL, option_set_size, AT(size), 0 },
        { "alias", 0, OPTION_NONE, NULL, NULL, "Hidden", NULL, option_set_true, AT(yes), OPTION_HIDDEN },
        { "graphics", 0, OPTION_NONE, NULL, NULL, "there is no screen", NULL, NULL, 0, OPTION_UNSUPPORTED },
};

static const OptionTable table = {
        .program = "cvmspawn test-verb",
        .arguments = "FILE",
        .summary = "Tests options",
        .zone = "host",
        .epilog = "The end.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
};

static const OptionTable short_table = {
        .program = "x",
        .summary = "Tests abbreviations",
        .zone = "host",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .abbreviations = true,
};

static void target_done(Target *t) {
        free(t->string);
        strv_free(t->list);
        *t = (Target) {};
}

static int parse(const OptionTable *t, const char *line, Target *ret, char ***ret_arguments, char **reterr) {
        _cleanup_strv_free_ char **argv = NULL;

        assert_ok(strv_split(line, ' ', &argv));
        return options_parse(t, (int) strv_length(argv), argv, ret, ret_arguments, reterr);
}

static const OptionCommand commands[] = {
        { "show", "FILE", "Show it", "string bool number" },
        { "verify", NULL, "Verify it", "number" },
        { "wipe", NULL, "Wipe it", NULL },
};

static void subcommands(_unused_ void **state) {
        OptionTable scoped = table;
        static const struct {
                const char *line, *error;
        } cases[] = {
                { "prog show --string=x --number=1 --bool", NULL },
                { "prog verify --number=1", NULL },
                { "prog --string=x", "expected show, verify or wipe, see --help" },
                { "prog verify --string=x", "--string has no meaning for 'verify'; use it with 'show'" },
                { "prog -s x verify", "--string has no meaning for 'verify'; use it with 'show'" },
                { "prog wipe --number=1",
                                "--number has no meaning for 'wipe'; use it with 'show' or 'verify'" },
                { "prog show --usec=1", "--usec has no meaning for 'show'; remove it, see --help" },
                { "prog sho --number=1", "expected show, verify or wipe, not 'sho'; did you mean 'show'?" },
                { "prog xyz", "expected show, verify or wipe, not 'xyz'" },
        };

        scoped.commands = commands;
        scoped.n_commands = ELEMENTSOF(commands);
        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_(target_done) Target t = {};
                _cleanup_strv_free_ char **args = NULL;
                _cleanup_free_ char *error = NULL;
                int r = parse(&scoped, c->line, &t, &args, &error);

                if (c->error)
                        assert_string_equal(error, c->error);
                assert_int_equal(r, c->error ? -EINVAL : 0);
        }
}

/* Without a subcommand: allowed by a row without a name, whose list counts like any other. */
static void no_subcommand(_unused_ void **state) {
        static const OptionCommand list[] = { { NULL, NULL, NULL, "bool" },
                { "show", NULL, "Show it", "string" } };
        OptionTable scoped = table;
        _cleanup_(target_done) Target t = {};
        _cleanup_strv_free_ char **args = NULL;
        _cleanup_free_ char *error = NULL;

        scoped.commands = list;
        scoped.n_commands = ELEMENTSOF(list);
        assert_int_equal(parse(&scoped, "prog --bool", &t, &args, &error), 0);
        assert_int_equal(parse(&scoped, "prog --string=x", &t, &args, &error), -EINVAL);
        assert_string_equal(error, "--string has no meaning without a subcommand; use it with 'show'");
}

static void rules(_unused_ void **state) {
        static const OptionRule list[] = {
                { "string", NULL, "number bool", "text is not a number" },
                { "usec size", "list number", NULL, NULL },
        };
        OptionTable ruled = table;
        static const struct {
                const char *line, *error;
        } cases[] = {
                { "prog --string=x -v", NULL },
                { "prog --number=1 --bool", NULL },
                { "prog --string=x --bool",
                                "--bool has no meaning together with --string: text is not a number; remove one of them" },
                { "prog --number=1 -s x",
                                "--number has no meaning together with --string: text is not a number; remove one of them" },
                { "prog --usec=1", "--usec has no meaning without --list" },
                { "prog --usec=1 --number=1", NULL },
                { "prog --size=1 --list=a", NULL },
                { "prog word --size=1", "--size has no meaning without --list" },
        };

        ruled.rules = list;
        ruled.n_rules = ELEMENTSOF(list);
        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_(target_done) Target t = {};
                _cleanup_strv_free_ char **args = NULL;
                _cleanup_free_ char *error = NULL;
                int r = parse(&ruled, c->line, &t, &args, &error);

                assert_int_equal(r, c->error ? -EINVAL : 0);
                if (c->error)
                        assert_string_equal(error, c->error);
        }
}

static void all_forms(_unused_ void **state) {
        _cleanup_(target_done) Target t = { .no = true };
        _cleanup_strv_free_ char **args = NULL;
        _cleanup_free_ char *joined = NULL, *list = NULL;

        assert_ok(parse(&table,
                        "prog -vn first --bool --string=a=b -lone --list two -l three --number=0x10 "
                        "--number-big "
                        "18446744073709551615 --usec=2min --size 4K - second -- --verbose -x",
                        &t, &args, NULL));
        joined = strv_join(args, " ");
        list = strv_join(t.list, " ");
        assert_true(t.yes);
        assert_false(t.no);
        assert_true(t.boolean);
        assert_string_equal(t.string, "a=b");
        assert_string_equal(list, "one two three");
        assert_int_equal(t.number, 16);
        assert_int_equal(t.big, UINT64_MAX);
        assert_int_equal(t.usec, 120 * UINT64_C(1000000));
        assert_int_equal(t.size, 4096);
        assert_string_equal(joined, "first - second --verbose -x");
}

static void last_wins_and_empty(_unused_ void **state) {
        _cleanup_(target_done) Target t = {};
        _cleanup_strv_free_ char **args = NULL;

        assert_ok(parse(&table, "prog --string=a --string= --bool=yes --bool=no", &t, &args, NULL));
        assert_string_equal(t.string, "");
        assert_false(t.boolean);
        assert_null(args);
}

/* Each refusal is one specific sentence. */
static void refusals(_unused_ void **state) {
        static const struct {
                const char *line;
                int error;
                const char *sentence;
        } cases[] = {
                { "p --nothing", EINVAL, "unknown option '--nothing', see --help" },
                { "p --verb", EINVAL,
                                "unknown option '--verb'; did you mean --verbose? See "
                                "--help" }, /* no abbreviations here */
                { "p --stirng=a", EINVAL,
                                "unknown option '--stirng'; did you mean --string? See "
                                "--help" },
                { "p -vx", EINVAL, "unknown option '-x', see --help" },
                { "p --verbose=1", EINVAL, "option '--verbose' takes no value" },
                { "p --string", EINVAL, "option '--string' needs a value: --string=TEXT" },
                { "p -vs", EINVAL, "option '-s' needs a value: -s TEXT" },
                { "p --number=ten", EINVAL,
                                "--number: expected a number from 0 to 4294967295, not "
                                "'ten'" },
                { "p --number=-1", EINVAL,
                                "--number: expected a number from 0 to 4294967295, not "
                                "'-1'" },
                { "p --number=4294967296", ERANGE,
                                "--number: expected a number from 0 to 4294967295, not "
                                "'4294967296'" },
                { "p --number-big=1x", EINVAL,
                                "--number-big: expected a number (decimal, or hexadecimal "
                                "after 0x), not "
                                "'1x'" },
                { "p --bool=maybe", EINVAL, "--bool: expected yes or no, not 'maybe'" },
                { "p --usec=soon", EINVAL,
                                "--usec: expected a time such as 90, 500ms or '2min 30s', "
                                "not 'soon'" },
                { "p --size=4Q", EINVAL,
                                "--size: expected bytes with an optional suffix K, M, G or "
                                "T, not '4Q'" },
                { "p --graphics", EOPNOTSUPP,
                                "--graphics is known from systemd-vmspawn, not supported "
                                "yet: there is no "
                                "screen" },
                { "p --graphics=yes", EOPNOTSUPP,
                                "--graphics is known from systemd-vmspawn, not supported "
                                "yet: there is no "
                                "screen" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_(target_done) Target t = {};
                _cleanup_free_ char *why = NULL;
                char **args = NULL;

                assert_error(parse(&table, c->line, &t, &args, &why), c->error);
                assert_string_equal(why, c->sentence);
                assert_null(args);
        }
}

static void abbreviations(_unused_ void **state) {
        _cleanup_(target_done) Target t = {};
        _cleanup_strv_free_ char **args = NULL;
        _cleanup_free_ char *why = NULL;

        assert_ok(parse(&short_table, "p --verb --str=x --number=3", &t, &args, NULL));
        assert_true(t.yes);
        assert_string_equal(t.string, "x");
        assert_int_equal(t.number, 3); /* exact, though --number-big begins with it too */
        assert_error(parse(&short_table, "p --numb=3", &t, &args, &why), EINVAL);
        assert_string_equal(why, "option '--numb' is ambiguous, see --help");
}

static char *printed(void (*print)(const OptionTable *t, FILE *f)) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        print(&table, f);
        assert_ok(fclose(f));
        return text;
}

static void help(_unused_ void **state) {
        _cleanup_free_ char *text = printed(options_help);

        assert_string_equal(text,
                        "cvmspawn test-verb [OPTIONS...] FILE\n"
                        "\n"
                        "Tests options\n"
                        "Trust zone: host\n"
                        "\n"
                        "General:\n"
                        "  -v --verbose                    Say more\n"
                        "  -n --no                         Say no\n"
                        "     --bool[=BOOL]                yes or no\n"
                        "\n"
                        "Values:\n"
                        "  -s --string=TEXT                A text\n"
                        "                                  of two lines\n"
                        "  -l --list=ITEM                  Repeatable: it's [a] list\n"
                        "     --number=N                   A number\n"
                        "     --number-big=N               A big number\n"
                        "     --usec=TIME                  A time\n"
                        "     --size=BYTES                 A size\n"
                        "\n"
                        "The end.\n");
}

static void list(_unused_ void **state) {
        _cleanup_free_ char *text = printed(options_list);

        assert_non_null(startswith(text, "option\t--verbose\t\tSay more\n"));
        assert_non_null(strstr(text, "\noption\t--string\tTEXT\tA text\n"));
        assert_non_null(strstr(text, "\nunsupported\t--graphics\t\tthere is no screen\n"));
        assert_null(strstr(text, "alias"));
}

static void completion(_unused_ void **state) {
        _cleanup_free_ char *bash = printed(options_bash), *zsh = printed(options_zsh);

        assert_non_null(startswith(bash, "_cvmspawn_test_verb() {\n"));
        assert_non_null(strstr(bash, "--string|-s) COMPREPLY=($(compgen -W 'alpha beta'"));
        assert_null(strstr(bash, "graphics"));
        assert_null(strstr(bash, "alias"));
        assert_non_null(startswith(zsh, "_cvmspawn_test_verb() {\n"));
        assert_non_null(strstr(zsh, "'*--list=[Repeatable\\: it'\\''s \\[a\\] list]:ITEM:_files'"));
        assert_null(strstr(zsh, "graphics"));
}

/* First words are offered, files after them; a value that may be missing is offered after "=" only. */
static void completion_of_words(_unused_ void **state) {
        OptionTable with_words = table;
        char *bash = NULL, *zsh = NULL;
        size_t n;
        FILE *f;

        with_words.commands = commands;
        with_words.n_commands = ELEMENTSOF(commands);
        f = open_memstream(&bash, &n);
        options_bash(&with_words, f);
        assert_int_equal(fclose(f), 0);
        f = open_memstream(&zsh, &n);
        options_zsh(&with_words, f);
        assert_int_equal(fclose(f), 0);
        assert_non_null(strstr(
                        bash, "(( COMP_CWORD == 2 )) && COMPREPLY=($(compgen -W 'show verify wipe '"));
        assert_non_null(strstr(bash, "--bool) [[ $given ]] && "));
        assert_non_null(strstr(zsh, "'1:command:(show verify wipe )'"));
        assert_non_null(strstr(zsh, "'*--bool=-[yes or no]::BOOL:"));
        free(bash);
        free(zsh);
}

static void dump_requests(_unused_ void **state) {
        static const char *const no[][3] = {
                { "p", "--dump-options=nothing", NULL },
                { "p", "--dump-options", NULL },
                { "p", "list", NULL },
        };

        FOREACH_ARRAY(argv, no, ELEMENTSOF(no))
                assert_false(options_dump_requested(&table, 2, (char *const *) *argv));
        assert_false(options_dump_requested(&table, 1, (char *const *) no[0]));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(subcommands),
                cmocka_unit_test(no_subcommand),
                cmocka_unit_test(rules),
                cmocka_unit_test(all_forms),
                cmocka_unit_test(last_wins_and_empty),
                cmocka_unit_test(refusals),
                cmocka_unit_test(abbreviations),
                cmocka_unit_test(help),
                cmocka_unit_test(list),
                cmocka_unit_test(completion),
                cmocka_unit_test(completion_of_words),
                cmocka_unit_test(dump_requests),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
