/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which subvolume of btrfs is the root directory: nobody guesses between two. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "grub-listing.h"
#include "strutil.h"

#define SUBVOLUMES_MAX 64u

static bool has(const GrubDirectory *d, const char *names) {
        FOREACH_ARRAY(i, d->names, d->n_names) {
                size_t n = strlen(i->name);

                for (const char *p = names; (p = strstr(p, i->name)); p++)
                        if ((p == names || p[-1] == ' ') && (p[n] == ' ' || !p[n]) && !strchr(i->name, ' '))
                                return true;
        }
        return false;
}

static int add_if_root(const Volume *v, const char *path, char ***list, char **reterr) {
        const GrubDirectory *d;
        int r = grub_list_directory(v, path, &d, reterr);

        return r < 0 || !has(d, "etc") ? r : strv_push(list, path);
}

/* SUSE: the root directory is a snapshot, at first number 1. */
static int add_snapshots(const Volume *v, const char *below, char ***list, char **reterr) {
        _cleanup_strv_free_ char **paths = NULL;
        _cleanup_free_ char *snapshots = NULL;
        const GrubName *name;
        const GrubDirectory *d;
        int r;

        if (asprintf(&snapshots, "%s/.snapshots", below) < 0) {
                snapshots = NULL;
                return -ENOMEM;
        }
        r = grub_walk(v, snapshots, &name, reterr);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        r = grub_list_directory(v, snapshots, &d, reterr);
        FOREACH_ARRAY(i, d->names, r < 0 ? 0 : MIN(d->n_names, (size_t) SUBVOLUMES_MAX))
                if (i->directory && r >= 0)
                        r = strv_pushf(&paths, "%s/%s/snapshot", snapshots, i->name);
        STRV_FOREACH(p, r < 0 ? NULL : paths) {
                r = grub_walk(v, *p, &name, reterr);
                if (r >= 0)
                        r = add_if_root(v, *p, list, reterr);
                if (r < 0 && r != -ENOENT)
                        return r;
        }
        return r == -ENOENT ? 0 : r;
}

static int find_roots(const Volume *v, char ***ret, char **reterr) {
        _cleanup_strv_free_ char **top = NULL, **roots = NULL;
        const GrubDirectory *d;
        int r = grub_list_directory(v, "", &d, reterr);

        if (r < 0)
                return r;
        /* A root directory, or a separate /boot or ESP. */
        if (has(d, "etc boot usr loader grub grub2 EFI"))
                return 0;
        FOREACH_ARRAY(i, d->names, MIN(d->n_names, (size_t) SUBVOLUMES_MAX))
                if (i->directory && r >= 0)
                        r = strv_pushf(&top, "/%s", i->name);
        STRV_FOREACH(p, r < 0 ? NULL : top) {
                r = add_if_root(v, *p, &roots, reterr);
                if (r >= 0)
                        r = add_snapshots(v, *p, &roots, reterr);
                if (r < 0)
                        return r;
        }
        if (r >= 0)
                *ret = TAKE_PTR(roots);
        return r;
}

int grub_choose_root(const Volume *v, char **ret, char **reterr) {
        _cleanup_strv_free_ char **roots = NULL;
        _cleanup_free_ char *names = NULL;
        const char *asked = v->helper->subvolume;
        const GrubName *name;
        int r;

        if (asked) {
                r = volume_path(asked, ret, reterr);
                if (r >= 0)
                        r = grub_walk(v, *ret, &name, reterr);
                if (r == -ENOENT)
                        return error_set(reterr, r, "it has no subvolume '%s'", asked);
                if (r >= 0 && streq(*ret, "/"))
                        **ret = 0;
                return r;
        }
        r = find_roots(v, &roots, reterr);
        if (r < 0)
                return r;
        if (strv_length(roots) > 1) {
                names = strv_join(roots, ", ");
                if (!names)
                        return -ENOMEM;
                text_flatten(names, 512);
                return error_set(reterr, -ENOTUNIQ,
                                "several subvolumes have a root directory, and which one boots is not guessed: pass --subvolume= with one of %s",
                                names);
        }
        *ret = strdup(roots ? roots[0] : "");
        return *ret ? 0 : -ENOMEM;
}
