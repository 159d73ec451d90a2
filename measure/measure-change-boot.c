/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Changes of a launch before its VMSAs: kernel hashes, kernel command line, initrd. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fd.h"
#include "measure-change.h"
#include "measure-tail.h"
#include "strutil.h"

/* The kernel takes at most 2048 bytes of command line; a longer one is not searched. */
#define WORDS_SIZE_MAX 65536u

/* What launchers add before the kernel command line. */
static const char *const known_prefixes[] = { "console=ttyS0 ", "console=hvc0 ", "console=ttyS0,115200 " };

/* With control characters in the form $'...' of bash, ksh and zsh. */
char *change_append_option(const char *words) {
        bool control = strpbrk(words, "\t\r\n") != NULL;
        _cleanup_(text_done) Text t = {};
        char *s;

        text_put(&t, control ? "--append=$'" : "--append='");
        for (; *words; words++)
                if (*words == '\'')
                        text_put(&t, control ? "\\'" : "'\\''");
                else if (control && *words == '\\')
                        text_put(&t, "\\\\");
                else if (*words == '\n' || *words == '\r' || *words == '\t')
                        text_put(&t, *words == '\n' ? "\\n" : *words == '\r' ? "\\r" : "\\t");
                else
                        text_put_n(&t, words, 1);
        text_put(&t, "'");
        return text_finish(&t, &s) < 0 ? NULL : s;
}

/* n bytes, with the NUL where one is measured. */
static int add_words(ChangeList *l, const LaunchSpec *base, const char *words, size_t n, const char *what,
                bool option) {
        Change c = { .dimension = CHANGE_CMDLINE };
        char *text;
        int r;

        r = hash_digest(HASH_SHA256, words, n, c.sha256);
        if (r < 0)
                return r;
        if (memcmp(c.sha256, base->hashes.cmdline, SHA256_SIZE) == 0)
                return 0;
        FOREACH_ARRAY(o, l->items, l->n_items)
                if (o->dimension == CHANGE_CMDLINE && memcmp(o->sha256, c.sha256, SHA256_SIZE) == 0)
                        return 0;
        text = change_text("kernel command line %s", what);
        return change_list_add(l, c, text, option ? change_append_option(words) : NULL);
}

int change_words(const MeasureContext *c, char **ret) {
        const PlanInput *in = &c->request->plan.cmdline;
        uint64_t size = plan_input_size(in);
        _cleanup_free_ char *words = NULL;
        size_t at = 0;

        *ret = NULL;
        if (c->request->has_cmdline_hash || size > WORDS_SIZE_MAX)
                return 0;
        words = calloc(1, size + 1);
        if (!words)
                return -ENOMEM;
        FOREACH_ARRAY(p, in->parts, in->n_parts) {
                int r = p->fd < 0 ? 0 : fd_pread_exact(p->fd, words + at, p->length, p->offset);

                if (r < 0)
                        return r;
                at += p->length;
        }
        *ret = TAKE_PTR(words);
        return 0;
}

static int add_word_variants(ChangeList *l, const LaunchSpec *base, const char *words) {
        size_t n = strlen(words), front = strspn(words, " \t\r\n"), end = n;
        _cleanup_free_ char *newline = change_text("%s\n", words), *blank = change_text("%s ", words),
                            *trimmed = NULL;
        int r;

        while (end > front && strchr(" \t\r\n", words[end - 1]))
                end--;
        trimmed = strndup(words + front, end - front);
        if (!newline || !blank || !trimmed)
                return -ENOMEM;
        r = add_words(l, base, newline, n + 2, "with a newline at its end", true);
        if (r >= 0)
                r = add_words(l, base, trimmed, strlen(trimmed) + 1, "without the blanks around it", true);
        if (r >= 0)
                r = add_words(l, base, blank, n + 2, "with a blank at its end", true);
        if (r >= 0)
                r = add_words(l, base, "", 1, "empty", true);
        if (r >= 0)
                r = add_words(l, base, words, n, "hashed without its trailing NUL", false);
        return r;
}

static int add_prefix_variants(ChangeList *l, const LaunchSpec *base, const char *words) {
        FOREACH_ARRAY(p, known_prefixes, ELEMENTSOF(known_prefixes)) {
                const char *rest = startswith(words, *p);
                _cleanup_free_ char *with = NULL, *what = NULL;
                int r;

                if (rest) {
                        what = change_text("without the launcher's '%.*s'", (int) strlen(*p) - 1, *p);
                        if (!what)
                                return -ENOMEM;
                        r = add_words(l, base, rest, strlen(rest) + 1, what, true);
                } else {
                        /* The launcher's words are all there is where none were given. */
                        with = words[0] ? change_text("%s%s", *p, words) : strndup(*p, strlen(*p) - 1);
                        what = change_text("with '%.*s' in front, as a launcher adds it",
                                        (int) strlen(*p) - 1, *p);
                        if (!with || !what)
                                return -ENOMEM;
                        r = add_words(l, base, with, strlen(with) + 1, what, true);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The end of the word at p, and of the blank after it. */
static const char *word_end(const char *p, const char **ret_next) {
        const char *end = p + strcspn(p, " ");

        *ret_next = end + (*end == ' ');
        return end;
}

/* Takes away one console= that stands anywhere, or all of them (number SIZE_MAX): 1, or 0 where there is none of that number.
 * A blank that stood before the end goes, too. */
static int without_console(const char *words, size_t number, char **ret, char **ret_word) {
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *word = NULL;
        size_t seen = 0, n;
        bool cut = false;
        char *s;

        for (const char *p = words, *next; *p; p = next) {
                const char *end = word_end(p, &next);
                bool console = startswith(p, "console=") != NULL;

                if (!console || (number != SIZE_MAX && seen++ != number)) {
                        text_put_n(&t, p, (size_t) (next - p));
                        continue;
                }
                cut = true;
                free(word);
                word = strndup(p, (size_t) (end - p));
                if (!word)
                        return -ENOMEM;
        }
        if (!cut)
                return 0;
        if (text_finish(&t, &s) < 0)
                return -ENOMEM;
        n = strlen(s);
        if (n > 0 && s[n - 1] == ' ' && !endswith(words, " "))
                s[n - 1] = 0;
        *ret = s;
        *ret_word = TAKE_PTR(word);
        return 1;
}

/* The console= that was taken away, in front of the other words or behind them. */
static int add_moved(ChangeList *l, const LaunchSpec *base, const char *words, const char *word) {
        for (int behind = 0; words[0] && behind < 2; behind++) {
                _cleanup_free_ char *s = change_text("%s %s", behind ? words : word, behind ? word : words),
                                    *what = change_text("with '%s' %s", word,
                                                    behind ? "at its end instead" : "in front instead");
                int r = s && what ? add_words(l, base, s, strlen(s) + 1, what, true) : -ENOMEM;

                if (r < 0)
                        return r;
        }
        return 0;
}

#define CONSOLES_MAX 8u

/* console= is what launchers and people add and take away, wherever it stands. */
static int add_console_variants(ChangeList *l, const LaunchSpec *base, const char *words) {
        static const char *const consoles[] = { "console=ttyS0", "console=hvc0" };

        for (size_t i = 0; i <= CONSOLES_MAX; i++) {
                bool all = i == CONSOLES_MAX;
                _cleanup_free_ char *s = NULL, *word = NULL, *what = NULL;
                int r = without_console(words, all ? SIZE_MAX : i, &s, &word);

                if (r <= 0) {
                        if (r < 0)
                                return r;
                        continue;
                }
                what = all ? strdup("without any console=") : change_text("without '%s'", word);
                if (!what)
                        return -ENOMEM;
                r = add_words(l, base, s, strlen(s) + 1, what, true);
                if (r >= 0 && !all)
                        r = add_moved(l, base, s, word);
                if (r < 0)
                        return r;
        }
        FOREACH_ARRAY(c, consoles, ELEMENTSOF(consoles)) {
                _cleanup_free_ char *s = words[0] ? change_text("%s %s", words, *c) : NULL,
                                    *what = change_text("with '%s' at its end", *c);
                int r;

                if (!words[0])
                        continue;
                if (!s || !what)
                        return -ENOMEM;
                r = add_words(l, base, s, strlen(s) + 1, what, true);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_initrd(ChangeList *l, const LaunchSpec *base, const uint8_t sha256[static SHA256_SIZE],
                const char *what, const char *option) {
        Change c = { .dimension = CHANGE_INITRD };

        if (memcmp(sha256, base->hashes.initrd, SHA256_SIZE) == 0)
                return 0;
        memcpy(c.sha256, sha256, SHA256_SIZE);
        return change_list_add(l, c, change_text("initrd %s", what), option ? strdup(option) : NULL);
}

/* Without what was appended: parts of a plan that the launcher put there, or an archive at the end of a file. */
static int add_initrd_variants(
                ChangeList *l, const MeasureContext *c, const LaunchSpec *base, char **reterr) {
        const InputDigest *d = &c->digests.initrd;
        uint8_t sha256[SHA256_SIZE];
        int r;

        r = hash_digest(HASH_SHA256, "", 0, sha256);
        if (r >= 0)
                r = add_initrd(l, base, sha256, "left out", "--initrd=");
        if (r >= 0 && d->n_parts > 1)
                r = add_initrd(l, base, d->parts[0].sha256, "without what was appended to it", NULL);
        if (r < 0 || d->n_parts != 1)
                return r;
        r = initrd_without_credentials(&c->request->plan.initrd.parts[0], sha256, reterr);
        return r <= 0 ? r : add_initrd(l, base, sha256, "without the credentials at its end", NULL);
}

int change_list_add_boot(ChangeList *l, const MeasureContext *c, const LaunchSpec *base, char **reterr) {
        _cleanup_free_ char *words = NULL;
        int r;

        if (!base->kernel_hashes && !c->request->plan.kernel.present)
                return 0;
        /* Empty texts stand for options that were not given. */
        r = change_list_add(l,
                        (Change) { .dimension = CHANGE_HASHES, .kernel_hashes = !base->kernel_hashes },
                        change_text("kernel hashes %s",
                                        base->kernel_hashes ? "off instead of on" : "on instead of off"),
                        base->kernel_hashes ? strdup(NO_KERNEL_OPTIONS) : NULL);
        if (r < 0 || !base->kernel_hashes)
                return r;
        if (r >= 0)
                r = change_words(c, &words);
        if (r >= 0 && words)
                r = add_word_variants(l, base, words);
        if (r >= 0 && words)
                r = add_prefix_variants(l, base, words);
        if (r >= 0 && words)
                r = add_console_variants(l, base, words);
        return r < 0 ? r : add_initrd_variants(l, c, base, reterr);
}
