/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the service remembers, as an interface: owners, registrations, launches and what happened. Every operation is whole or not
 * at all, and lasts when it has returned. Secrets arrive here sealed (attestd-vault.h). Times are seconds since 1970. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest-launch.h"
#include "attest-secret.h"
#include "macro.h"

#define LAUNCH_ID_SIZE        16u
#define LAUNCH_MEASURE_SIZE   48u /* measurement and nonce, as QMP gives it */
#define STORE_TOKEN_HASH_SIZE 32u
#define STORE_SHA256_SIZE     32u

typedef struct StoreVm {
        char *id; /* owned */
        int64_t owner, created;
        char *document;  /* owned: the registration as JSON, without its secrets */
        uint8_t *sealed; /* owned: the secret table */
        size_t sealed_size;
        uint64_t open, held, released; /* launches; filled by vm_get, if it shall count, and vm_list */
} StoreVm;

typedef enum LaunchState {
        LAUNCH_OPEN,      /* session given out */
        LAUNCH_RELEASED,  /* secrets given out: the packet is kept, the keys are gone */
        LAUNCH_BURNED,    /* too many failures, or refused by the owner */
        LAUNCH_HELD,      /* proven, but beyond the limit: waits for the owner */
        LAUNCH_CONFIRMED, /* by the owner: may have its secrets */
        _LAUNCH_STATE_MAX,
} LaunchState;

typedef struct StoreLaunch {
        uint8_t id[LAUNCH_ID_SIZE];
        char *vm; /* owned */
        LaunchState state;
        int64_t created;
        int64_t held; /* since when, or confirmed when; 0: never */
        uint32_t policy;
        uint64_t failures;
        uint8_t *keys; /* owned: TEK and TIK, sealed; NULL when released or burned */
        size_t keys_size;
        uint8_t measurement[LAUNCH_MEASURE_SIZE]; /* if released, as are the two below */
        uint8_t header[SECRET_HEADER_SIZE];
        uint8_t *payload; /* owned */
        size_t payload_size;
} StoreLaunch;

/* When a registration's launches end or are too many. */
typedef struct StoreLimits {
        int64_t expired;       /* open launches older than this are forgotten */
        uint64_t open_max;     /* beyond this the oldest open one is forgotten */
        int64_t window;        /* releases after this time count ... */
        uint64_t releases_max; /* ... and may not be more than this */
        int64_t hold_expired;  /* launches that wait since before this are forgotten */
        uint64_t held_max;     /* so many may wait */
} StoreLimits;

/* An uploaded firmware file, without its bytes. */
typedef struct StoreFirmware {
        int64_t owner, created;
        uint8_t sha256[STORE_SHA256_SIZE];
        uint64_t size;
} StoreFirmware;

void store_vm_done(StoreVm *v);
void store_launch_done(StoreLaunch *l);

typedef struct Store Store;
typedef int (*StoreVmFunction)(void *userdata, const StoreVm *v);
typedef int (*StoreLaunchFunction)(void *userdata, const StoreLaunch *l); /* > 0: stop, and return that */
typedef int (*StoreFirmwareFunction)(void *userdata, const StoreFirmware *f);
typedef int (*StoreEventFunction)(
                void *userdata, int64_t when, const char *vm, const char *launch, const char *event);

typedef struct StoreOps {
        Store *(*free)(Store *s);
        int (*owner_add)(Store *s, const char *name,
                        const uint8_t hash[static STORE_TOKEN_HASH_SIZE]); /* -EEXIST */
        int (*owner_find)(Store *s, const uint8_t hash[static STORE_TOKEN_HASH_SIZE],
                        int64_t *ret); /* -ENOENT */

        int (*owner_named)(Store *s, const char *name, int64_t *ret); /* -ENOENT */

        int (*vm_add)(Store *s, const StoreVm *v); /* -EEXIST */
        /* Document and, unless it is NULL, the sealed table anew. Launches that have not got their secrets are forgotten: they began
         * under what was said before. -ENOENT */
        int (*vm_update)(Store *s, const StoreVm *v, int64_t now, uint64_t *ret_ended);
        int (*vm_get)(Store *s, const char *id, bool counted, StoreVm *ret); /* -ENOENT */
        int (*vm_list)(Store *s, int64_t owner, StoreVmFunction f, void *userdata);
        int (*vm_delete)(Store *s, int64_t owner, const char *id,
                        int64_t now); /* with its launches; -ENOENT */

        int (*launch_add)(Store *s, const StoreLaunch *l, const StoreLimits *limits);
        int (*launch_get)(Store *s, const char *vm, const uint8_t id[static LAUNCH_ID_SIZE],
                        StoreLaunch *ret); /* -ENOENT */
        int (*launch_each)(
                        Store *s, const char *vm, LaunchState state, StoreLaunchFunction f, void *userdata);
        /* Counts a failure; with the max-th the launch is burned, its keys and its packet are gone. */
        int (*launch_fail)(Store *s, const StoreLaunch *l, uint64_t max, int64_t now, uint64_t *ret_left);
        /* From open, held or confirmed (as *l says) to released, once: measurement, header and payload are kept, the keys are gone.
         * -EDQUOT: too many releases, unless it was confirmed; -ESTALE: it is not in that state any more. */
        int (*launch_release)(Store *s, const StoreLaunch *l, const StoreLimits *limits, int64_t now);

        /* From open to held; nothing if it is held already. -EDQUOT: too many wait; -ESTALE */
        int (*launch_hold)(Store *s, const StoreLaunch *l, const StoreLimits *limits, int64_t now);
        int (*launch_confirm)(Store *s, const StoreLaunch *l, int64_t now); /* from held; -ESTALE */
        int (*launch_reject)(Store *s, const StoreLaunch *l,
                        int64_t now); /* without its secrets to burned; -ESTALE */

        /* f->size bytes of the file. -EEXIST; -EDQUOT: this owner has `max` already. */
        int (*firmware_add)(Store *s, const StoreFirmware *f, int fd, uint64_t max);
        /* A new file in memory. -ENOENT */
        int (*firmware_get)(Store *s, int64_t owner, const uint8_t sha256[static STORE_SHA256_SIZE],
                        int *ret_fd, uint64_t *ret_size);
        int (*firmware_list)(Store *s, int64_t owner, StoreFirmwareFunction f, void *userdata);
        int (*firmware_delete)(Store *s, int64_t owner,
                        const uint8_t sha256[static STORE_SHA256_SIZE]); /* -ENOENT */

        int (*events)(Store *s, int64_t owner, const char *vm, StoreEventFunction f, void *userdata);
} StoreOps;

struct Store {
        const StoreOps *ops;
};

static inline Store *store_free(Store *s) {
        return s ? s->ops->free(s) : NULL;
}
DEFINE_TRIVIAL_CLEANUP_FUNC(Store *, store_free);
#define _cleanup_store_ _cleanup_(store_freep)

/* SQLite in one file, which is made if it is missing. */
_warn_unused_result_ int store_sqlite_open(const char *path, Store **ret, char **reterr);
