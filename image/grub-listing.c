/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "grub-listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "strutil.h"

#define LISTING_MAX ((size_t) 16 * 1024 * 1024)
#define DATE_DIGITS 14u

bool grub_listing_line(char *line, char **ret_name, uint64_t *ret_size, bool *ret_directory) {
        size_t n = strcspn(line, " "), digits;
        char *name = line + n + strspn(line + n, " ");
        uint64_t size = GRUB_BROKEN;

        if (n == 0 || !line[n])
                return false;
        line[n] = 0;
        if (!streq(line, "DIR") && *line != '?' && parse_u64_max(line, UINT64_MAX - 1, &size) < 0)
                return false;
        digits = strspn(name, "0123456789");
        if (digits < DATE_DIGITS || name[digits] != ' ')
                return false;
        name += digits + 1;
        n = strlen(name);
        *ret_directory = n > 1 && name[n - 1] == '/';
        if (*ret_directory)
                name[--n] = 0;
        if (n == 0 || n > VOLUME_NAME_MAX || strchr(name, '/'))
                return false;
        *ret_name = name;
        *ret_size = size;
        return true;
}

static int add_name(GrubDirectory *d, const GrubName *n, size_t *allocated) {
        if (d->n_names == *allocated) {
                size_t want = MAX(*allocated * 2, (size_t) 64);
                GrubName *names = realloc(d->names, want * sizeof(GrubName));

                if (!names)
                        return -ENOMEM;
                d->names = names;
                *allocated = want;
        }
        d->names[d->n_names] = *n;
        d->names[d->n_names].name = strdup(n->name);
        return d->names[d->n_names].name ? (d->n_names++, 0) : -ENOMEM;
}

static int parse_listing(char *text, GrubDirectory *d, char **reterr) {
        size_t allocated = 0;
        int r = 0;

        for (char *line; r >= 0 && (line = strsep(&text, "\n"));) {
                GrubName n = {};

                if (!grub_listing_line(line, &n.name, &n.size, &n.directory))
                        continue;
                if (streq(n.name, ".") || streq(n.name, ".."))
                        continue;
                if (d->n_names >= VOLUME_NAMES_MAX)
                        return error_set(reterr, -E2BIG, "'%s' has more than %u entries", d->path,
                                        VOLUME_NAMES_MAX);
                r = add_name(d, &n, &allocated);
        }
        return r;
}

int grub_ask(const Volume *v, VolumeHelperTask task, const char *path, uint64_t *ret_size, char **reterr) {
        v->helper->asked++;
        return v->helper->ask(v->helper, task, v->partition.number, path, ret_size, reterr);
}

static int read_listing(const Volume *v, GrubDirectory *d, char **reterr) {
        _cleanup_free_ char *text = NULL;
        uint64_t size;
        int r = grub_ask(v, HELPER_LIST, d->path, &size, reterr);

        if (r < 0)
                return r;
        if (size > LISTING_MAX)
                return error_set(reterr, -E2BIG, "the list of '%s' has %llu bytes; at most %zu are read",
                                d->path, (unsigned long long) size, LISTING_MAX);
        text = malloc((size_t) size + 1);
        if (!text)
                return -ENOMEM;
        r = fd_pread_exact(v->helper->scratch, text, (size_t) size, 0);
        if (r < 0)
                return error_set(reterr, r, "cannot read a directory's list: %s", strerror(-r));
        text[size] = 0;
        return parse_listing(text, d, reterr);
}

static void directory_done(GrubDirectory *d) {
        FOREACH_ARRAY(n, d->names, d->n_names)
                free(n->name);
        free(d->names);
        free(d->path);
}

int grub_list_directory(const Volume *v, const char *path, const GrubDirectory **ret, char **reterr) {
        GrubState *s = v->state;
        GrubDirectory d = {}, *all;
        int r;

        FOREACH_ARRAY(i, s->directories, s->n_directories)
                if (streq(i->path, path)) {
                        *ret = i;
                        return 0;
                }
        all = realloc(s->directories, (s->n_directories + 1) * sizeof(GrubDirectory));
        if (!all)
                return -ENOMEM;
        s->directories = all;
        d.path = strdup(path);
        r = d.path ? read_listing(v, &d, reterr) : -ENOMEM;
        if (r < 0) {
                directory_done(&d);
                return r;
        }
        s->directories[s->n_directories] = d;
        *ret = &s->directories[s->n_directories++];
        return 0;
}

int grub_walk(const Volume *v, const char *path, const GrubName **ret, char **reterr) {
        const GrubName *found = NULL;

        for (const char *p = path; *p == '/' && p[1];) {
                size_t n = strcspn(p + 1, "/");
                _cleanup_free_ char *before = strndup(path, (size_t) (p - path));
                const GrubDirectory *d;
                int r = before ? grub_list_directory(v, before, &d, reterr) : -ENOMEM;

                if (r < 0)
                        return r;
                found = NULL;
                FOREACH_ARRAY(i, d->names, d->n_names)
                        if (strlen(i->name) == n && strncmp(i->name, p + 1, n) == 0)
                                found = i;
                if (!found)
                        return -ENOENT;
                p += 1 + n;
        }
        *ret = found;
        return 0;
}

void grub_state_free(GrubState *s) {
        FOREACH_ARRAY(d, s->directories, s->n_directories)
                directory_done(d);
        free(s->directories);
        strv_free(s->files);
        free(s->root);
        free(s);
}
