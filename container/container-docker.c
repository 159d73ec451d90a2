/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What "docker save" wrote before version 25, and "skopeo copy docker-archive:" does: manifest.json names, for each image, the configuration
 * and the layers, whose content only the configuration's digests describe. The configuration's own is its name. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "container-image.h"
#include "error.h"
#include "json.h"
#include "strutil.h"

static const char *first_name(const Json *image) {
        return js_string_value(js_at(js_get(image, "RepoTags"), 0));
}

/* HEX.json, or blobs/sha256/HEX. */
static bool digest_of_name(const char *name, ContainerDigest *ret) {
        const char *base = strrchr(name, '/');
        char text[7 + 64 + 1] = "sha256:";

        base = base ? base + 1 : name;
        if (strcspn(base, ".") != 64)
                return false;
        memcpy(text + 7, base, 64);
        text[7 + 64] = 0;
        return container_digest_parse(text, ret) >= 0;
}

/* The name that was asked for, where the image has several. */
static const char *name_for(const Json *image, const char *wanted) {
        const Json *tags = js_get(image, "RepoTags");

        for (size_t i = 0; wanted && i < js_length(tags); i++) {
                const char *name = js_string_value(js_at(tags, i));

                if (container_name_match(name, wanted) != CONTAINER_MATCH_NONE)
                        return name;
        }
        return first_name(image);
}

static ContainerDigest id_of(const Json *image) {
        const char *place = js_string_value(js_get(image, "Config"));
        ContainerDigest id = {};

        return place && digest_of_name(place, &id) ? id : (ContainerDigest) {};
}

static ContainerMatch match(const Json *image, const char *wanted) {
        const ContainerDigest id = id_of(image);
        const Json *tags = js_get(image, "RepoTags");
        ContainerMatch best = !wanted || container_digest_matches(&id, wanted) ? CONTAINER_MATCH_EXACT
                                                                               : CONTAINER_MATCH_NONE;

        for (size_t i = 0; i < js_length(tags) && best < CONTAINER_MATCH_EXACT; i++) {
                const char *name = js_string_value(js_at(tags, i));

                best = MAX(best, container_name_match(name, wanted));
        }
        return best;
}

static int choose(const Json *images, const char *wanted, const Json **ret, char **reterr) {
        ContainerNames names = {}, several = {};
        ContainerMatch best = CONTAINER_MATCH_PART;
        const Json *found = NULL;

        for (size_t i = 0; i < js_length(images) && i < CONTAINER_IMAGES_MAX; i++) {
                const Json *image = js_at(images, i);
                const ContainerDigest id = id_of(image);
                ContainerMatch how = match(image, wanted);

                container_names_add_image(&names, first_name(image), &id, NULL, NULL);
                if (how < best)
                        continue;
                if (how > best)
                        several = (ContainerNames) {};
                container_names_add_image(&several, first_name(image), &id, NULL, NULL);
                best = how;
                found = image;
        }
        if (several.n == 0)
                return error_set(reterr, -ENOENT, "no image '%s' in it; it has: %s", wanted ?: "",
                                names.n > 0 ? names.text : "none");
        if (several.n > 1)
                return error_set(reterr, -ENOTUNIQ,
                                "%zu images in it%s%s%s: choose one with --image=NAME:TAG or its digest; it has: %s",
                                several.n, wanted ? " fit '" : "", wanted ?: "", wanted ? "'" : "",
                                several.text);
        *ret = found;
        return 0;
}

static int read_layers(const Json *layers, ContainerImage *ret, char **reterr) {
        size_t n = js_length(layers);

        if (n == 0 || n > CONTAINER_LAYERS_MAX)
                return error_set(reterr, -EBADMSG, "the image has %zu layers, expected 1 to %u", n,
                                CONTAINER_LAYERS_MAX);
        ret->layers = calloc(n, sizeof(ContainerLayer));
        if (!ret->layers)
                return -ENOMEM;
        for (ret->n_layers = 0; ret->n_layers < n; ret->n_layers++) {
                const char *place = js_string_value(js_at(layers, ret->n_layers));

                if (!place)
                        return error_set(reterr, -EBADMSG, "manifest.json: layer %zu is not a name",
                                        ret->n_layers + 1);
                ret->layers[ret->n_layers].place = strdup(place);
                if (!ret->layers[ret->n_layers].place)
                        return -ENOMEM;
        }
        return 0;
}

int container_choose_docker(ContainerSource *s, const char *wanted, ContainerImage *ret, char **reterr) {
        _cleanup_free_ char *text = NULL, *config = NULL;
        _cleanup_js_ Json *j = NULL;
        const Json *image;
        const char *place;
        size_t size;
        int r = container_read(s, "manifest.json", CONTAINER_JSON_MAX, &text, &size, reterr);

        if (r >= 0)
                r = js_parse(text, size, &j, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "manifest.json");
        r = choose(j, wanted, &image, reterr);
        if (r < 0)
                return r;
        ret->kind = "docker-archive";
        if (first_name(image) && !(ret->name = strdup(name_for(image, wanted))))
                return -ENOMEM;
        place = js_string_value(js_get(image, "Config"));
        if (!place)
                return error_set(reterr, -EBADMSG, "manifest.json names no configuration of the image");
        r = read_layers(js_get(image, "Layers"), ret, reterr);
        if (r >= 0)
                r = container_read(s, place, CONTAINER_JSON_MAX, &config, &size, reterr);
        if (r == -ENOENT)
                return error_set(reterr, r, "manifest.json names the configuration '%s', which is missing",
                                place);
        if (r < 0)
                return r;
        if (!digest_of_name(place, &ret->manifest))
                return error_set(reterr, -EBADMSG,
                                "the configuration's name '%s' is not its digest: nothing says what it has to be",
                                place);
        r = container_digest_check(&ret->manifest, config, size, "the image's configuration", reterr);
        return r < 0 ? r : container_read_config(ret, config, size, reterr);
}
