/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What was found, as JSON. Names come from the image: what is not UTF-8 is shown with question marks. */

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "image.h"
#include "strutil.h"

static Json *text(const char *s) {
        _cleanup_free_ char *copy = NULL;
        Json *j;

        if (!s)
                return js_null();
        j = js_string(s);
        if (j)
                return j;
        copy = strdup(s);
        if (!copy)
                return NULL;
        for (char *p = copy; *p; p++)
                if ((unsigned char) *p >= 0x80)
                        *p = '?';
        return js_string(copy);
}

static Json *texts(char *const *l) {
        Json *j = js_array();

        STRV_FOREACH(s, l)
                if (j && js_append(j, text(*s)) < 0)
                        j = js_unref(j);
        return j;
}

static Json *guid(const Guid *g) {
        char s[GUID_TEXT_SIZE];

        if (bytes_are_zero(g->bytes, sizeof(g->bytes)))
                return js_null();
        guid_format(g, s);
        return js_string(s);
}

static int add_partition(const Partition *p, const VolumeProbe *probe, Json *list) {
        Json *j = js_object();
        int r = j ? 0 : -ENOMEM;

        if (r >= 0)
                r = js_set(j, "number", js_u64(p->number));
        if (r >= 0)
                r = js_set(j, "offset", js_u64(p->offset));
        if (r >= 0)
                r = js_set(j, "size", js_u64(p->size));
        if (r >= 0)
                r = js_set(j, "type", guid(&p->type));
        if (r >= 0)
                r = js_set(j, "uuid", guid(&p->id));
        if (r >= 0)
                r = js_set(j, "label", *p->label ? text(p->label) : js_null());
        if (r >= 0)
                r = js_set(j, "content", text(probe->what));
        if (r >= 0)
                return js_append(list, j);
        js_unref(j);
        return r;
}

static int add_partitions(const Image *image, Json *to) {
        const Partition disk = { .size = image->disk.size };
        Json *list = js_array();
        int r = list ? 0 : -ENOMEM;

        if (r >= 0 && image->table.kind == PARTITION_TABLE_NONE)
                r = add_partition(&disk, &image->probes[0], list);
        for (size_t i = 0; r >= 0 && i < image->table.n_items; i++)
                r = add_partition(&image->table.items[i], &image->probes[i], list);
        if (r >= 0)
                return js_set(to, "partitions", list);
        js_unref(list);
        return r;
}

static int fill_entry(const Image *image, const BootEntry *e, bool chosen, Json *j) {
        int r = js_set(j, "source", js_string(boot_source_to_string(e->source)));

        if (r >= 0)
                r = js_set(j, "id", text(e->id));
        if (r >= 0)
                r = js_set(j, "title", text(e->title));
        if (r >= 0)
                r = js_set(j, "version", text(e->version));
        if (r >= 0)
                r = js_set(j, "partition", js_u64(image->volumes[e->volume].partition.number));
        if (r >= 0)
                r = js_set(j, "file", text(e->file));
        if (r >= 0)
                r = js_set(j, "kernel", text(e->kernel));
        if (r >= 0)
                r = js_set(j, "initrds", texts(e->initrds));
        if (r >= 0)
                r = js_set(j, "cmdline", text(e->words));
        return r < 0 ? r : js_set(j, "chosen", js_bool(chosen));
}

static int add_entries(const Image *image, const size_t *chosen, Json *to) {
        Json *list = js_array();
        int r = list ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < image->entries.n_items; i++) {
                Json *j = js_object();

                r = j ? fill_entry(image, &image->entries.items[i], chosen && *chosen == i, j) : -ENOMEM;
                if (r >= 0)
                        r = js_append(list, TAKE_PTR(j));
                js_unref(j);
        }
        if (r >= 0)
                return js_set(to, "entries", list);
        js_unref(list);
        return r;
}

static Json *part_json(const Image *image, const ImagePart *p) {
        const Volume *v = &image->volumes[p->volume];
        Json *j = js_object();
        int r = j ? js_set(j, "path", text(p->path)) : -ENOMEM;

        if (r >= 0)
                r = js_set(j, "partition", js_u64(v->partition.number));
        if (r >= 0)
                r = js_set(j, "filesystem", js_string(v->kind->name));
        if (r >= 0)
                r = js_set(j, "size", js_u64(p->size));
        return r < 0 ? js_unref(j) : j;
}

static int add_parts(Image *image, const BootEntry *e, const ImageParts *parts, Json *to, char **reterr) {
        _cleanup_js_ Json *kernel = part_json(image, &parts->kernel);
        Json *initrds = js_array();
        int r = kernel ? image_kernel_report(image, &parts->kernel, kernel, reterr) : -ENOMEM;

        if (r >= 0)
                r = js_set(to, "kernel", js_ref(kernel));
        FOREACH_ARRAY(i, parts->initrds, r < 0 || !initrds ? 0 : parts->n_initrds)
                r = r < 0 ? r : js_append(initrds, part_json(image, i));
        if (r < 0) {
                js_unref(initrds);
                return r;
        }
        r = js_set(to, "initrds", initrds);
        /* This one is used: it must be exact. */
        if (r >= 0)
                r = js_set(to, "cmdline", e->words ? js_string(e->words) : js_null());
        return r;
}

int image_report(Image *image, const size_t *chosen, const ImageParts *parts, Json **ret, char **reterr) {
        _cleanup_js_ Json *j = js_object();
        int r = j ? js_set(j, "format", js_string(image->qcow2 ? "qcow2" : "raw")) : -ENOMEM;

        if (r >= 0)
                r = js_set(j, "size", js_u64(image->disk.size));
        if (r >= 0)
                r = js_set(j, "table", js_string(partition_table_kind_to_string(image->table.kind)));
        if (r >= 0)
                r = add_partitions(image, j);
        if (r >= 0)
                r = add_entries(image, chosen, j);
        if (r >= 0 && parts)
                r = add_parts(image, &image->entries.items[*chosen], parts, j, reterr);
        if (r >= 0)
                r = js_set(j, "notes", texts(image->notes));
        if (r >= 0)
                r = js_set(j, "problems", texts(image->entries.problems));
        if (r < 0)
                return error_set(reterr, r, "the entry has text that is not UTF-8, or memory is short");
        *ret = TAKE_PTR(j);
        return 0;
}
