/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "container-image.h"

#include <errno.h>
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

void container_names_add(ContainerNames *names, const char *name) {
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/:@";
        static const char nameless[] = "one without a name";
        size_t size = strlen(names->text), n = strlen(name ?: nameless);

        names->n++;
        if (size + n + 3 > sizeof(names->text))
                return;
        if (size > 0) {
                memcpy(names->text + size, ", ", 2);
                size += 2;
        }
        for (size_t i = 0; i < n; i++)
                names->text[size + i] = !name ? nameless[i] : strchr(allowed, name[i]) ? name[i] : '?';
        names->text[size + n] = 0;
}

/* The tag alone is enough: layouts often store no more. */
bool container_name_is(const char *name, const char *wanted) {
        const char *slash = strrchr(wanted, '/'), *colon = strrchr(wanted, ':');

        if (!name)
                return false;
        return streq(name, wanted) || (colon && (!slash || colon > slash) && streq(name, colon + 1));
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
