/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The partition table (GPT) of a raw image: which partition has a type. UEFI specification, 5.3. */

#include <stdint.h>

#include "encode.h"

typedef struct Gpt {
        uint64_t entries_offset;
        uint32_t n_entries, entry_size;
} Gpt;

typedef struct GptPartition {
        Guid id;         /* of this partition (PARTUUID) */
        uint64_t offset; /* in bytes */
} GptPartition;

/* -EBADMSG for a damaged table, other errors where there is none. */
_warn_unused_result_ int gpt_read(int fd, Gpt *ret);
/* 1 if exactly one partition has the type, 0 for none, -ENOTUNIQ for several. */
_warn_unused_result_ int gpt_find(int fd, const Gpt *gpt, const Guid *type, GptPartition *ret);
