/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "grub-volume.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "grub-listing.h"
#include "strutil.h"

bool grub_volume_needs_helper(const VolumeKind *kind) {
        return kind == &grub_btrfs_volume || kind == &grub_xfs_volume;
}

const char *grub_volume_root(const Volume *v) {
        const GrubState *s = v->state;

        return v->kind == &grub_btrfs_volume && *s->root ? s->root : NULL;
}

static int join(const Volume *v, const char *path, char **ret) {
        const GrubState *s = v->state;

        return asprintf(ret, "%s%s", s->root, streq(path, "/") ? "" : path) < 0 ? -ENOMEM : 0;
}

static void grub_done(Volume *v) {
        grub_state_free(v->state);
}

static int grub_open(Volume *v, char **reterr) {
        GrubState *s;
        int r;

        if (!v->helper)
                return error_set(reterr, -ENOPKG, "grub-fstest is not installed");
        s = calloc(1, sizeof(GrubState));
        if (!s)
                return -ENOMEM;
        v->state = s;
        if (v->kind == &grub_btrfs_volume) {
                r = grub_choose_root(v, &s->root, reterr);
        } else {
                s->root = strdup("");
                r = s->root ? 0 : -ENOMEM;
        }
        if (r < 0)
                grub_done(v);
        return r;
}

static int grub_list(Volume *v, const char *path, volume_name_t each, void *userdata, char **reterr) {
        _cleanup_free_ char *joined = NULL;
        const GrubDirectory *d;
        const GrubName *name;
        int r = join(v, path, &joined);

        if (r >= 0)
                r = grub_walk(v, joined, &name, reterr);
        if (r >= 0)
                r = grub_list_directory(v, joined, &d, reterr);
        if (r < 0)
                return r;
        FOREACH_ARRAY(i, d->names, d->n_names) {
                r = each(i->name, userdata);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* GRUB's own entries have paths from the top level ("/@/boot/..."), others from the root directory. */
static int grub_find(Volume *v, const char *path, VolumeFile *ret, char **reterr) {
        GrubState *s = v->state;
        _cleanup_free_ char *joined = NULL;
        const GrubName *name = NULL;
        int r = join(v, path, &joined);

        if (r >= 0)
                r = grub_walk(v, joined, &name, reterr);
        if (r == -ENOENT && *s->root) {
                free(joined);
                joined = strdup(path);
                r = joined ? grub_walk(v, joined, &name, reterr) : -ENOMEM;
        }
        if (r < 0)
                return r;
        if (!name || name->directory)
                return -EISDIR;
        if (name->size == GRUB_BROKEN)
                return -ENOENT;
        *ret = (VolumeFile) { .id = strv_length(s->files), .size = name->size };
        return strv_push(&s->files, joined);
}

static int grub_read(Volume *v, const VolumeFile *f, uint64_t offset, void *buf, size_t n, char **reterr) {
        GrubState *s = v->state;
        const char *path = s->files[f->id];
        uint64_t size;
        int r;

        if (s->when == 0 || s->when != v->helper->asked || s->copied != f->id) {
                s->when = 0;
                r = grub_ask(v, HELPER_COPY, path, &size, reterr);
                if (r < 0)
                        return r;
                if (size != f->size)
                        return error_set(reterr, -EBADMSG,
                                        "'%s' has %llu bytes, and grub-fstest reads %llu of them: the file system is damaged",
                                        path, (unsigned long long) f->size, (unsigned long long) size);
                s->copied = f->id;
                s->when = v->helper->asked;
        }
        r = fd_pread_exact(v->helper->scratch, buf, n, offset);
        return r < 0 ? error_set(reterr, r, "cannot read the copy of '%s': %s", path, strerror(-r)) : 0;
}

const VolumeKind grub_btrfs_volume = { "btrfs", grub_open, grub_list, grub_find, grub_read, grub_done };
const VolumeKind grub_xfs_volume = { "xfs", grub_open, grub_list, grub_find, grub_read, grub_done };
