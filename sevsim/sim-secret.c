/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table (edk2 OvmfPkg, Linux drivers/virt/coco/efi_secret): GUID and u32 length of the whole, then entries of
 * GUID, u32 length of the entry, data. GUIDs are in EFI's mixed byte order. */

#include <stdio.h>
#include <string.h>

#include "sim-bytes.h"
#include "sim-secret.h"

enum { HEADER = 20, ENTRIES_MAX = 64 };

static void format_guid(const uint8_t g[static 16], char ret[static 37]) {
        snprintf(ret, 37, "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", get_le32(g), get_le16(g + 4),
                        get_le16(g + 6), g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]);
}

void secret_record(SimRecord *record, const uint8_t *plain, size_t size) {
        static const char table_guid[] = "1e74f542-71dd-4d66-963e-ef4287ff173b";
        char guid[37], key[32];
        size_t total, at = HEADER;
        unsigned n = 0;

        record_file(record, "secret.bin", plain, size, 0600);
        if (size < HEADER)
                return;
        format_guid(plain, guid);
        record_string(record, "table", guid);
        total = get_le32(plain + 16);
        if (strcmp(guid, table_guid) != 0 || total > size || total < HEADER)
                return;

        while (n < ENTRIES_MAX && total - at >= HEADER) {
                size_t length = get_le32(plain + at + 16);

                if (length < HEADER || length > total - at)
                        break;
                format_guid(plain + at, guid);
                snprintf(key, sizeof(key), "secret_%u", n);
                record_string(record, key, guid);
                snprintf(key, sizeof(key), "secret_%u_size", n++);
                record_number(record, key, length - HEADER);
                at += length;
        }
        record_number(record, "secrets", n);
        record_bool(record, "table_complete", at == total);
}
