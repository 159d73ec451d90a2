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
static int open_in_state(AttestdWorld *w, const char *path, char **reterr) {
        Trial t = {};
        int r;

        r = vault_open(path, /* create= */ false, &w->vault, NULL);
        if (r != -ENOENT)
                return r < 0 ? vault_open(path, /* create= */ false, &w->vault, reterr) : 0;
        r = w->store->ops->vm_sealed(w->store, try_one, &t);
        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", w->store_name, strerror(-r));
        if (t.any)
                return error_set(reterr, -ENOKEY,
                                "the key file '%s' is missing, and the secrets in '%s' are encrypted with it: restore it, or name it with --secrets-key=",
                                path, w->store_name);
        return vault_open(path, /* create= */ true, &w->vault, reterr);
}

static int open_vault(const AttestdArgs *a, AttestdWorld *w, char **ret_path, char **reterr) {
        const char *credentials = getenv("CREDENTIALS_DIRECTORY");
        int r;

        if (a->secrets_key) {
                *ret_path = strdup(a->secrets_key);
                return *ret_path ? vault_open_given(*ret_path, /* create= */ false, &w->vault, reterr)
                                 : -ENOMEM;
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
        if (attestd_store_is_shared(a) && !a->dev)
                return error_set(reterr, -EINVAL,
                                "--store: services that share a database need one key: name its file with --secrets-key=, or pass the credential secrets-key");
        if (asprintf(ret_path, "%s/secrets.key", w->state) < 0) {
                *ret_path = NULL;
                return -ENOMEM;
        }
        return open_in_state(w, *ret_path, reterr);
}

int attestd_open_vault(const AttestdArgs *a, AttestdWorld *w, char **reterr) {
        _cleanup_free_ char *path = NULL;
        Trial t = { .vault = &w->vault };
        int r = open_vault(a, w, &path, reterr), known;

        if (r < 0)
                return r;
        known = attestd_agree_key(w, path, a->rotate_key, reterr);
        if (known < 0)
                return known;
        /* One that opens is enough: others may be older than a key that was lost. */
        r = w->store->ops->vm_sealed(w->store, try_one, &t);
        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", w->store_name, strerror(-r));
        if (r == 0 && t.any)
                return error_set(reterr, -EKEYREJECTED, ATTESTD_ANOTHER_KEY, w->store_name, path);
        return known ? 0 : attestd_put_key(w, path, reterr);
}
