/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "credential.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "strutil.h"

void credential_set_done(CredentialSet *set) {
        FOREACH_ARRAY(c, set->items, set->n_items) {
                free(c->id);
                secret_buf_done(&c->value);
        }
        free(set->items);
        *set = (CredentialSet) {};
}

bool credential_name_valid(const char *id) {
        if (!*id || streq(id, ".") || streq(id, "..") || strlen(id) > 255)
                return false;
        for (const char *p = id; *p; p++)
                if (*p < 0x20 || *p > 0x7e || *p == '/' || *p == ':')
                        return false;
        return true;
}

const Credential *credential_set_find(const CredentialSet *set, const char *id) {
        FOREACH_ARRAY(c, set->items, set->n_items)
                if (streq(c->id, id))
                        return c;
        return NULL;
}

static int check_one(const CredentialSet *set, const char *id, size_t size, char **reterr) {
        if (!credential_name_valid(id))
                return error_set(reterr, -EINVAL,
                                "credential name '%s' is not valid: use printable ASCII without '/' and ':', at most %u characters",
                                id, CREDENTIAL_NAME_MAX);
        if (id[0] == '.')
                return error_set(reterr, -EINVAL,
                                "credential name '%s' begins with a dot: the guest's PID 1 ignores such files, choose another name",
                                id);
        if (strlen(id) > CREDENTIAL_NAME_MAX)
                return error_set(reterr, -ENAMETOOLONG,
                                "credential name '%.32s...' has %zu characters: with '.cred' appended it exceeds the guest's file name limit, use at most %u",
                                id, strlen(id), CREDENTIAL_NAME_MAX);
        if (credential_set_find(set, id))
                return error_set(reterr, -EEXIST, "duplicate credential '%s'", id);
        if (size > CREDENTIAL_SIZE_MAX)
                return error_set(reterr, -E2BIG,
                                "credential '%s' has %zu bytes: the guest's PID 1 skips credentials over %u bytes",
                                id, size, CREDENTIAL_SIZE_MAX);
        return 0;
}

int credential_set_add(CredentialSet *set, const char *id, SecretBuf *value, char **reterr) {
        Credential *items;
        char *copy;
        int r;

        r = check_one(set, id, value->size, reterr);
        if (r < 0)
                return r;

        copy = strdup(id);
        if (!copy)
                return -ENOMEM;
        items = reallocarray(set->items, set->n_items + 1, sizeof(Credential));
        if (!items) {
                free(copy);
                return -ENOMEM;
        }
        set->items = items;
        set->items[set->n_items++] =
                        (Credential) { .id = copy, .value = TAKE_STRUCT(*value, (SecretBuf) {}) };
        return 0;
}

int credential_set_check(const CredentialSet *set, char **reterr) {
        size_t total = 0, pages = 0;

        FOREACH_ARRAY(c, set->items, set->n_items) {
                total += c->value.size;
                pages += (c->value.size + CREDENTIAL_TMPFS_PAGE - 1) / CREDENTIAL_TMPFS_PAGE;
        }

        if (total > CREDENTIALS_TOTAL_MAX)
                return error_set(reterr, -E2BIG,
                                "the credentials have %zu bytes in total: the guest's PID 1 imports at most %u bytes",
                                total, CREDENTIALS_TOTAL_MAX);
        if (pages > CREDENTIAL_TMPFS_SIZE / CREDENTIAL_TMPFS_PAGE)
                return error_set(reterr, -E2BIG,
                                "the credentials need %zu pages: the guest keeps them in a tmpfs of %u pages, where each uses whole pages; combine several small ones",
                                pages, CREDENTIAL_TMPFS_SIZE / CREDENTIAL_TMPFS_PAGE);
        if (set->n_items > CREDENTIAL_TMPFS_INODES - 1)
                return error_set(reterr, -E2BIG,
                                "%zu credentials are too many: the guest's tmpfs holds %u files",
                                set->n_items, CREDENTIAL_TMPFS_INODES - 1);
        return 0;
}
