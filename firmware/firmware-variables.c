/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "firmware-variables.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "error.h"

enum {
        VOLUME_HEADER_LENGTH = 0x30, /* where a volume's header has its own length, u16 */
        STORE_HEADER = 28,           /* GUID, u32 size, u8 format, u8 state, u16, u32 */
        STORE_SIZE = 16,
        VARIABLE_START = 0x55aa,
        VARIABLE_ADDED = 0x3f, /* in use: neither deleted nor being deleted */
        VARIABLE_HEADER = 60,  /* authenticated */
};

typedef struct Header {
        uint8_t state;
        uint32_t name_size, data_size;
        Guid vendor;
} Header;

/* 1: a variable; 0: the end of the list. */
static int read_header(ByteReader *r, Header *ret) {
        uint16_t start;
        uint8_t reserved;
        ByteReader at = *r;

        if (byte_reader_le16(&at, &start) < 0 || start != VARIABLE_START)
                return 0;
        if (byte_reader_u8(&at, &ret->state) < 0 || byte_reader_u8(&at, &reserved) < 0 ||
                        byte_reader_skip(&at, 4 + 8 + 16 + 4) < 0 || /* attributes, count, time stamp, key */
                        byte_reader_le32(&at, &ret->name_size) < 0 ||
                        byte_reader_le32(&at, &ret->data_size) < 0 ||
                        byte_reader_copy(&at, ret->vendor.bytes, sizeof(ret->vendor.bytes)) < 0)
                return -EBADMSG;
        *r = at;
        return 1;
}

static bool name_is(const uint8_t *p, size_t n, const char *name) {
        size_t length = strlen(name) + 1;

        if (n != 2 * length)
                return false;
        for (size_t i = 0; i < length; i++)
                if (p[2 * i] != (uint8_t) name[i] || p[2 * i + 1] != 0)
                        return false;
        return true;
}

static int find(ByteReader r, const Guid *vendor, const char *name, FirmwareVariable *ret) {
        FirmwareVariable found = {};
        Header h;
        int k;

        while ((k = read_header(&r, &h)) > 0) {
                const uint8_t *name_bytes, *data;

                if (byte_reader_take(&r, h.name_size, &name_bytes) < 0 ||
                                byte_reader_take(&r, h.data_size, &data) < 0)
                        return -EBADMSG;
                if (h.state == VARIABLE_ADDED && guid_equal(&h.vendor, vendor) &&
                                name_is(name_bytes, h.name_size, name))
                        found = (FirmwareVariable) { data, h.data_size };
                if (byte_reader_skip(&r, -r.pos & 3) < 0)
                        break;
        }
        if (k < 0)
                return k;
        *ret = found;
        return 0;
}

int firmware_variable_parse(const uint8_t *volume, size_t size, const Guid *vendor, const char *name,
                FirmwareVariable *ret, char **reterr) {
        ByteReader r = byte_reader(volume, size), store;
        uint16_t header;
        uint32_t length;
        int k = -EBADMSG;

        if (byte_reader_seek(&r, VOLUME_HEADER_LENGTH) >= 0 && byte_reader_le16(&r, &header) >= 0 &&
                        byte_reader_seek(&r, header + (uint64_t) STORE_SIZE) >= 0 &&
                        byte_reader_le32(&r, &length) >= 0 && byte_reader_seek(&r, header) >= 0 &&
                        length >= STORE_HEADER && byte_reader_sub(&r, length, &store) >= 0 &&
                        byte_reader_skip(&store, STORE_HEADER) >= 0)
                k = find(store, vendor, name, ret);
        return k < 0 ? error_set(reterr, k, "the firmware's variable store is malformed") : 0;
}
