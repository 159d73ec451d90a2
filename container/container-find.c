/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The layers are read from the top down, each once, until one of them says what the path is. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container-layer.h"
#include "container.h"
#include "error.h"
#include "strutil.h"

#define LINKS_MAX 40u

typedef struct Walk {
        ContainerSource *source;
        const ContainerImage *image;
        char path[CONTAINER_PATH_MAX];
        size_t below;    /* layers that are still to be looked at */
        size_t n_folder; /* so many of the first components are folders in a layer above */
        unsigned links;
        unsigned outside;
        ContainerNames alike;
        ContainerFile *ret;
        char **reterr;
} Walk;

typedef enum Step {
        STEP_DOWN = 0,
        STEP_FOUND,
        STEP_AGAIN, /* with another path */
} Step;

void container_file_done(ContainerFile *f) {
        free(f->path);
        free(f->data);
        *f = (ContainerFile) {};
}

/* The length of the first `n` components. */
static size_t prefix(const char *path, size_t n) {
        const char *p = path;

        while (n-- > 0)
                p += strcspn(p, "/") + (n > 0);
        return (size_t) (p - path);
}

static int not_found(const Walk *w, const char *why) {
        return error_set(w->reterr, -ENOENT, "no file '/%s' in the image%s%s%s", w->path, why,
                        w->alike.n > 0 ? "; of that name it has: " : "",
                        w->alike.n > 0 ? w->alike.text : "");
}

static int follow(Walk *w, const ContainerSearch *s, size_t level) {
        const ContainerLevel *l = s->levels + level;
        bool hard = l->type == TAR_HARDLINK;
        char folder[CONTAINER_PATH_MAX];
        size_t n = level > 0 ? prefix(w->path, level) : 0;
        int r;

        if (++w->links > LINKS_MAX)
                return error_set(w->reterr, -ELOOP, "more than %u links lead to one another", LINKS_MAX);
        memcpy(folder, s->path, n);
        folder[n] = 0;
        r = container_path_join(
                        hard ? "" : folder, l->target, s->path + prefix(s->path, level + 1), w->path);
        if (r < 0)
                return error_set(w->reterr, r, "a link leads to a path that is too long");
        /* A hard link names what is in this layer or below; a symbolic link is looked up as a program would. */
        w->below = hard ? w->below + 1 : w->image->n_layers;
        w->n_folder = 0;
        return STEP_AGAIN;
}

static int judge_level(Walk *w, ContainerSearch *s, size_t level) {
        const ContainerLevel *l = s->levels + level;
        bool last = level + 1 == s->n_levels;

        if (!l->there)
                return STEP_DOWN;
        if (l->type == TAR_FOLDER) {
                if (last)
                        return error_set(w->reterr, -EISDIR, "'/%s' is a directory in the image", w->path);
                w->n_folder = MAX(w->n_folder, level + 1);
                return STEP_DOWN;
        }
        /* A folder above has replaced it. */
        if (level < w->n_folder)
                return not_found(w, "");
        if (l->type == TAR_SYMLINK || (last && l->type == TAR_HARDLINK))
                return follow(w, s, level);
        if (!last)
                return error_set(w->reterr, -ENOTDIR,
                                "no file '/%s' in the image: '/%.*s' is not a directory", w->path,
                                (int) prefix(w->path, level + 1), w->path);
        if (l->type != TAR_FILE)
                return error_set(w->reterr, -EINVAL, "'/%s' is not a regular file in the image", w->path);
        if (asprintf(&w->ret->path, "/%s", w->path) < 0) {
                w->ret->path = NULL;
                return -ENOMEM;
        }
        w->ret->data = TAKE_PTR(s->data);
        w->ret->size = s->size;
        w->ret->layer = w->below;
        return STEP_FOUND;
}

static void note_alike(Walk *w, const ContainerSearch *s) {
        FOREACH_ARRAY(a, s->alike, s->n_alike)
                if (w->alike.n < CONTAINER_ALIKE_MAX)
                        container_names_add(&w->alike, *a);
}

/* A Step, or -errno. */
static int look_into_layer(Walk *w, ContainerSearch *s) {
        int r;

        memcpy(s->path, w->path, strlen(w->path) + 1);
        r = container_search_layer(w->source, w->image, w->below, s, w->reterr);
        w->outside += s->outside;
        note_alike(w, s);
        for (size_t level = 0; r == STEP_DOWN && level < s->n_levels; level++)
                r = judge_level(w, s, level);
        if (r == STEP_DOWN && s->deleted) {
                char why[64];

                (void) snprintf(why, sizeof(why), ": layer %zu deletes it", w->below + 1);
                return not_found(w, why);
        }
        return r;
}

int container_find(ContainerSource *source, const ContainerImage *image, const char *path,
                ContainerFile *ret, char **reterr) {
        Walk w = {
                .source = source, .image = image, .below = image->n_layers, .ret = ret, .reterr = reterr
        };
        int r = container_path_join("", path, "", w.path);

        if (r < 0 || !*w.path)
                return error_set(reterr, -EINVAL, "--path='%s' is not the path of a file", path);
        r = STEP_DOWN;
        while (r >= 0 && r != STEP_FOUND && w.below > 0) {
                ContainerSearch *s = calloc(1, sizeof(ContainerSearch));

                if (!s)
                        return -ENOMEM;
                w.below--;
                r = look_into_layer(&w, s);
                container_search_done(s);
                free(s);
        }
        if (r >= 0 && r != STEP_FOUND)
                r = not_found(&w, "");
        ret->outside = w.outside;
        return r < 0 ? r : 0;
}

int container_report(const ContainerImage *image, const ContainerFile *file, Json **ret) {
        const ContainerLayer *layer = image->layers + file->layer;
        _cleanup_free_ char *manifest = container_digest_text(&image->manifest),
                            *content = container_digest_text(&layer->content);

        if (!manifest || !content)
                return -ENOMEM;
        return js_build(ret, "{s:s, s:s?, s:s, s:I, s:{s:s, s:{s:I, s:I, s:s}}, s:I}", "kind", image->kind,
                        "name", image->name, "manifest", manifest, "layers", (long long) image->n_layers,
                        "file", "path", file->path, "layer", "number", (long long) file->layer + 1, "of",
                        (long long) image->n_layers, "content", content, "ignored-entries",
                        (long long) file->outside);
}
