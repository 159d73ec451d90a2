/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One key for all services on a store. The store knows the key's id, and refuses changes by those that have another one. While --rotate-key
 * works, it also has the new key, encrypted with the one before: a service that runs takes it from there, and keeps both until it ends. */

#include <errno.h>
#include <string.h>

#include "attestd-audit.h"
#include "attestd.h"
#include "error.h"

static const VaultPlace next_place = { .purpose = "key-next" };
static const VaultPlace signer_place = { .purpose = "signer" };

static int get(Store *s, const char *name, uint8_t **ret, size_t *ret_size) {
        return s->ops->setting_get(s, name, ret, ret_size);
}

static int know_key(AttestdWorld *w, const uint8_t id[static VAULT_ID_SIZE]) {
        Store *s = w->store;

        memcpy(s->key_id, id, VAULT_ID_SIZE);
        s->has_key = true;
        return audit_key(&w->vault, s->audit_key);
}

/* Takes the key that follows ours, if it is the one with this id. */
static int adopt(AttestdWorld *w, const uint8_t id[static VAULT_ID_SIZE]) {
        _cleanup_(vault_done) Vault new = {};
        _cleanup_free_ uint8_t *sealed = NULL;
        uint8_t found[VAULT_ID_SIZE];
        size_t size;
        int r = get(w->store, STORE_KEY_NEXT, &sealed, &size);

        if (r >= 0 && !sealed)
                return -EKEYREJECTED;
        if (r >= 0)
                r = vault_unseal(&w->vault, &next_place, sealed, size, &new.key);
        if (r >= 0 && new.key.size != VAULT_KEY_SIZE)
                r = -EKEYREJECTED;
        if (r >= 0)
                r = vault_id(&new, found);
        if (r < 0)
                return r;
        if (memcmp(found, id, sizeof(found)) != 0)
                return -EKEYREJECTED;
        secret_buf_done(&w->vault.previous);
        w->vault.previous = TAKE_STRUCT(w->vault.key, (SecretBuf) {});
        w->vault.key = TAKE_STRUCT(new.key, (SecretBuf) {});
        return 0;
}

static int load_signer(AttestdWorld *w) {
        _cleanup_free_ uint8_t *sealed = NULL;
        size_t size;
        int r = get(w->store, STORE_SIGNER, &sealed, &size);

        if (r < 0 || !sealed)
                return r;
        secret_buf_done(&w->vault.signer);
        return vault_unseal(&w->vault, &signer_place, sealed, size, &w->vault.signer);
}

static int agree(AttestdWorld *w, bool rotating, const char **ret_why) {
        _cleanup_free_ uint8_t *stored = NULL, *next = NULL, *moved = NULL;
        uint8_t id[VAULT_ID_SIZE];
        size_t size, n;
        int r = get(w->store, STORE_KEY_ID, &stored, &size);

        if (r >= 0)
                r = get(w->store, STORE_MOVED, &moved, &n);
        if (r >= 0 && moved) {
                *ret_why = "its rows were moved to another store: use the --store= that --migrate-from= filled";
                return -EREMCHG;
        }
        if (r < 0 || !stored)
                return r;
        if (size != VAULT_ID_SIZE)
                return -EBADMSG;
        r = vault_id(&w->vault, id);
        if (r >= 0 && memcmp(id, stored, sizeof(id)) != 0)
                r = adopt(w, stored);
        else if (r >= 0)
                r = get(w->store, STORE_KEY_NEXT, &next, &n);
        if (r >= 0 && next && !rotating) {
                *ret_why = "its secrets are being encrypted with this key: end that first, with --rotate-key= and the key before it as --secrets-key=";
                return -EBUSY;
        }
        if (r >= 0)
                r = load_signer(w);
        if (r < 0)
                return r;
        r = know_key(w, stored);
        return r < 0 ? r : 1;
}

int attestd_agree_key(AttestdWorld *w, const char *path, bool rotating, char **reterr) {
        const char *why = NULL;
        int r = agree(w, rotating, &why);

        if (r == -EKEYREJECTED)
                return error_set(reterr, r, ATTESTD_ANOTHER_KEY, w->store_name, path);
        return r < 0 ? error_set(reterr, r, "cannot use '%s': %s", w->store_name, why ?: strerror(-r)) : r;
}

int attestd_put_key(AttestdWorld *w, const char *path, char **reterr) {
        _cleanup_free_ uint8_t *stored = NULL;
        uint8_t id[VAULT_ID_SIZE];
        Store *s = w->store;
        size_t size = 0;
        int r = vault_id(&w->vault, id);

        if (r >= 0)
                r = s->ops->begin(s);
        if (r < 0)
                return error_set(reterr, r, "cannot write '%s': %s", w->store_name, strerror(-r));
        r = get(s, STORE_KEY_ID, &stored, &size);
        if (r >= 0 && !stored)
                r = s->ops->setting_put(s, STORE_KEY_ID, id, sizeof(id));
        else if (r >= 0 && (size != sizeof(id) || memcmp(stored, id, size) != 0))
                r = -EKEYREJECTED;
        r = s->ops->end(s, r);
        if (r == -EKEYREJECTED)
                return error_set(reterr, r, ATTESTD_ANOTHER_KEY, w->store_name, path);
        if (r < 0)
                return error_set(reterr, r, "cannot write '%s': %s", w->store_name, strerror(-r));
        return know_key(w, id);
}

int attestd_rekey(void *userdata) {
        AttestdWorld *w = userdata;
        _cleanup_free_ uint8_t *stored = NULL;
        size_t size;
        int r = get(w->store, STORE_KEY_ID, &stored, &size);

        if (r < 0 || !stored || size != VAULT_ID_SIZE || memcmp(stored, w->store->key_id, size) == 0)
                return 0;
        r = adopt(w, stored);
        if (r >= 0)
                r = load_signer(w);
        if (r < 0)
                return 0;
        return know_key(w, stored) >= 0;
}

/* From here on the store has the new key, and everybody who has the old one can take it. */
static int begin_rotation(AttestdWorld *w, const Vault *new) {
        _cleanup_(secret_buf_done) SecretBuf scalar = {};
        _cleanup_free_ uint8_t *signer = NULL, *next = NULL;
        size_t signer_size, next_size;
        uint8_t id[VAULT_ID_SIZE];
        Store *s = w->store;
        int r = vault_signer_scalar(&w->vault, &scalar);

        if (r >= 0)
                r = vault_seal(new, &signer_place, scalar.data, scalar.size, &signer, &signer_size);
        if (r >= 0)
                r = vault_seal(&w->vault, &next_place, new->key.data, new->key.size, &next, &next_size);
        if (r >= 0)
                r = vault_id(new, id);
        if (r >= 0)
                r = s->ops->begin(s);
        if (r < 0)
                return r;
        r = store_check_key(s);
        if (r >= 0)
                r = s->ops->setting_put(s, STORE_SIGNER, signer, signer_size);
        if (r >= 0)
                r = s->ops->setting_put(s, STORE_KEY_NEXT, next, next_size);
        if (r >= 0)
                r = s->ops->setting_put(s, STORE_KEY_ID, id, sizeof(id));
        r = s->ops->end(s, r);
        return r < 0 ? r : attestd_rekey(w) == 1 ? 0 : -EKEYREJECTED;
}

int attestd_rotation_begin(const AttestdArgs *a, AttestdWorld *w, char **reterr) {
        _cleanup_(vault_done) Vault new = {};
        uint8_t id[VAULT_ID_SIZE];
        int r = vault_open_given(a->rotate_key, /* create= */ true, &new, reterr);

        if (r >= 0)
                r = vault_id(&new, id);
        if (r < 0)
                return error_prefix(reterr, r, "--rotate-key");
        if (memcmp(id, w->store->key_id, sizeof(id)) != 0) {
                if (w->vault.previous.size > 0)
                        return error_set(reterr, -EBUSY,
                                        "--rotate-key: the secrets in '%s' are being encrypted with another key than '%s': end that first",
                                        w->store_name, a->rotate_key);
                r = begin_rotation(w, &new);
        } else if (w->vault.previous.size == 0)
                r = -EALREADY;
        return r >= 0 ? 0
                      : error_set(reterr, r, "--rotate-key: %s",
                                        r == -EALREADY ? "this is the key that the secrets are encrypted with; name the one before it with --secrets-key="
                                                       : strerror(-r));
}
