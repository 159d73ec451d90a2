/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The audit trail: a row for each release of secrets, refusal, confirmation, rejection and change of a registration, in the transaction that
 * does it. Rows are only added. Those of one registration are a chain, even over its deletion: each has its position and a link,
 *
 *      HMAC-SHA256(key, "cvmspawn-audit-v1" 0x00 | link before, or 32 zeros | position | time | vm 0x00 launch 0x00 what 0x00)
 *
 * with numbers as 8 bytes, little-endian. The key follows from the service's signing key and is not in the database: who can write the
 * database, but does not have the service's key, can neither change, insert, reorder nor leave out rows unnoticed. That the last rows of a chain
 * were removed is seen by comparing with a link that was kept elsewhere.
 *
 * There is one chain for each registration, not one for all: a change locks the row of its registration anyway, so that no change waits
 * for another one's link. */

#include <stdbool.h>
#include <stdint.h>

#include "attestd-store.h"
#include "attestd-vault.h"

#define AUDIT_PER_HOUR                                                                                      \
        100 /* rows of one registration that hosts can cause at will; more are left out, so that they do not fill the disk */

#define AUDIT_HOUR 3600

typedef struct AuditRow {
        const char *vm, *launch, *what;
        int64_t time, position;
} AuditRow;

/* before: NULL for the first of a chain. */
_warn_unused_result_ int audit_link(const uint8_t key[static STORE_AUDIT_SIZE], const AuditRow *row,
                const uint8_t *before, uint8_t ret[static STORE_AUDIT_SIZE]);
/* Refusals and what else a host can cause as often as it likes. */
bool audit_is_cheap(const char *what);
/* The key of this service's chains. */
_warn_unused_result_ int audit_key(const Vault *v, uint8_t ret[static STORE_AUDIT_SIZE]);

typedef int (*AuditFunction)(
                void *userdata, const AuditRow *row, const uint8_t link[static STORE_AUDIT_SIZE], bool good);

/* All rows in their order, each with whether it follows from the one before it. */
_warn_unused_result_ int audit_verify(Store *s, AuditFunction f, void *userdata);
