/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "container-image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "json.h"
#include "strutil.h"

void container_image_done(ContainerImage *image) {
        FOREACH_ARRAY(l, image->layers, image->n_layers)
                free(l->place);
        free(image->layers);
        free(image->name);
        *image = (ContainerImage) {};
}

/* Into a buffer of n bytes, cut to it. */
static const char *clean(const char *s, char *buffer, size_t n) {
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/:@";
        size_t i;

        for (i = 0; s && s[i] && i < n - 1; i++)
                buffer[i] = strchr(allowed, s[i]) ? s[i] : '?';
        buffer[i] = 0;
        return buffer;
}

void container_names_add_image(ContainerNames *names, const char *name, const ContainerDigest *digest,
                const char *os, const char *machine) {
        _cleanup_free_ char *id = digest && digest->known ? container_digest_text(digest) : NULL;
        char what[256], platform[2][32], item[512];
        size_t size = strlen(names->text);
        int n;

        /* Enough of it to choose by. */
        if (id)
                id[strcspn(id, ":") + 1 + CONTAINER_DIGEST_SHORT] = 0;
        n = snprintf(item, sizeof(item), "%s%s%s%s%s%s%s%s%s", size > 0 ? ", " : "",
                        name ? clean(name, what, sizeof(what)) : "one without a name", id || os ? " (" : "",
                        id ?: "", id && os ? ", " : "", clean(os, platform[0], sizeof(platform[0])),
                        os ? "/" : "", clean(machine, platform[1], sizeof(platform[1])),
                        id || os ? ")" : "");
        names->n++;
        if (n > 0 && size + (size_t) n < sizeof(names->text))
                memcpy(names->text + size, item, (size_t) n + 1);
}

void container_names_add(ContainerNames *names, const char *name) {
        container_names_add_image(names, name, NULL, NULL, NULL);
}

static const char *tag_of(const char *name) {
        const char *slash = strrchr(name, '/'), *colon = strrchr(name, ':');

        return colon && (!slash || colon > slash) ? colon + 1 : NULL;
}

/* Layouts often store the tag alone, and others the whole name with its registry. */
ContainerMatch container_name_match(const char *name, const char *wanted) {
        const char *tag = tag_of(wanted), *own = name ? tag_of(name) : NULL;
        size_t n = name ? strlen(name) : 0, k = strlen(wanted);

        /* Who asks for a digest must not get what merely calls itself that. */
        if (!name || k == 0 || container_digest_wanted(wanted))
                return CONTAINER_MATCH_NONE;
        if (streq(name, wanted))
                return CONTAINER_MATCH_EXACT;
        if ((tag && streq(name, tag)) || (own && streq(own, wanted)) ||
                        (n > k && name[n - k - 1] == '/' && streq(name + n - k, wanted)))
                return CONTAINER_MATCH_PART;
        return CONTAINER_MATCH_NONE;
}

int container_read_config(ContainerImage *image, const char *text, size_t size, char **reterr) {
        _cleanup_js_ Json *config = NULL;
        const Json *ids;
        int r = js_parse(text, size, &config, reterr);

        if (r < 0)
                return error_prefix(reterr, r, "the image's configuration");
        ids = js_get(js_get(config, "rootfs"), "diff_ids");
        if (js_length(ids) != image->n_layers)
                return error_set(reterr, -EBADMSG,
                                "the image's configuration has digests of %zu layers, and the image %zu layers",
                                js_length(ids), image->n_layers);
        for (size_t i = 0; i < image->n_layers; i++) {
                r = container_digest_parse(js_string_value(js_at(ids, i)), &image->layers[i].content);
                if (r < 0)
                        return error_set(reterr, -EBADMSG,
                                        "the image's configuration has a digest that is neither sha256 nor sha512 (layer %zu)",
                                        i + 1);
        }
        return 0;
}
