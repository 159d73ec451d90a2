/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-hashes.h"

#include "bytes.h"

#define ENTRY_SIZE 50u /* GUID, u16 length, SHA-256 */

static void put_entry(ByteWriter *w, Guid guid, const uint8_t sha256[static SHA256_SIZE]) {
        byte_writer_put(w, guid.bytes, sizeof(guid.bytes));
        byte_writer_le16(w, ENTRY_SIZE);
        byte_writer_put(w, sha256, SHA256_SIZE);
}

void kernel_hashes_table(const KernelHashes *hashes, uint8_t ret[static SEV_HASH_TABLE_SIZE]) {
        static const Guid header = GUID_SEV_HASH_TABLE_HEADER;
        ByteWriter w = byte_writer(ret, SEV_HASH_TABLE_SIZE);
        int r;

        byte_writer_put(&w, header.bytes, sizeof(header.bytes));
        byte_writer_le16(&w, SEV_HASH_TABLE_LENGTH);
        put_entry(&w, (Guid) GUID_SEV_CMDLINE_ENTRY, hashes->cmdline);
        put_entry(&w, (Guid) GUID_SEV_INITRD_ENTRY, hashes->initrd);
        put_entry(&w, (Guid) GUID_SEV_KERNEL_ENTRY, hashes->kernel);
        byte_writer_pad_to(&w, SEV_HASH_TABLE_SIZE);
        r = byte_writer_finish(&w, SEV_HASH_TABLE_SIZE);
        assert(r >= 0);
        (void) r;
}
