/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The partition table of a disk: GPT (UEFI specification, 5.3) with sectors of 512 or 4096 bytes, MBR with logical partitions, or
 * none. */

#include <stdbool.h>

#include "block.h"
#include "encode.h"

#define PARTITION_LABEL_MAX 36u /* UTF-16 units of a GPT name */

typedef enum PartitionTableKind {
        PARTITION_TABLE_NONE,
        PARTITION_TABLE_MBR,
        PARTITION_TABLE_GPT,
        _PARTITION_TABLE_MAX,
} PartitionTableKind;

typedef struct Partition {
        unsigned number; /* as Linux counts: logical ones of an MBR begin with 5 */
        uint64_t offset, size;
        Guid type, id;                       /* GPT */
        uint8_t mbr_type;                    /* MBR */
        char label[PARTITION_LABEL_MAX + 1]; /* GPT; other characters than printable ASCII are "?" */
} Partition;

typedef struct PartitionTable {
        PartitionTableKind kind;
        Partition *items; /* owned */
        size_t n_items;
} PartitionTable;

const char *partition_table_kind_to_string(PartitionTableKind kind);
void partition_table_done(PartitionTable *t);
/* -EBADMSG with an error message for a damaged GPT; a disk without a table has no partitions. */
_warn_unused_result_ int partition_table_read(const Block *disk, PartitionTable *ret, char **reterr);

/* Discoverable Partitions Specification (UAPI group). */
bool partition_is_esp(const Partition *p);
bool partition_is_xbootldr(const Partition *p);
/* Nothing is in there that boots Linux: BIOS boot, swap, verity hashes. */
bool partition_is_passed_over(const Partition *p);
