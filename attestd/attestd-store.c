/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-store.h"

#include <errno.h>
#include <string.h>

void store_vm_done(StoreVm *v) {
        free(v->id);
        free(v->document);
        free(v->sealed);
        *v = (StoreVm) {};
}

void store_launch_done(StoreLaunch *l) {
        free(l->vm);
        free(l->peer);
        free(l->keys);
        free(l->payload);
        *l = (StoreLaunch) {};
}

static const StoreTableInfo tables[] = {
        [STORE_OWNER] = { "owner", "id, name, token", "isb" },
        [STORE_VM] = { "vm", "id, owner, created, document, sealed, released", "siisbi" },
        [STORE_LAUNCH] = { "launch",
                        "number, id, vm, state, created, policy, failures, keys, released, measurement, header, payload, held, peer",
                        "ibsiiiibibbbis" },
        [STORE_EVENT] = { "event", "number, time, owner, vm, launch, what", "iiisss" },
        [STORE_FIRMWARE] = { "firmware", "number, owner, sha256, created, data", "iibib" },
        [STORE_SETTING] = { "setting", "name, value", "sb" },
        [STORE_AUDIT] = { "audit", "number, time, vm, position, launch, what, link", "iisissb" },
};
static_assert(ELEMENTSOF(tables) == _STORE_TABLE_MAX, "every table is described");

const StoreTableInfo *store_table(StoreTable t) {
        assert((int) t >= 0 && t < _STORE_TABLE_MAX);
        return tables + t;
}

int store_check_key(Store *s) {
        _cleanup_free_ uint8_t *id = NULL;
        size_t size;
        int r = s->has_key ? s->ops->setting_get(s, STORE_KEY_ID, &id, &size) : 0;

        if (r < 0 || !s->has_key)
                return r;
        return id && (size != sizeof(s->key_id) || memcmp(id, s->key_id, size) != 0) ? -EKEYEXPIRED : 0;
}
