/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-store.h"

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
