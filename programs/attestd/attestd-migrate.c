/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --migrate-from=: moves every row of one store into another one, which is empty. The old one is marked first: services that run on it can
 * change nothing from then on, and none starts on it. If the copy is interrupted, it is made again. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attestd.h"
#include "error.h"
#include "json.h"
#include "log.h"
#include "strutil.h"

typedef struct Copy {
        Store *from, *to;
        StoreTable table;
        uint64_t rows;
} Copy;

static const uint8_t nobody[VAULT_ID_SIZE];

/* From here on nobody changes it. */
static int mark(Store *s) {
        _cleanup_free_ uint8_t *moved = NULL, *id = NULL;
        size_t size;
        int r = s->ops->begin(s);

        if (r < 0)
                return r;
        r = s->ops->setting_get(s, STORE_MOVED, &moved, &size);
        if (r >= 0 && !moved)
                r = s->ops->setting_get(s, STORE_KEY_ID, &id, &size);
        if (r >= 0 && !moved)
                r = s->ops->setting_put(s, STORE_MOVED, id ?: nobody, id ? size : sizeof(nobody));
        if (r >= 0 && !moved)
                r = s->ops->setting_put(s, STORE_KEY_ID, nobody, sizeof(nobody));
        return s->ops->end(s, r);
}

static int unmark(Store *s) {
        _cleanup_free_ uint8_t *moved = NULL;
        size_t size;
        int r = s->ops->begin(s);

        if (r < 0)
                return r;
        r = s->ops->setting_get(s, STORE_MOVED, &moved, &size);
        if (r >= 0 && moved)
                r = s->ops->setting_put(s, STORE_KEY_ID, moved, size);
        if (r >= 0)
                r = s->ops->setting_put(s, STORE_MOVED, NULL, 0);
        return s->ops->end(s, r);
}

static bool is_name(const StoreValue *v, const char *name) {
        return v->size == strlen(name) && memcmp(v->data, name, v->size) == 0;
}

static int copy_row(void *userdata, const StoreValue *values) {
        Copy *c = userdata;
        StoreValue changed[2];
        int r;

        c->rows++;
        if (c->table == STORE_SETTING && is_name(values, STORE_KEY_ID)) {
                c->rows--;
                return 0;
        }
        if (c->table == STORE_SETTING && is_name(values, STORE_MOVED)) {
                changed[0] = (StoreValue) { .data = STORE_KEY_ID, .size = strlen(STORE_KEY_ID) };
                changed[1] = values[1];
                values = changed;
        }
        r = c->to->ops->row_add(c->to, c->table, values);
        return MIN(r, 0);
}

static int is_empty(Store *s) {
        for (StoreTable t = 0; t < _STORE_TABLE_MAX; t++) {
                uint64_t n;
                int r = s->ops->row_count(s, t, &n);

                if (r < 0 || n > 0)
                        return r < 0 ? r : -ENOTEMPTY;
        }
        return 0;
}

/* Row by row, within one transaction, and counted again afterwards. */
static int copy_all(Copy *c, Json *counts) {
        int r = is_empty(c->to);

        for (c->table = 0; r >= 0 && c->table < _STORE_TABLE_MAX; c->table++) {
                uint64_t n = 0;

                c->rows = 0;
                r = c->from->ops->rows(c->from, c->table, copy_row, c);
                if (r >= 0)
                        r = c->to->ops->row_count(c->to, c->table, &n);
                if (r >= 0 && n != c->rows)
                        r = -EBADMSG;
                if (r >= 0)
                        r = js_set(counts, store_table(c->table)->name, js_u64(n));
        }
        return r;
}

static const char *explain(int r) {
        return r == -ENOTEMPTY          ? "it is not empty"
                        : r == -EBADMSG ? "the number of rows differs"
                                        : strerror(-r);
}

int attestd_migrate(const AttestdArgs *a, AttestdWorld *w, char **reterr) {
        const char *path = startswith(a->migrate_from, "sqlite:");
        _cleanup_store_ Store *from = NULL;
        _cleanup_js_ Json *counts = js_object();
        _cleanup_free_ char *text = NULL;
        Copy c = { .to = w->store };
        int r;

        if (!path || *path != '/')
                return error_set(reterr, -EINVAL, "--migrate-from: expected sqlite:/PATH, not '%s'",
                                a->migrate_from);
        if (streq(path, w->store_name))
                return error_set(reterr, -EINVAL,
                                "--migrate-from: '%s' is the store itself; name another one with --store=",
                                path);
        if (!counts)
                return -ENOMEM;
        r = store_sqlite_open_existing(path, &from, reterr);
        if (r < 0)
                return r;
        c.from = from;
        r = c.to->ops->begin(c.to);
        if (r >= 0) {
                r = mark(from);
                if (r >= 0)
                        r = copy_all(&c, counts);
                r = c.to->ops->end(c.to, r);
        }
        if (r < 0) {
                /* Whether it was committed is not known then: rather none than two. */
                if (r != -EINPROGRESS && unmark(from) < 0)
                        log_warning("--migrate-from: '%s' stays marked as moved", path);
                return error_set(reterr, r, "--migrate-from: cannot copy '%s' to %s: %s", path,
                                w->store_name, explain(r));
        }
        text = js_text(counts, JS_SHORT);
        if (!text)
                return -ENOMEM;
        (void) printf("%s\n", text);
        return 0;
}
