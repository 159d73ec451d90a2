/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The secrets key: where it is, and whether it is the one of this database. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attestd.h"
#include "error.h"
#include "strutil.h"

typedef struct Trial {
        const Vault *vault;
        bool any;
} Trial;

/* > 0: this one opens. */
static int try_one(void *userdata, const StoreVm *v) {
        const VaultPlace place = service_secrets_place(v->id);
        _cleanup_(secret_buf_done) SecretBuf table = {};
        Trial *t = userdata;
        int r;

        t->any = true;
        if (!t->vault)
                return 1;
        r = vault_unseal(t->vault, &place, v->sealed, v->sealed_size, &table);
        return r == -EKEYREJECTED ? 0 : r < 0 ? r : 1;
}

/* In a database from a backup, say: a new key would be of no use for it. */
static int open_in_state(AttestdWorld *w, const char *path, const char *db, char **reterr) {
        Trial t = {};
        int r;

        r = vault_open(path, /* create= */ false, &w->vault, NULL);
        if (r != -ENOENT)
                return r < 0 ? vault_open(path, /* create= */ false, &w->vault, reterr) : 0;
        r = w->store->ops->vm_sealed(w->store, try_one, &t);
        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", db, strerror(-r));
        if (t.any)
                return error_set(reterr, -ENOKEY,
                                "the key file '%s' is missing, and the secrets in '%s' are encrypted with it: restore it, or name it with --secrets-key=",
                                path, db);
        return vault_open(path, /* create= */ true, &w->vault, reterr);
}

static int open_vault(
                const AttestdArgs *a, AttestdWorld *w, const char *db, char **ret_path, char **reterr) {
        const char *credentials = getenv("CREDENTIALS_DIRECTORY");
        int r;

        if (a->secrets_key) {
                *ret_path = strdup(a->secrets_key);
                return *ret_path ? vault_open(*ret_path, /* create= */ false, &w->vault, reterr) : -ENOMEM;
        }
        if (credentials) {
                if (asprintf(ret_path, "%s/secrets-key", credentials) < 0) {
                        *ret_path = NULL;
                        return -ENOMEM;
                }
                r = vault_open(*ret_path, /* create= */ false, &w->vault, NULL);
                if (r != -ENOENT)
                        return r < 0 ? error_set(reterr, r,
                                                       "the credential secrets-key is not usable (it must be 32 bytes)")
                                     : 0;
                free(TAKE_PTR(*ret_path));
        }
        if (asprintf(ret_path, "%s/secrets.key", w->state) < 0) {
                *ret_path = NULL;
                return -ENOMEM;
        }
        return open_in_state(w, *ret_path, db, reterr);
}

int attestd_open_vault(const AttestdArgs *a, AttestdWorld *w, const char *db, char **reterr) {
        _cleanup_free_ char *path = NULL;
        Trial t = { .vault = &w->vault };
        int r = open_vault(a, w, db, &path, reterr);

        if (r < 0)
                return r;
        /* One that opens is enough: others may be older than a key that was lost. */
        r = w->store->ops->vm_sealed(w->store, try_one, &t);
        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", db, strerror(-r));
        if (r == 0 && t.any)
                return error_set(reterr, -EKEYREJECTED,
                                "the secrets in '%s' are encrypted with another key than '%s': name the right one with --secrets-key=, or begin with an empty state directory",
                                db, path);
        return 0;
}
