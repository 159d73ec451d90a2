/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the parts of the PostgreSQL store share. One connection, since the service has one thread; it is opened again when it is lost. Every
 * change is one transaction that locks the row of its registration first. So all changes of one registration follow one another, whichever
 * instance makes them, and what is counted after the lock (READ COMMITTED takes a new snapshot for each statement) is exact. */

#include "attestd-pq.h"
#include "attestd-store.h"

#define PG_STATEMENTS_MAX 64u /* of this program */

typedef struct PgStore {
        Store store;
        PGconn *connection;                /* owned; NULL: lost */
        int (*connect)(struct PgStore *s); /* pg_connect(): connecting asks, and asking connects again */
        char **keys, **values;             /* owned, as long as each other: what connects again */
        const char *prepared[PG_STATEMENTS_MAX]; /* on this connection; borrowed, they are literals */
        size_t n_prepared;
        bool in_transaction;             /* statements do not connect again */
        bool owned;                      /* between begin and end */
        uint64_t retry_usec, pause_usec; /* no attempt to connect before; the next pause */
        int64_t clock_offset;            /* the server's clock, less this machine's monotonic one */
        uint64_t clock_read_usec;        /* when it was compared; 0: never */
        char *reason;                    /* owned: of the last failure, for the log */
} PgStore;

/* The rows of one statement; `row` is the current one. */
typedef struct PgRows {
        PGresult *result; /* owned */
        int row, n;
} PgRows;

void pg_rows_done(PgRows *q);
#define _cleanup_pg_ _cleanup_(pg_rows_done)

static inline PgStore *pg(Store *s) {
        return (PgStore *) s;
}

/* Connects, or says why not: -EAGAIN, at once while the pause after a failure lasts. */
_warn_unused_result_ int pg_connect(PgStore *s);
void pg_disconnect(PgStore *s);
uint64_t pg_monotonic_usec(void);

/* All results of what was sent; *ret is the last one, or NULL. The first error counts. After -ECONNRESET the connection is closed. */
_warn_unused_result_ int pg_collect(PgStore *s, PGresult **ret);
/* Nothing could be sent: -ECONNRESET. */
int pg_send_failed(PgStore *s);
/* Several statements without parameters. */
_warn_unused_result_ int pg_exec(PgStore *s, const char *sql);
/* A statement with its parameters by letters: s text (char *), i int64_t, b bytes (const void *, size_t; NULL is null). Outside a
 * transaction it must only read: it is sent again after a lost connection. */
_warn_unused_result_ int pg_query(Store *s, PgRows *ret, const char *sql, const char *types, ...);
/* The same with an array of values; `sql` is not kept. */
_warn_unused_result_ int pg_query_values(
                Store *s, PgRows *ret, const char *sql, const char *types, const StoreValue *values);
/* The same without rows; *ret_changes may be NULL. */
_warn_unused_result_ int pg_do(Store *s, uint64_t *ret_changes, const char *sql, const char *types, ...);
/* 1: on the next row; 0: no more. */
int pg_row(PgRows *q);
int64_t pg_int64(const PgRows *q, int column);
/* NULL for null. */
const uint8_t *pg_raw(const PgRows *q, int column, size_t *ret_size);
_warn_unused_result_ int pg_text(const PgRows *q, int column, char **ret);
/* *ret is NULL for no bytes. */
_warn_unused_result_ int pg_bytes(const PgRows *q, int column, uint8_t **ret, size_t *ret_size);

/* One transaction around `body`. What was surely not committed is tried again after a lost connection or a deadlock; -EINPROGRESS: whether
 * it was committed is not known. -EAGAIN: the store is away. */
typedef int (*PgBody)(Store *s, void *args);
_warn_unused_result_ int pg_transaction(Store *s, PgBody body, void *args);
/* Locks a registration until the transaction ends. -ENOENT */
_warn_unused_result_ int pg_lock_vm(Store *s, const char *vm);
/* To the events that owners see, and to the audit trail (attestd-audit.h); within a transaction that has the registration locked. */
_warn_unused_result_ int pg_event(
                Store *s, int64_t when, const char *vm, const uint8_t *launch, const char *event);
/* A number that a statement with (text, int8) gives. */
_warn_unused_result_ int pg_count(Store *s, const char *sql, const char *vm, int64_t value, uint64_t *ret);

/* What the connection is opened with. */
_warn_unused_result_ int pg_settings(PgStore *s, const char *url, char **reterr);
/* Makes the tables and brings older ones up to date. */
_warn_unused_result_ int pg_schema(Store *s, char **reterr);

int pg_launch_add(Store *s, const StoreLaunch *l, const StoreLimits *limits);
int pg_launch_get(Store *s, const char *vm, const uint8_t id[static LAUNCH_ID_SIZE], StoreLaunch *ret);
int pg_launch_count(Store *s, LaunchState state, uint64_t *ret);
int pg_launch_each(Store *s, const StoreQuery *which, StoreLaunchFunction f, void *userdata);
int pg_launch_fail(Store *s, const StoreLaunch *l, uint64_t max, int64_t now, uint64_t *ret_left);
int pg_launch_hold(Store *s, const StoreLaunch *l, const StoreLimits *limits, int64_t now);
int pg_launch_confirm(Store *s, const StoreLaunch *l, int64_t now);
int pg_launch_reject(Store *s, const StoreLaunch *l, int64_t now);
int pg_launch_release(Store *s, const StoreLaunch *l, const StoreLimits *limits, int64_t now);
/* Within a transaction that has locked the registration. */
int pg_launches_cancel(Store *s, const char *vm, uint64_t *ret_ended);

int pg_own(Store *s);
int pg_own_end(Store *s, int r);
int pg_setting_get(Store *s, const char *name, uint8_t **ret, size_t *ret_size);
int pg_setting_put(Store *s, const char *name, const void *value, size_t size);
int pg_launch_sealed(Store *s, StoreLaunchFunction f, void *userdata);
int pg_vm_reseal(Store *s, const StoreVm *old, const uint8_t *sealed, size_t size);
int pg_launch_reseal(Store *s, const StoreLaunch *old, const uint8_t *keys, size_t size);
int pg_rows(Store *s, StoreTable t, StoreRowFunction f, void *userdata);
int pg_row_add(Store *s, StoreTable t, const StoreValue *values);
int pg_row_count(Store *s, StoreTable t, uint64_t *ret);

int pg_firmware_add(Store *s, const StoreFirmware *f, int fd, uint64_t max);
int pg_firmware_get(Store *s, int64_t owner, const uint8_t sha256[static STORE_SHA256_SIZE], int *ret_fd,
                uint64_t *ret_size);
int pg_firmware_list(Store *s, int64_t owner, StoreFirmwareFunction f, void *userdata);
int pg_firmware_delete(Store *s, int64_t owner, const uint8_t sha256[static STORE_SHA256_SIZE]);
