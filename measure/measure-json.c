/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-json.h"

#include <errno.h>

static int add_input(Json *object, const char *key, const InputDigest *d) {
        _cleanup_js_ Json *parts = NULL;
        Json *j = NULL;
        int r;

        if (!d->present)
                return 0;
        parts = js_array();
        if (!parts)
                return -ENOMEM;
        FOREACH_ARRAY(p, d->parts, d->n_parts) {
                Json *part = NULL;

                r = js_build(&part, "{s:s, s:I, s:o}", "label", p->label, "size", (long long) p->size,
                                "sha256", js_hex(p->sha256, SHA256_SIZE));
                if (r < 0)
                        return r;
                r = js_append(parts, part);
                if (r < 0)
                        return r;
        }
        r = js_build(&j, "{s:o, s:I, s:o}", "sha256", js_hex(d->sha256, SHA256_SIZE), "size",
                        (long long) d->size, "parts", js_ref(parts));
        return r < 0 ? r : js_set(object, key, j);
}

int measure_json_parts(const InputDigest *firmware, const PlanDigests *digests, Json **ret) {
        const struct {
                const char *key;
                const InputDigest *digest;
        } inputs[] = {
                { "firmware", firmware },
                { "kernel", &digests->kernel },
                { "initrd", &digests->initrd },
                { "cmdline", &digests->cmdline },
        };
        _cleanup_js_ Json *j = js_object();

        if (!j)
                return -ENOMEM;
        FOREACH_ARRAY(i, inputs, ELEMENTSOF(inputs)) {
                int r = add_input(j, i->key, i->digest);

                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(j);
        return 0;
}
