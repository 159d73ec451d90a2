/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "container-layer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "strutil.h"

/* blob -> its digest -> uncompressed -> its digest -> tar */
typedef struct Layer {
        ContainerStream *blob;        /* owned */
        TarReader *plain;             /* owned */
        Hash *blob_hash, *plain_hash; /* owned; the first: NULL where nobody says what it has to be */
        uint64_t size;
        char **reterr;
} Layer;

static void layer_done(Layer *l) {
        (void) tar_free(l->plain);
        (void) container_stream_free(l->blob);
        (void) hash_free(l->blob_hash);
        (void) hash_free(l->plain_hash);
}

void container_search_done(ContainerSearch *s) {
        FOREACH_ARRAY(l, s->levels, s->n_levels)
                free(l->target);
        FOREACH_ARRAY(a, s->alike, s->n_alike)
                free(*a);
        free(s->data);
        *s = (ContainerSearch) {};
}

static int read_blob(void *userdata, const uint8_t **ret, size_t *ret_size) {
        Layer *l = userdata;
        int r = container_stream_read(l->blob, ret, ret_size, l->reterr);

        return r >= 0 && l->blob_hash && *ret_size > 0 ? hash_update(l->blob_hash, *ret, *ret_size) : r;
}

static int read_plain(void *userdata, const uint8_t **ret, size_t *ret_size) {
        Layer *l = userdata;
        int r = tar_read(l->plain, ret, ret_size, l->reterr);

        if (r < 0 || *ret_size == 0)
                return r;
        l->size += *ret_size;
        if (l->size > CONTAINER_LAYER_MAX)
                return error_set(l->reterr, -E2BIG, "more than %llu GiB uncompressed",
                                (unsigned long long) (CONTAINER_LAYER_MAX >> 30));
        return hash_update(l->plain_hash, *ret, *ret_size);
}

static int layer_open(ContainerSource *source, const ContainerLayer *layer, Layer *l, char **reterr) {
        const TarSource blob = { .read = read_blob, .userdata = l };
        int r = container_stream_open(source, layer->place, &l->blob, reterr);

        l->reterr = reterr;
        if (r == -ENOENT)
                return error_set(reterr, r, "its file '%s' is missing", layer->place);
        if (r >= 0 && layer->blob.known)
                r = hash_new(layer->blob.algorithm, &l->blob_hash);
        if (r >= 0)
                r = hash_new(layer->content.algorithm, &l->plain_hash);
        return r < 0 ? r : tar_open_stream(&blob, &l->plain, reterr);
}

/* *ret_more: whether the tar reader had left anything. */
static int drain(Layer *l, bool *ret_more) {
        const uint8_t *p;
        size_t n;
        int r;

        *ret_more = false;
        do {
                r = read_plain(l, &p, &n);
                *ret_more = *ret_more || (r >= 0 && n > 0);
        } while (r >= 0 && n > 0);
        while (r >= 0 && (r = read_blob(l, &p, &n)) >= 0 && n > 0)
                ;
        return r;
}

static int compare(Layer *l, const ContainerLayer *layer, char **reterr) {
        uint8_t found[HASH_SIZE_MAX];
        int r = 0;

        if (l->blob_hash) {
                r = hash_final(l->blob_hash, found);
                if (r >= 0)
                        r = container_digest_compare(&layer->blob, found, "its file", reterr);
        }
        if (r >= 0)
                r = hash_final(l->plain_hash, found);
        return r < 0 ? r : container_digest_compare(&layer->content, found, "its content", reterr);
}

static int read_file(TarReader *tar, const TarEntry *e, ContainerSearch *s, char **reterr) {
        s->size = 0;
        if (e->size > CONTAINER_FILE_MAX)
                return error_set(reterr, -EFBIG, "'/%s' has %llu bytes, more than %zu MiB", s->path,
                                (unsigned long long) e->size, CONTAINER_FILE_MAX >> 20);
        for (;;) {
                const uint8_t *p;
                size_t n;
                int r = tar_read(tar, &p, &n, reterr);

                if (r < 0 || n == 0)
                        return r;
                if (n > CONTAINER_FILE_MAX - s->size)
                        return error_set(reterr, -EFBIG, "'/%s' has more than %zu MiB", s->path,
                                        CONTAINER_FILE_MAX >> 20);
                if (s->size + n > s->allocated) {
                        size_t twice = MIN(2 * s->allocated, CONTAINER_FILE_MAX),
                               wanted = MAX(s->size + n, twice);
                        uint8_t *data = realloc(s->data, wanted);

                        if (!data)
                                return -ENOMEM;
                        s->data = data;
                        s->allocated = wanted;
                }
                memcpy(s->data + s->size, p, n);
                s->size += n;
        }
}

/* The path itself, or a folder above it: its level; 0: neither. */
static size_t level_of(const ContainerSearch *s, const char *name) {
        size_t n = strlen(name), level = 1;

        if (n == 0 || strncmp(s->path, name, n) != 0 || (s->path[n] != '/' && s->path[n] != 0))
                return 0;
        for (const char *p = name; *p; p++)
                level += *p == '/';
        return level;
}

/* Whether the entry only says that something is not there. */
static bool note_whiteout(ContainerSearch *s, char *name) {
        char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
        size_t level;

        if (!startswith(base, ".wh."))
                return false;
        if (streq(base, ".wh..wh..opq")) {
                if (slash)
                        *slash = 0;
                level = slash ? level_of(s, name) : 0;
                s->deleted = s->deleted || !slash || (level > 0 && level < s->n_levels);
        } else if (!startswith(base, ".wh..wh.")) {
                memmove(base, base + 4, strlen(base + 4) + 1);
                s->deleted = s->deleted || level_of(s, name) > 0;
        }
        return true;
}

static int note_alike(ContainerSearch *s, const char *name) {
        const char *slash = strrchr(s->path, '/'), *base = slash ? slash + 1 : s->path,
                   *other = strrchr(name, '/');

        if (s->n_alike >= CONTAINER_ALIKE_MAX || !streq(base, other ? other + 1 : name))
                return 0;
        s->alike[s->n_alike] = strdup(name);
        return s->alike[s->n_alike++] ? 0 : -ENOMEM;
}

static int note_entry(TarReader *tar, const TarEntry *e, ContainerSearch *s, char **reterr) {
        char name[CONTAINER_PATH_MAX];
        ContainerLevel *level;
        size_t n;

        if (!e->name || container_path_clean(e->name, name) < 0) {
                s->outside++;
                return 0;
        }
        if (note_whiteout(s, name))
                return 0;
        n = level_of(s, name);
        if (n == 0)
                return e->type == TAR_FILE ? note_alike(s, name) : 0;
        level = s->levels + n - 1;
        free(level->target);
        *level = (ContainerLevel) { .there = true, .type = e->type };
        if (e->type == TAR_SYMLINK || e->type == TAR_HARDLINK) {
                level->target = strdup(e->target ?: "");
                return level->target ? 0 : -ENOMEM;
        }
        return n == s->n_levels && e->type == TAR_FILE ? read_file(tar, e, s, reterr) : 0;
}

static int read_entries(Layer *l, ContainerSearch *s, char **reterr) {
        const TarSource plain = { .read = read_plain, .userdata = l };
        _cleanup_tar_ TarReader *tar = NULL;
        unsigned n = 0;
        TarEntry e;
        int r = tar_open(&plain, &tar, reterr);

        while (r >= 0 && (r = tar_next(tar, &e, reterr)) > 0) {
                if (++n > CONTAINER_ENTRIES_MAX)
                        return error_set(reterr, -E2BIG, "more than %u files", CONTAINER_ENTRIES_MAX);
                r = note_entry(tar, &e, s, reterr);
        }
        return r;
}

int container_search_layer(ContainerSource *source, const ContainerImage *image, size_t layer,
                ContainerSearch *s, char **reterr) {
        _cleanup_(layer_done) Layer l = {};
        _cleanup_free_ char *problem = NULL;
        int bad, r = layer_open(source, image->layers + layer, &l, reterr);
        bool more;

        s->n_levels = 1;
        for (const char *p = s->path; *p; p++)
                s->n_levels += *p == '/';
        if (r >= 0) {
                l.reterr = &problem;
                bad = read_entries(&l, s, &problem);
                if (bad < 0 && bad != -EBADMSG)
                        r = error_set(reterr, bad, "%s", problem ?: strerror(-bad));
        }
        if (r >= 0) {
                /* A wrong digest is the better explanation of what cannot be read. And some writers leave out what has to be behind the
                 * last entry: where the digests are right, that is how the image was made. */
                l.reterr = reterr;
                r = drain(&l, &more);
                if (r >= 0)
                        r = compare(&l, image->layers + layer, reterr);
                if (r >= 0 && bad < 0 && more)
                        r = error_set(reterr, bad, "%s", problem ?: strerror(-bad));
        }
        return r < 0 ? error_prefix(reterr, r, "layer %zu", layer + 1) : 0;
}
