/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Secrets for a SEV or SEV-ES guest: the table that the guest reads (edk2 OvmfPkg, Linux Documentation/security/secrets/coco.rst)
 * and the packet that only the secure processor can open (AMD 55766, LAUNCH_SECRET).
 *
 *      table   GUID of tables | u32 length without padding | entries | zeros to a multiple of 16
 *      entry   GUID | u32 20 + n | n bytes
 *      packet  header, 52 bytes: u32 flags = 0 | IV 16 | MAC 32;  payload: AES-128-CTR(TEK, IV, table)
 *      MAC     HMAC-SHA256(TIK, 0x01 || flags || IV || u32 length || u32 length || payload || measurement 32)
 *
 * One packet fills the guest's secret area: all secrets of a launch go into one table. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest-launch.h"
#include "crypto-random.h"
#include "encode.h"
#include "macro.h"
#include "secret.h"

#define SECRET_HEADER_SIZE       52u
#define SECRET_TABLE_HEADER_SIZE 20u
#define SECRET_ENTRY_HEADER_SIZE 20u
#define SECRET_PACKET_SIZE_MAX   (16u * 1024u)        /* what the secure processor takes in one packet */
#define SECRET_TABLE_SIZE_MAX    (256u * 1024 * 1024) /* what is built at all; far above any use */
#define SECRET_ENTRIES_MAX       64u                  /* Linux' efi_secret shows no more */

typedef struct SecretEntry {
        Guid guid;
        SecretBuf value;
} SecretEntry;

typedef struct SecretTable {
        SecretEntry *items; /* owned, in the order of the table */
        size_t n_items;
} SecretTable;

void secret_table_done(SecretTable *t);
/* Well-known names of GUIDs: "luks-key". -ENOENT. */
_warn_unused_result_ int secret_guid_from_alias(const char *alias, Guid *ret);
const SecretEntry *secret_table_find(const SecretTable *t, const Guid *guid);
/* Takes *value (emptied) on success. -EEXIST: the GUID is there already. */
_warn_unused_result_ int secret_table_add(SecretTable *t, const Guid *guid, SecretBuf *value);
/* pad_always: a table that needs no padding gets 16 zero bytes, as virt-qemu-sev-validate does. -E2BIG. */
_warn_unused_result_ int secret_table_build(const SecretTable *t, bool pad_always, SecretBuf *ret);
/* Strict: lengths add up, padding is zero, no GUID twice. -EBADMSG with the offset. */
_warn_unused_result_ int secret_table_parse(const void *data, size_t size, SecretTable *ret, char **reterr);

/* Encrypts a built table (a multiple of 16 bytes) for the launch with this measurement; payload has table->size bytes. */
_warn_unused_result_ int secret_packet_seal(const SevKeys *keys,
                const uint8_t measure[static SEV_MEASURE_SIZE], const SecretBuf *table,
                RandomFunction random, void *userdata, uint8_t ret_header[static SECRET_HEADER_SIZE],
                uint8_t *ret_payload);
/* The platform's side. VERDICT_NOT_AUTHENTIC: another key, another measurement, or changed bytes; then *ret is left. */
_warn_unused_result_ int secret_packet_open(const SevKeys *keys,
                const uint8_t measure[static SEV_MEASURE_SIZE],
                const uint8_t header[static SECRET_HEADER_SIZE], const void *payload, size_t payload_size,
                SecretBuf *ret, Verdict *ret_verdict);
