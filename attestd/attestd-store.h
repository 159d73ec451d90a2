/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The service's database, as an interface: owners, registrations, launches and the audit log. Every operation is atomic, and durable when
 * it has returned. Secrets arrive here sealed (attestd-vault.h). Times are seconds since 1970. Where an operation failed, nothing was changed;
 * only after -EINPROGRESS it may have been: the database went away while it was to confirm it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest-launch.h"
#include "attest-secret.h"
#include "attestd-machine.h"
#include "attestd-vault.h"
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
        uint64_t open, held; /* launches; filled by vm_get, if asked to count, and by vm_list */
        uint64_t released;   /* since it was registered; filled likewise */
} StoreVm;

typedef struct StoreLaunch {
        uint8_t id[LAUNCH_ID_SIZE];
        char *vm;   /* owned */
        char *peer; /* owned: the address that began it; NULL: none, or not read back */
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

/* When launches of a registration end, or are too many. */
typedef struct StoreLimits {
        int64_t expired;       /* open and burned launches that are older than this are deleted */
        uint64_t open_max;     /* beyond this one is evicted: of the address that has the most, its oldest */
        int64_t window;        /* releases after this time count ... */
        uint64_t releases_max; /* ... and may not be more than this */
        int64_t released_expired; /* no limit counts what was released before this, and nobody asks again: deleted */
        int64_t hold_expired; /* held and confirmed launches that wait since before this are deleted */
        uint64_t held_max;    /* at most this many may wait for their owner */
} StoreLimits;

/* Which launches to visit. */
typedef struct StoreQuery {
        const char *vm;
        LaunchState state;
        const char *peer; /* those that this address began come first; or NULL */
        unsigned max;
} StoreQuery;

/* An uploaded firmware file, without its bytes. */
typedef struct StoreFirmware {
        int64_t owner, created;
        uint8_t sha256[STORE_SHA256_SIZE];
        uint64_t size;
} StoreFirmware;

void store_vm_done(StoreVm *v);
void store_launch_done(StoreLaunch *l);

/* Events that hosts can cause at will; the same condition as in the index event_refused. */
#define STORE_REFUSALS "what IN ('refused', 'burned', 'held', 'expired')"

/* What of it is in the audit trail; the same condition as in the index audit_refused. */
#define STORE_AUDIT_REFUSALS "what IN ('refused', 'burned', 'held')"

typedef struct Store Store;
typedef int (*StoreVmFunction)(void *userdata, const StoreVm *v);
typedef int (*StoreLaunchFunction)(void *userdata, const StoreLaunch *l); /* > 0: stop, and return that */
typedef int (*StoreFirmwareFunction)(void *userdata, const StoreFirmware *f);
typedef int (*StoreEventFunction)(
                void *userdata, int64_t when, const char *vm, const char *launch, const char *event);

/* The tables, in the order in which rows can be added. */
typedef enum StoreTable {
        STORE_OWNER,
        STORE_VM,
        STORE_LAUNCH,
        STORE_EVENT,
        STORE_FIRMWARE,
        STORE_SETTING,
        STORE_AUDIT,
        _STORE_TABLE_MAX,
} StoreTable;

#define STORE_COLUMNS_MAX 14u

/* Names and types of columns, the same in every store: a store is moved by copying rows. */
typedef struct StoreTableInfo {
        const char *name, *columns;
        const char *types; /* by letters: i number, s text, b bytes; the first column is the key */
} StoreTableInfo;

const StoreTableInfo *store_table(StoreTable t);

typedef struct StoreValue {
        bool is_null;
        int64_t number;
        const void *data; /* borrowed; text ends with a NUL that does not count */
        size_t size;
} StoreValue;

typedef int (*StoreRowFunction)(void *userdata, const StoreValue *values);

/* Settings: what all services on a store agree on. */
#define STORE_KEY_ID "key-id" /* vault_id() of the key that secrets are encrypted with */
#define STORE_KEY_NEXT                                                                                      \
        "key-next" /* that key, encrypted with the one before, as long as rows of that one exist */
#define STORE_SIGNER "signer" /* the encrypted scalar of vault_signer(), once the key has changed */
#define STORE_MOVED  "moved"  /* the id of the key, where the rows were moved to another store */

typedef struct StoreOps {
        Store *(*free)(Store *s);
        int (*owner_add)(Store *s, const char *name,
                        const uint8_t hash[static STORE_TOKEN_HASH_SIZE]); /* -EEXIST */
        int (*owner_find)(Store *s, const uint8_t hash[static STORE_TOKEN_HASH_SIZE],
                        int64_t *ret); /* -ENOENT */

        int (*owner_named)(Store *s, const char *name, int64_t *ret); /* -ENOENT */

        int (*vm_add)(Store *s, const StoreVm *v); /* -EEXIST */
        /* Replaces the document and, unless it is NULL, the sealed table. Launches that have not received their secrets are cancelled:
         * they began under the previous registration. -ENOENT */
        int (*vm_update)(Store *s, const StoreVm *v, int64_t now, uint64_t *ret_ended);
        int (*vm_get)(Store *s, const char *id, bool counted, StoreVm *ret); /* -ENOENT */
        int (*vm_list)(Store *s, int64_t owner, StoreVmFunction f, void *userdata);
        /* Names and sealed tables of all owners; > 0 of f: stop, and return that. */
        int (*vm_sealed)(Store *s, StoreVmFunction f, void *userdata);
        int (*vm_delete)(Store *s, int64_t owner, const char *id,
                        int64_t now); /* with its launches; -ENOENT */

        /* All changes of state are those of attestd-machine.h, each with its event in the audit log, in one transaction. */
        int (*launch_add)(Store *s, const StoreLaunch *l, const StoreLimits *limits);
        int (*launch_get)(Store *s, const char *vm, const uint8_t id[static LAUNCH_ID_SIZE],
                        StoreLaunch *ret); /* -ENOENT */
        /* All in this state. */
        int (*launch_count)(Store *s, LaunchState state, uint64_t *ret);
        /* The newest first. */
        int (*launch_each)(Store *s, const StoreQuery *q, StoreLaunchFunction f, void *userdata);
        /* Wrong evidence. Counts unless the launch is final; with the max-th failure it is burned. -ENOENT; *ret_left is UINT64_MAX if it
         * does not count. */
        int (*launch_fail)(Store *s, const StoreLaunch *l, uint64_t max, int64_t now, uint64_t *ret_left);
        /* From open, held or confirmed (as *l says) to released, once: measurement, header and payload are kept.
         * -EDQUOT: too many releases, unless it was confirmed; -ESTALE: it is not in that state any more. */
        int (*launch_release)(Store *s, const StoreLaunch *l, const StoreLimits *limits, int64_t now);
        /* From open to held; nothing if it is held already. -EDQUOT: too many wait; -ESTALE */
        int (*launch_hold)(Store *s, const StoreLaunch *l, const StoreLimits *limits, int64_t now);
        int (*launch_confirm)(Store *s, const StoreLaunch *l, int64_t now); /* -ESTALE */
        int (*launch_reject)(Store *s, const StoreLaunch *l, int64_t now);  /* -ESTALE */

        /* f->size bytes of the file. -EEXIST; -EDQUOT: this owner has `max` already. */
        int (*firmware_add)(Store *s, const StoreFirmware *f, int fd, uint64_t max);
        /* A new file in memory. -ENOENT */
        int (*firmware_get)(Store *s, int64_t owner, const uint8_t sha256[static STORE_SHA256_SIZE],
                        int *ret_fd, uint64_t *ret_size);
        int (*firmware_list)(Store *s, int64_t owner, StoreFirmwareFunction f, void *userdata);
        int (*firmware_delete)(Store *s, int64_t owner,
                        const uint8_t sha256[static STORE_SHA256_SIZE]); /* -ENOENT */

        int (*events)(Store *s, int64_t owner, const char *vm, StoreEventFunction f, void *userdata);

        /* From begin to end the store belongs to the caller: no other service changes it. What is done between them is one transaction, kept
         * if r >= 0. end() returns r or the error. */
        int (*begin)(Store *s);
        int (*end)(Store *s, int r);
        /* *ret is owned, NULL if it is not set. */
        int (*setting_get)(Store *s, const char *name, uint8_t **ret, size_t *ret_size);
        int (*setting_put)(
                        Store *s, const char *name, const void *value, size_t size); /* NULL: removes it */
        int (*launch_sealed)(Store *s, StoreLaunchFunction f, void *userdata);       /* those with keys */
        /* Replaces a sealed value unless it has changed; then nothing happens. */
        int (*vm_reseal)(Store *s, const StoreVm *old, const uint8_t *sealed, size_t size);
        int (*launch_reseal)(Store *s, const StoreLaunch *old, const uint8_t *keys, size_t size);
        int (*rows)(Store *s, StoreTable t, StoreRowFunction f, void *userdata);
        int (*row_add)(Store *s, StoreTable t, const StoreValue *values);
        int (*row_count)(Store *s, StoreTable t, uint64_t *ret);

        /* The clock that all services on this store share, NULL where it is this machine's. */
        int64_t (*now)(Store *s);
        /* What the last failure was, in a few words; NULL where errors say it. */
        const char *(*reason)(Store *s);
} StoreOps;

#define STORE_AUDIT_SIZE 32u

struct Store {
        const StoreOps *ops;
        uint8_t audit_key[STORE_AUDIT_SIZE]; /* attestd-audit.h */
        /* With which key this service encrypts; changes are refused with -EKEYEXPIRED if the store has another one by now. */
        bool has_key;
        uint8_t key_id[VAULT_ID_SIZE];
};

/* 0, or -EKEYEXPIRED. */
_warn_unused_result_ int store_check_key(Store *s);

static inline Store *store_free(Store *s) {
        return s ? s->ops->free(s) : NULL;
}
DEFINE_TRIVIAL_CLEANUP_FUNC(Store *, store_free);
#define _cleanup_store_ _cleanup_(store_freep)

/* SQLite in one file, which is created if it is missing. */
_warn_unused_result_ int store_sqlite_open(const char *path, Store **ret, char **reterr);
/* The same, which must exist. */
_warn_unused_result_ int store_sqlite_open_existing(const char *path, Store **ret, char **reterr);
/* PostgreSQL by libpq, which is loaded now. */
_warn_unused_result_ int store_postgresql_open(const char *url, Store **ret, char **reterr);
/* The files that libpq reads to connect again; *ret is owned. *ret_network: not only over sockets of this machine. */
_warn_unused_result_ int store_postgresql_needs(Store *s, char ***ret, bool *ret_network);
