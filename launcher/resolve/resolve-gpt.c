/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "resolve-gpt.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "fd.h"

#define SECTOR          512u
#define GPT_ENTRIES_MAX 1024u /* 128 is what tools write; enough for any sane disk */
#define GPT_ENTRY_MAX   4096u
#define GPT_LBA_MAX     (UINT64_MAX / SECTOR)

/* UEFI specification, 5.3.2 "GPT Header". */
int gpt_read(int fd, Gpt *ret) {
        uint8_t header[92];
        int r = fd_pread_exact(fd, header, sizeof(header), SECTOR);

        if (r < 0)
                return r;
        if (memcmp(header, "EFI PART", 8) != 0)
                return -ENODATA;

        uint64_t lba = le64_read(header + 72);
        uint32_t n = le32_read(header + 80), size = le32_read(header + 84);
        if (lba > UINT32_MAX || n > GPT_ENTRIES_MAX || size < 128 || size > GPT_ENTRY_MAX)
                return -EBADMSG;
        *ret = (Gpt) { .entries_offset = lba * SECTOR, .n_entries = n, .entry_size = size };
        return 0;
}

/* UEFI specification, 5.3.3 "GPT Partition Entry Array": type, own GUID, first sector. */
int gpt_find(int fd, const Gpt *gpt, const Guid *type, GptPartition *ret) {
        int found = 0;

        for (uint32_t i = 0; i < gpt->n_entries; i++) {
                uint8_t entry[128];
                Guid g;
                int r = fd_pread_exact(fd, entry, sizeof(entry),
                                gpt->entries_offset + (uint64_t) i * gpt->entry_size);

                if (r < 0)
                        return r;
                memcpy(g.bytes, entry, sizeof(g.bytes));
                if (!guid_equal(&g, type))
                        continue;
                if (found++)
                        return -ENOTUNIQ;
                if (le64_read(entry + 32) > GPT_LBA_MAX)
                        return -EBADMSG;
                memcpy(ret->id.bytes, entry + 16, sizeof(ret->id.bytes));
                ret->offset = le64_read(entry + 32) * SECTOR;
        }
        return found;
}
