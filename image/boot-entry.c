/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "boot-entry.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "error.h"
#include "strutil.h"

static const char *const sources[] = {
        [BOOT_UKI] = "uki",
        [BOOT_BLS] = "bls",
        [BOOT_GRUB] = "grub",
        [BOOT_FILES] = "files",
};
static_assert(ELEMENTSOF(sources) == _BOOT_SOURCE_MAX, "one name per source");

const char *boot_source_to_string(BootSource s) {
        return sources[s];
}

void boot_entry_done(BootEntry *e) {
        free(e->file);
        free(e->id);
        free(e->title);
        free(e->version);
        free(e->sort_key);
        free(e->kernel);
        strv_free(e->initrds);
        free(e->words);
        *e = (BootEntry) {};
}

void boot_entries_done(BootEntries *l) {
        FOREACH_ARRAY(e, l->items, l->n_items)
                boot_entry_done(e);
        free(l->items);
        strv_free(l->problems);
        *l = (BootEntries) {};
}

int boot_entries_add(BootEntries *l, BootEntry *e) {
        BootEntry *items = NULL;

        if (l->n_items < BOOT_ENTRIES_MAX)
                items = reallocarray(l->items, l->n_items + 1, sizeof(BootEntry));
        if (!items) {
                boot_entry_done(e);
                return l->n_items < BOOT_ENTRIES_MAX ? -ENOMEM : -E2BIG;
        }
        l->items = items;
        l->items[l->n_items++] = TAKE_STRUCT(*e, (BootEntry) {});
        return 0;
}

int boot_entries_problem(BootEntries *l, const char *file, int r, char *message) {
        int k;

        if (r == -ENOMEM || strv_length(l->problems) >= BOOT_ENTRIES_MAX) {
                free(message);
                return r == -ENOMEM ? r : 0;
        }
        if (message)
                text_flatten(message, 512);
        k = strv_pushf(&l->problems, "'%s': %s", file, message ?: strerror(-r));
        free(message);
        return k;
}

/* --- versions -------------------------------------------------------------------------------------------------------- */

static bool is_part(char c) {
        return isalnum((unsigned char) c) || (c && strchr("-.~^", c));
}

/* -1 and 1 if only one of them stands at the separator, 2 if both or none do. */
static int at_separator(const char **a, const char **b, char separator) {
        bool x = **a == separator, y = **b == separator;

        if (x && y) {
                (*a)++;
                (*b)++;
        }
        return x == y ? 2 : x ? -1 : 1;
}

static int compare_numbers(const char **a, const char **b) {
        size_t n, m;
        int r;

        *a += strspn(*a, "0");
        *b += strspn(*b, "0");
        n = strspn(*a, "0123456789");
        m = strspn(*b, "0123456789");
        r = n != m ? (n < m ? -1 : 1) : strncmp(*a, *b, n);
        *a += n;
        *b += m;
        return r;
}

/* Upper case is older than lower case. */
static int compare_letters(const char **a, const char **b) {
        while (isalpha((unsigned char) **a) || isalpha((unsigned char) **b)) {
                unsigned char x = isalpha((unsigned char) **a) ? (unsigned char) **a : 0;
                unsigned char y = isalpha((unsigned char) **b) ? (unsigned char) **b : 0;

                if (x != y)
                        return x < y ? -1 : 1;
                (*a)++;
                (*b)++;
        }
        return 0;
}

int boot_version_compare(const char *a, const char *b) {
        a = a ?: "";
        b = b ?: "";
        for (;;) {
                int r;

                while (*a && !is_part(*a))
                        a++;
                while (*b && !is_part(*b))
                        b++;
                r = at_separator(&a, &b, '~');
                if (r != 2)
                        return r;
                if (!*a || !*b)
                        return (*a != 0) - (*b != 0);
                for (const char *s = "-^."; *s; s++) {
                        r = at_separator(&a, &b, *s);
                        if (r != 2)
                                return r;
                }
                if (isdigit((unsigned char) *a) || isdigit((unsigned char) *b))
                        r = compare_numbers(&a, &b);
                else
                        r = compare_letters(&a, &b);
                if (r != 0)
                        return r;
        }
}

int boot_entry_compare(const BootEntry *a, const BootEntry *b) {
        int r;

        if (a->source != b->source)
                return a->source < b->source ? -1 : 1;
        if (a->fallback != b->fallback)
                return a->fallback ? 1 : -1;
        if (a->bad != b->bad)
                return a->bad ? 1 : -1;
        if (a->preferred != b->preferred)
                return a->preferred ? -1 : 1;
        /* GRUB's menu is already in order. */
        if (a->source == BOOT_GRUB)
                return 0;
        if ((a->sort_key != NULL) != (b->sort_key != NULL))
                return a->sort_key ? -1 : 1;
        r = a->sort_key ? strcmp(a->sort_key, b->sort_key) : 0;
        if (r == 0)
                r = -boot_version_compare(a->version, b->version);
        return r != 0 ? r : -boot_version_compare(a->id, b->id);
}

int boot_version_of(const char *kernel, char **ret) {
        static const char *const prefixes[] = { "vmlinuz-", "vmlinux-", "bzImage-", "kernel-", "linux-" };
        const char *name = strrchr(kernel, '/') ? strrchr(kernel, '/') + 1 : kernel;

        *ret = NULL;
        for (size_t i = 0; i < ELEMENTSOF(prefixes); i++) {
                const char *rest = startswith(name, prefixes[i]);

                if (rest && *rest) {
                        *ret = strdup(rest);
                        return *ret ? 0 : -ENOMEM;
                }
        }
        return 0;
}

int boot_words_clean(char *words) {
        char *out = words;

        if (strlen(words) > BOOT_WORDS_MAX)
                return -E2BIG;
        for (const char *p = words; *p; p++) {
                if (strchr(" \t\r\n", *p)) {
                        if (out > words && out[-1] != ' ')
                                *out++ = ' ';
                } else if ((unsigned char) *p < ' ' || *p == 0x7f) {
                        return -EBADMSG;
                } else {
                        *out++ = *p;
                }
        }
        while (out > words && out[-1] == ' ')
                out--;
        *out = 0;
        return 0;
}

/* --- directories ----------------------------------------------------------------------------------------------------- */

typedef struct Filter {
        const char *prefix, *suffix;
        char **names;
} Filter;

static int filter_name(const char *name, void *userdata) {
        Filter *f = userdata;

        if (*name == '.' || !startswith(name, f->prefix) ||
                        strlen(name) < strlen(f->prefix) + strlen(f->suffix))
                return 0;
        /* FAT keeps any case. */
        if (strcasecmp(name + strlen(name) - strlen(f->suffix), f->suffix) != 0)
                return 0;
        return strv_length(f->names) >= BOOT_ENTRIES_MAX ? -E2BIG : strv_push(&f->names, name);
}

int boot_list(Volume *v, const char *directory, const char *prefix, const char *suffix, char ***ret,
                char **reterr) {
        Filter f = { .prefix = prefix, .suffix = suffix };
        int r = volume_list(v, directory, filter_name, &f, reterr);

        if (r == -E2BIG)
                (void) error_set(reterr, r, "'%s' has more than %u files that could be booted", directory,
                                BOOT_ENTRIES_MAX);
        if (r < 0 && r != -ENOENT && r != -ENOTDIR) {
                strv_free(f.names);
                return r;
        }
        *ret = f.names;
        return 0;
}
