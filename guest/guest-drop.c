/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "guest-drop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "atomic-file.h"
#include "encode.h"
#include "error.h"
#include "secret.h"
#include "strutil.h"

#define NAME_MAX_SIZE 128u
#define VOLUME        "root" /* what systemd calls the volume of the root file system */
#define SECRETS_MAX   256u

typedef struct Item {
        const char *folder;
        char name[2 * NAME_MAX_SIZE];
        SecretBuf data;
} Item;

typedef struct Items {
        Item *list; /* owned */
        size_t n;
} Items;

static void items_done(Items *l) {
        FOREACH_ARRAY(i, l->list, l->n)
                secret_buf_done(&i->data);
        free(l->list);
}

static bool name_valid(const char *s) {
        size_t n = s ? strlen(s) : 0;

        return n > 0 && n <= NAME_MAX_SIZE && s[0] != '.' &&
                        strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@:-") ==
                        n;
}

static int read_data(const Json *j, SecretBuf *ret) {
        const Json *data = js_get(j, "data");
        uint8_t *bytes = NULL;
        size_t n = 0;
        int r = js_string_value(data)
                        ? base64_decode(js_string_value(data), js_string_length(data), &bytes, &n)
                        : -EINVAL;

        if (r >= 0)
                r = secret_buf_copy(ret, bytes, n);
        if (bytes)
                erase_memory(bytes, n);
        free(bytes);
        return r;
}

static int read_item(const GuestDrop *d, const Json *j, Item *i) {
        const char *type = js_string_value(js_get(j, "type")), *name = js_string_value(js_get(j, "name"));
        const Json *phrase = js_get(j, "passphrase");
        const char *text = js_string_value(js_get(j, "guid"));
        Guid guid;

        i->folder = d->credentials;
        if (streq_ptr(type, "luks-passphrase")) {
                i->folder = d->keys;
                if (!js_string_value(phrase) || (name && !name_valid(name)))
                        return -EINVAL;
                (void) snprintf(i->name, sizeof(i->name), "%s.key", name ?: VOLUME);
                return secret_buf_copy(&i->data, js_string_value(phrase), js_string_length(phrase));
        }
        if (streq_ptr(type, "credential")) {
                if (!name_valid(name))
                        return -EINVAL;
                (void) snprintf(i->name, sizeof(i->name), "%s", name);
                return read_data(j, &i->data);
        }
        if (type || !text || guid_parse(text, &guid) < 0)
                return -EINVAL;
        (void) snprintf(i->name, sizeof(i->name), "cvmspawn.secret.");
        guid_format(&guid, i->name + strlen(i->name));
        return read_data(j, &i->data);
}

static int read_items(const GuestDrop *d, const Json *secrets, Items *ret, char **reterr) {
        const Json *list = js_get(secrets, "secrets");
        size_t n = js_is_array(list) ? js_length(list) : 0;

        if (n == 0 || n > SECRETS_MAX)
                return error_set(reterr, -EBADMSG, "the service did not send a list of 1 to %u secrets",
                                SECRETS_MAX);
        ret->list = calloc(n, sizeof(Item));
        if (!ret->list)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                int r = read_item(d, js_at(list, i), ret->list + ret->n++);

                if (r < 0)
                        return r == -ENOMEM
                                        ? r
                                        : error_set(reterr, -EBADMSG,
                                                          "secret %zu has a type or name that this guest does not support",
                                                          i);
        }
        return 0;
}

static int make_folder(const char *path, char **reterr) {
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return error_set(
                                reterr, -errno, "cannot make the directory '%s': %s", path, strerror(errno));
        return 0;
}

typedef struct Files {
        AtomicFile *list; /* owned, with the paths */
        char **paths;
        size_t n;
} Files;

static void files_done(Files *f) {
        FOREACH_ARRAY(path, f->paths, f->n)
                free(*path);
        free(f->paths);
        free(f->list);
}

static int name_files(const Items *items, Files *f, char **reterr) {
        f->list = calloc(MAX(items->n, 1u), sizeof(AtomicFile));
        f->paths = calloc(MAX(items->n, 1u), sizeof(char *));
        if (!f->list || !f->paths)
                return -ENOMEM;
        FOREACH_ARRAY(i, items->list, items->n) {
                int r = make_folder(i->folder, reterr);

                if (r < 0)
                        return r;
                if (asprintf(&f->paths[f->n], "%s/%s", i->folder, i->name) < 0) {
                        f->paths[f->n] = NULL;
                        return -ENOMEM;
                }
                f->list[f->n] = (AtomicFile) { f->paths[f->n], i->data.data, i->data.size, 0400 };
                f->n++;
        }
        return 0;
}

int guest_drop(GuestDrop *d, const Json *secrets, char **reterr) {
        _cleanup_(items_done) Items items = {};
        _cleanup_(files_done) Files files = {};
        size_t failed;
        int r = read_items(d, secrets, &items, reterr);

        if (r >= 0)
                r = name_files(&items, &files, reterr);
        if (r < 0)
                return r;
        r = files_write_atomic(files.list, files.n, ATOMIC_FILE_REPLACE | ATOMIC_FILE_EXACT_MODE, &failed);
        if (r < 0)
                return error_set(reterr, r, "cannot write '%s': %s", files.n > 0 ? files.paths[failed] : "",
                                strerror(-r));
        FOREACH_ARRAY(i, items.list, items.n)
                *(i->folder == d->keys ? &d->n_keys : &d->n_credentials) += 1;
        return 0;
}
