/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the parts of the SQLite store share. */

#include <sqlite3.h>

#include "attestd-store.h"

typedef struct SqliteStore {
        Store store;
        sqlite3 *db; /* owned */
        bool owned;  /* between begin and end */
} SqliteStore;

typedef sqlite3_stmt Query;

/* Statements are prepared once and kept by the database; what a query held of the caller's is let go. */
static inline void query_freep(Query **q) {
        if (!*q)
                return;
        (void) sqlite3_reset(*q);
        (void) sqlite3_clear_bindings(*q);
}
#define _cleanup_query_ _cleanup_(query_freep)

int sqlite_error(int code); /* -EEXIST, -ENOSPC, -EAGAIN, -ENOMEM, -EIO */
/* A statement with its parameters by letters: s text (char *), i int64_t, b bytes (const void *, size_t); they are borrowed. */
_warn_unused_result_ int sqlite_query(Store *s, Query **ret, const char *sql, const char *types, ...);
_warn_unused_result_ int sqlite_row(Query *q); /* 1 a row, 0 no more, -errno */
/* The statement to its end, without rows; *ret_changes may be NULL. */
_warn_unused_result_ int sqlite_do(Store *s, uint64_t *ret_changes, const char *sql, const char *types, ...);
_warn_unused_result_ int sqlite_text(Query *q, int column, char **ret);
/* *ret is NULL for no bytes. */
_warn_unused_result_ int sqlite_bytes(Query *q, int column, uint8_t **ret, size_t *ret_size);
/* Whether what follows must last a loss of power when it has returned. Without that it lasts the end of this process all the same. */
void sqlite_durable(Store *s, bool durable);
/* BEGIN IMMEDIATE, -EKEYEXPIRED; and COMMIT if r >= 0, else ROLLBACK: returns r or the error. */
_warn_unused_result_ int sqlite_begin(Store *s);
_warn_unused_result_ int sqlite_end(Store *s, int r);
/* To the events that owners see, and to the audit trail (attestd-audit.h); within a transaction that has the registration locked. */
_warn_unused_result_ int sqlite_event(
                Store *s, int64_t when, const char *vm, const uint8_t *launch, const char *event);

int sqlite_launch_add(Store *s, const StoreLaunch *l, const StoreLimits *limits);
int sqlite_launch_get(Store *s, const char *vm, const uint8_t id[static LAUNCH_ID_SIZE], StoreLaunch *ret);
int sqlite_launch_count(Store *s, LaunchState state, uint64_t *ret);
int sqlite_launch_each(Store *s, const StoreQuery *which, StoreLaunchFunction f, void *userdata);
int sqlite_launch_fail(Store *s, const StoreLaunch *l, uint64_t max, int64_t now, uint64_t *ret_left);
int sqlite_launch_hold(Store *s, const StoreLaunch *l, const StoreLimits *limits, int64_t now);
int sqlite_launch_confirm(Store *s, const StoreLaunch *l, int64_t now);
int sqlite_launch_reject(Store *s, const StoreLaunch *l, int64_t now);
int sqlite_launch_release(Store *s, const StoreLaunch *l, const StoreLimits *limits, int64_t now);
/* Within a transaction. */
int sqlite_launches_cancel(Store *s, const char *vm, uint64_t *ret_ended);

int sqlite_own(Store *s);
int sqlite_own_end(Store *s, int r);
int sqlite_setting_get(Store *s, const char *name, uint8_t **ret, size_t *ret_size);
int sqlite_setting_put(Store *s, const char *name, const void *value, size_t size);
int sqlite_launch_sealed(Store *s, StoreLaunchFunction f, void *userdata);
int sqlite_vm_reseal(Store *s, const StoreVm *old, const uint8_t *sealed, size_t size);
int sqlite_launch_reseal(Store *s, const StoreLaunch *old, const uint8_t *keys, size_t size);
int sqlite_rows(Store *s, StoreTable t, StoreRowFunction f, void *userdata);
int sqlite_row_add(Store *s, StoreTable t, const StoreValue *values);
int sqlite_row_count(Store *s, StoreTable t, uint64_t *ret);

int sqlite_firmware_add(Store *s, const StoreFirmware *f, int fd, uint64_t max);
int sqlite_firmware_find(
                Store *s, int64_t owner, const uint8_t sha256[static STORE_SHA256_SIZE], int64_t *ret_row);
int sqlite_firmware_get(Store *s, int64_t owner, const uint8_t sha256[static STORE_SHA256_SIZE], int *ret_fd,
                uint64_t *ret_size);
int sqlite_firmware_list(Store *s, int64_t owner, StoreFirmwareFunction f, void *userdata);
int sqlite_firmware_delete(Store *s, int64_t owner, const uint8_t sha256[static STORE_SHA256_SIZE]);
