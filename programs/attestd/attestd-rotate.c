/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --rotate-key=: encrypts every secret again while services run. It may be killed at any time, and goes on when it is called again: the new key
 * is in the store from the first step on, each row is replaced by itself, and the last step, which nobody else can interfere with, deletes
 * what led from the old key to the new one. --check-store decrypts the same rows. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attestd.h"
#include "encode.h"
#include "error.h"
#include "json.h"
#include "log.h"

#define BATCH          512u /* rows that are held in memory */
#define STATUS_DAMAGED 2

typedef struct Rotation {
        AttestdWorld *w;
        Vault only_new; /* borrows w's key */
        StoreVm *vms;   /* owned, BATCH of them, as are the next ones */
        StoreLaunch *launches;
        size_t n_vms, n_launches;
        uint64_t vms_done, launches_done;
} Rotation;

static void let_go(Rotation *t) {
        FOREACH_ARRAY(v, t->vms, t->n_vms)
                store_vm_done(v);
        FOREACH_ARRAY(l, t->launches, t->n_launches)
                store_launch_done(l);
        t->n_vms = t->n_launches = 0;
}

static void rotation_done(Rotation *t) {
        let_go(t);
        free(t->vms);
        free(t->launches);
}

/* 1: it has to be encrypted again; 0: it need not, or cannot be decrypted. */
static int is_old(const Rotation *t, const VaultPlace *place, const uint8_t *sealed, size_t size) {
        _cleanup_(secret_buf_done) SecretBuf plain = {}, again = {};
        int r = vault_unseal(&t->only_new, place, sealed, size, &plain);

        if (r != -EKEYREJECTED)
                return r;
        r = vault_unseal(&t->w->vault, place, sealed, size, &again);
        return r == -EKEYREJECTED ? 0 : r < 0 ? r : 1;
}

static int copy_bytes(const uint8_t *data, size_t size, uint8_t **ret, size_t *ret_size) {
        uint8_t *copy = malloc(size);

        if (!copy)
                return -ENOMEM;
        memcpy(copy, data, size);
        *ret = copy;
        *ret_size = size;
        return 0;
}

static int collect_vm(void *userdata, const StoreVm *v) {
        const VaultPlace place = service_secrets_place(v->id);
        Rotation *t = userdata;
        StoreVm *to = t->vms + t->n_vms;
        int r = is_old(t, &place, v->sealed, v->sealed_size);

        if (r <= 0)
                return r;
        *to = (StoreVm) { .id = strdup(v->id) };
        r = to->id ? copy_bytes(v->sealed, v->sealed_size, &to->sealed, &to->sealed_size) : -ENOMEM;
        if (r < 0) {
                store_vm_done(to);
                return r;
        }
        return ++t->n_vms == BATCH;
}

static int collect_launch(void *userdata, const StoreLaunch *l) {
        const VaultPlace place = service_launch_place(l);
        Rotation *t = userdata;
        StoreLaunch *to = t->launches + t->n_launches;
        int r = is_old(t, &place, l->keys, l->keys_size);

        if (r <= 0)
                return r;
        *to = (StoreLaunch) {};
        memcpy(to->id, l->id, sizeof(to->id));
        r = copy_bytes(l->keys, l->keys_size, &to->keys, &to->keys_size);
        return r < 0 ? r : ++t->n_launches == BATCH;
}

static int seal_again(const Rotation *t, const VaultPlace *place, const uint8_t *old, size_t old_size,
                uint8_t **ret, size_t *ret_size) {
        _cleanup_(secret_buf_done) SecretBuf plain = {};
        int r = vault_unseal(&t->w->vault, place, old, old_size, &plain);

        return r < 0 ? r : vault_seal(&t->only_new, place, plain.data, plain.size, ret, ret_size);
}

/* At most a batch. *ret_more: nothing of the old key may be left only if it is false. */
static int turn(Rotation *t, bool *ret_more) {
        Store *s = t->w->store;
        int r = s->ops->vm_sealed(s, collect_vm, t);

        if (r >= 0)
                r = s->ops->launch_sealed(s, collect_launch, t);
        *ret_more = t->n_vms + t->n_launches > 0;
        for (size_t i = 0; r >= 0 && i < t->n_vms; i++) {
                const VaultPlace place = service_secrets_place(t->vms[i].id);
                _cleanup_free_ uint8_t *sealed = NULL;
                size_t size;

                r = seal_again(t, &place, t->vms[i].sealed, t->vms[i].sealed_size, &sealed, &size);
                if (r >= 0)
                        r = s->ops->vm_reseal(s, t->vms + i, sealed, size);
                t->vms_done += r >= 0;
        }
        for (size_t i = 0; r >= 0 && i < t->n_launches; i++) {
                const VaultPlace place = service_launch_place(t->launches + i);
                _cleanup_free_ uint8_t *sealed = NULL;
                size_t size;

                r = seal_again(t, &place, t->launches[i].keys, t->launches[i].keys_size, &sealed, &size);
                if (r >= 0)
                        r = s->ops->launch_reseal(s, t->launches + i, sealed, size);
                t->launches_done += r >= 0;
        }
        let_go(t);
        return r;
}

static int rotate(Rotation *t, unsigned wait) {
        Store *s = t->w->store;
        bool more = true;
        int r = 0;

        while (r >= 0 && more)
                r = turn(t, &more);
        /* Services look for the new key every few seconds; with the last step they cannot find it any more. */
        for (unsigned left = wait; r >= 0 && left > 0;)
                left = sleep(left);
        if (r >= 0)
                r = s->ops->begin(s);
        if (r < 0)
                return r;
        for (more = true; r >= 0 && more;)
                r = turn(t, &more);
        if (r >= 0)
                r = s->ops->setting_put(s, STORE_KEY_NEXT, NULL, 0);
        return s->ops->end(s, r);
}

static int print(Json *j) {
        _cleanup_js_ Json *owned = j;
        _cleanup_free_ char *text = js_text(owned, JS_SHORT);

        if (!text)
                return -ENOMEM;
        (void) printf("%s\n", text);
        return 0;
}

int attestd_rotate_key(const AttestdArgs *a, AttestdWorld *w, char **reterr) {
        _cleanup_(rotation_done) Rotation t = { .w = w };
        Json *j = NULL;
        int r = attestd_rotation_begin(a, w, reterr);

        if (r < 0)
                return r;
        t.only_new.key = w->vault.key;
        t.vms = calloc(BATCH, sizeof(StoreVm));
        t.launches = calloc(BATCH, sizeof(StoreLaunch));
        if (!t.vms || !t.launches)
                return -ENOMEM;
        r = rotate(&t, a->rotate_wait);
        if (r < 0)
                return error_set(reterr, r, "--rotate-key: interrupted (%s): call it again", strerror(-r));
        r = js_build(&j, "{s:I, s:I}", "registrations", (int64_t) t.vms_done, "launches",
                        (int64_t) t.launches_done);
        return r < 0 ? r : print(j);
}

typedef struct Check {
        const AttestdWorld *w;
        uint64_t vms, launches, damaged;
} Check;

/* 1 damaged, 0 not. */
static int is_damaged(Check *c, const VaultPlace *place, const uint8_t *sealed, size_t size) {
        _cleanup_(secret_buf_done) SecretBuf plain = {};
        int r = vault_unseal(&c->w->vault, place, sealed, size, &plain);

        c->damaged += r == -EKEYREJECTED;
        return r == -EKEYREJECTED ? 1 : MIN(r, 0);
}

static int check_vm(void *userdata, const StoreVm *v) {
        const VaultPlace place = service_secrets_place(v->id);
        Check *c = userdata;
        Json *j = NULL;
        int r = is_damaged(c, &place, v->sealed, v->sealed_size);

        c->vms++;
        if (r <= 0)
                return r;
        r = js_build(&j, "{s:s, s:s}", "damaged", "registration", "id", v->id);
        return r < 0 ? r : print(j);
}

static int check_launch(void *userdata, const StoreLaunch *l) {
        const VaultPlace place = service_launch_place(l);
        Check *c = userdata;
        Json *j = NULL;
        int r = is_damaged(c, &place, l->keys, l->keys_size);

        c->launches++;
        if (r <= 0)
                return r;
        r = js_build(&j, "{s:s, s:s, s:o}", "damaged", "launch", "id", l->vm, "launch-id",
                        js_hex(l->id, sizeof(l->id)));
        return r < 0 ? r : print(j);
}

int attestd_check_store(const AttestdWorld *w, int *ret_status, char **reterr) {
        Check c = { .w = w };
        Store *s = w->store;
        Json *j = NULL;
        int r = s->ops->vm_sealed(s, check_vm, &c);

        if (r >= 0)
                r = s->ops->launch_sealed(s, check_launch, &c);
        if (r >= 0)
                r = js_build(&j, "{s:I, s:I, s:I}", "registrations", (int64_t) c.vms, "launches",
                                (int64_t) c.launches, "damaged-rows", (int64_t) c.damaged);
        if (r >= 0)
                r = print(j);
        if (r < 0)
                return error_set(reterr, r, "--check-store: cannot read '%s': %s", w->store_name,
                                strerror(-r));
        *ret_status = c.damaged > 0 ? STATUS_DAMAGED : 0;
        return 0;
}
