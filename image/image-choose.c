/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One of the entries by rule, and its files. */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "image.h"
#include "strutil.h"

#define INITRD_ALIGN 4u

static bool fits(const Image *image, const BootEntry *e, const ImageChoice *choice) {
        const char *name = strrchr(e->file, '/') ? strrchr(e->file, '/') + 1 : e->file;

        if (choice->partition > 0 && image->volumes[e->volume].partition.number != choice->partition)
                return false;
        if (choice->kernel && !streq_ptr(choice->kernel, e->version))
                return false;
        return !choice->entry || streq(choice->entry, e->id) || streq_ptr(choice->entry, e->title) ||
                        (e->source != BOOT_GRUB && streq(choice->entry, name));
}

/* Loaders and their entries are shared by all systems of a disk in these. */
static bool is_shared(const Volume *v) {
        return partition_is_esp(&v->partition) || partition_is_xbootldr(&v->partition);
}

static int nothing_found(const Image *image, const ImageChoice *choice, char **reterr) {
        _cleanup_free_ char *notes = NULL, *names = NULL;
        Text t = {};

        if (image->entries.n_items == 0) {
                notes = strv_join(strv_length(image->notes) > 0 ? image->notes : image->entries.problems,
                                "; ");
                /* -ENOENT: a disk like others. */
                return error_set(reterr,
                                image->unread || strv_length(image->entries.problems) > 0 ? -EBADMSG
                                                                                          : -ENOENT,
                                "no kernel was found%s%s", notes && *notes ? "; " : "", notes ?: "");
        }
        FOREACH_ARRAY(e, image->entries.items, MIN(image->entries.n_items, (size_t) 16))
                text_putf(&t, "%s'%s' (%s, partition %u)", t.size > 0 ? ", " : "", e->id,
                                e->version ?: "no version", image->volumes[e->volume].partition.number);
        if (text_finish(&t, &names) < 0)
                return -ENOMEM;
        text_flatten(names, 2048);
        if (choice->entry)
                return error_set(reterr, -ENOENT, "no entry is named '%s'; there are: %s", choice->entry,
                                names);
        if (choice->kernel)
                return error_set(reterr, -ENOENT, "no entry is of the version '%s'; there are: %s",
                                choice->kernel, names);
        return error_set(reterr, -ENOENT, "no entry is in partition %u; there are: %s", choice->partition,
                        names);
}

int image_choose(const Image *image, const ImageChoice *choice, size_t *ret, char **reterr) {
        const BootEntry *first = NULL;

        FOREACH_ARRAY(e, image->entries.items, image->entries.n_items) {
                const Volume *v = &image->volumes[e->volume];

                if (!fits(image, e, choice))
                        continue;
                if (!first) {
                        first = e;
                        continue;
                }
                /* Two systems: which one is meant is not guessed. */
                if (e->source == first->source && e->fallback == first->fallback &&
                                e->volume != first->volume && !is_shared(v) &&
                                !is_shared(&image->volumes[first->volume]))
                        return error_set(reterr, -ENOTUNIQ,
                                        "partitions %u and %u both have a system that boots: choose one with --partition= (cvmspawn extract)",
                                        image->volumes[first->volume].partition.number, v->partition.number);
        }
        if (!first)
                return nothing_found(image, choice, reterr);
        *ret = (size_t) (first - image->entries.items);
        return 0;
}

void image_parts_done(ImageParts *p) {
        free(p->kernel.path);
        FOREACH_ARRAY(i, p->initrds, p->n_initrds)
                free(i->path);
        free(p->initrds);
        *p = (ImageParts) {};
}

/* 1 if the file is there; what is there and cannot be read is an error. */
static int try_path(Image *image, size_t volume, const char *before, const char *path, ImagePart *ret,
                char **reterr) {
        _cleanup_free_ char *joined = NULL;
        Text t = {};
        int r;

        text_putf(&t, "%s%s", before, path);
        r = text_finish(&t, &joined);
        if (r >= 0)
                r = volume_find(&image->volumes[volume], joined, &ret->file, reterr);
        if (r == -ENOENT || r == -ENOTDIR || r == -EISDIR)
                return 0;
        if (r < 0)
                return r;
        ret->volume = volume;
        ret->path = TAKE_PTR(joined);
        ret->size = ret->file.size;
        return 1;
}

/* Paths of entries begin at the root of the file system that they are in; some tools write them as seen from the system. 1 if it is there. */
static int try_volume(Image *image, const BootEntry *e, size_t volume, const char *path, ImagePart *ret,
                char **reterr) {
        int r = try_path(image, volume, "", path, ret, reterr);

        if (volume != e->volume)
                return r;
        if (r == 0)
                r = try_path(image, volume, "/boot", path, ret, reterr);
        if (r == 0 && startswith(path, "/boot/"))
                r = try_path(image, volume, "", path + strlen("/boot"), ret, reterr);
        return r;
}

static int locate(Image *image, const BootEntry *e, const char *name, ImagePart *ret, char **reterr) {
        _cleanup_free_ char *path = NULL;
        int r = volume_path(name, &path, reterr);

        if (r >= 0)
                r = try_volume(image, e, e->volume, path, ret, reterr);
        for (size_t i = 0; r == 0 && i < image->n_volumes; i++)
                if (i != e->volume)
                        r = try_volume(image, e, i, path, ret, reterr);
        if (r == 0)
                return error_set(reterr, -EBADMSG, "'%s', which '%s' names, is not in the image", path,
                                e->file);
        return r < 0 ? error_prefix(reterr, r, "'%s'", e->file) : 0;
}

/* Kernel and initrds of an entry, all in this volume: 1, or 0 if one is not. */
static int locate_in(Image *image, const BootEntry *e, size_t volume, ImageParts *ret, char **reterr) {
        _cleanup_(image_parts_done) ImageParts p = {};
        size_t n = strv_length(e->initrds);
        int r = 1;

        p.initrds = calloc(MAX(n, (size_t) 1), sizeof(ImagePart));
        if (!p.initrds)
                return -ENOMEM;
        for (size_t i = 0; r > 0 && i <= n; i++) {
                _cleanup_free_ char *path = NULL;

                r = volume_path(i == 0 ? e->kernel : e->initrds[i - 1], &path, reterr);
                if (i > 0)
                        p.n_initrds++;
                if (r >= 0)
                        r = try_volume(image, e, volume, path, i == 0 ? &p.kernel : p.initrds + i - 1,
                                        reterr);
        }
        if (r > 0)
                *ret = TAKE_STRUCT(p, (ImageParts) {});
        return r < 0 ? error_prefix(reterr, r, "'%s'", e->file) : r;
}

/* Which partition GRUB takes them from depends on its $root, which a search sets that is not evaluated here: two that have them are not decided
 * by a guess. */
static int locate_all(Image *image, const BootEntry *e, bool first, ImageParts *ret, char **reterr) {
        const Volume *v = image->volumes, *found = NULL;
        ImagePart missing = {};
        int r = 0;

        for (size_t k = 0; k < image->n_volumes; k++) {
                size_t i = k == 0 ? e->volume : k <= e->volume ? k - 1 : k;
                _cleanup_(image_parts_done) ImageParts p = {};

                r = locate_in(image, e, i, &p, reterr);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                if (found)
                        return error_set(reterr, -ENOTUNIQ,
                                        "partitions %u and %u both have '%s', and which of them '%s' means is not known here: choose one with --partition= (cvmspawn extract)",
                                        found->partition.number, v[i].partition.number, p.kernel.path,
                                        e->file);
                found = v + i;
                *ret = TAKE_STRUCT(p, (ImageParts) {});
                if (first)
                        break;
        }
        if (found)
                return 0;
        r = locate(image, e, e->kernel, &missing, reterr);
        free(missing.path);
        STRV_FOREACH(initrd, e->initrds) {
                missing = (ImagePart) {};
                if (r >= 0)
                        r = locate(image, e, *initrd, &missing, reterr);
                free(missing.path);
        }
        return r < 0 ? r
                     : error_set(reterr, -EBADMSG,
                                       "'%s' and its initrd, which '%s' names, are in different partitions",
                                       e->kernel, e->file);
}

static int check_size(const ImagePart *p, const char *what, uint64_t max, char **reterr) {
        if (p->size == 0 || p->size > max)
                return error_set(reterr, -E2BIG, "the %s '%s' has %llu bytes; expected 1 to %llu", what,
                                p->path, (unsigned long long) p->size, (unsigned long long) max);
        return 0;
}

static int locate_uki(Image *image, const BootEntry *e, ImageParts *p, char **reterr) {
        int r = locate(image, e, e->file, &p->kernel, reterr);

        if (r < 0)
                return r;
        if (e->initrd.size > 0) {
                p->initrds = calloc(1, sizeof(ImagePart));
                if (!p->initrds)
                        return -ENOMEM;
                p->n_initrds = 1;
                p->initrds[0] = p->kernel;
                p->initrds[0].path = strdup(p->kernel.path);
                p->initrds[0].offset = e->initrd.offset;
                p->initrds[0].size = e->initrd.size;
                if (!p->initrds[0].path)
                        return -ENOMEM;
        }
        p->kernel.offset = e->linux_.offset;
        p->kernel.size = e->linux_.size;
        return 0;
}

int image_locate(Image *image, const BootEntry *e, const ImageChoice *choice, ImageParts *ret,
                char **reterr) {
        _cleanup_(image_parts_done) ImageParts p = {};
        uint64_t total = 0;
        int r;

        if (e->source == BOOT_UKI)
                r = locate_uki(image, e, &p, reterr);
        else
                r = locate_all(image, e, e->source != BOOT_GRUB || choice->partition > 0, &p, reterr);
        if (r >= 0)
                r = check_size(&p.kernel, "kernel", IMAGE_KERNEL_MAX, reterr);
        FOREACH_ARRAY(i, p.initrds, r < 0 ? 0 : p.n_initrds) {
                r = check_size(i, "initrd", IMAGE_INITRD_MAX - total, reterr);
                if (r < 0)
                        break;
                total += i->size;
        }
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(p, (ImageParts) {});
        return 0;
}

int image_write_kernel(Image *image, const ImageParts *p, int to, char **reterr) {
        int r = volume_copy(&image->volumes[p->kernel.volume], &p->kernel.file, p->kernel.offset,
                        p->kernel.size, to, reterr);

        return r < 0 ? error_prefix(reterr, r, "kernel '%s'", p->kernel.path) : 0;
}

int image_write_initrd(Image *image, const ImageParts *p, int to, char **reterr) {
        uint64_t at = 0;

        FOREACH_ARRAY(i, p->initrds, p->n_initrds) {
                static const char zeros[INITRD_ALIGN];
                int r = 0;

                if (at % INITRD_ALIGN > 0) {
                        r = fd_write_all(to, zeros, INITRD_ALIGN - at % INITRD_ALIGN);
                        if (r < 0)
                                return error_set(reterr, r, "cannot write: %s", strerror(-r));
                        at += INITRD_ALIGN - at % INITRD_ALIGN;
                }
                r = volume_copy(&image->volumes[i->volume], &i->file, i->offset, i->size, to, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "initrd '%s'", i->path);
                at += i->size;
        }
        return 0;
}
