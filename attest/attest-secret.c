/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attest-secret.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "crypto-aes.h"
#include "crypto-hmac.h"
#include "error.h"
#include "overflow.h"
#include "strutil.h"

#define CONTEXT_SECRET 0x01u /* tells this HMAC from the one of LAUNCH_MEASURE, 0x04 */
#define PACKET_ALIGN   16u

/* edk2 OvmfPkg, Linux drivers/virt/coco/efi_secret: the header of the table. */
static const Guid table_guid =
                GUID_INIT(0x1e74f542, 0x71dd, 0x4d66, 0x96, 0x3e, 0xef, 0x42, 0x87, 0xff, 0x17, 0x3b);

/* A disk key as GRUB's sevsecret module and systemd-less initrds look for it. */
static const struct {
        const char *alias;
        Guid guid;
} aliases[] = {
        { "luks-key",
                        GUID_INIT(0x736869e5, 0x84f0, 0x4973, 0x92, 0xec, 0x06, 0x87, 0x9c, 0xe3, 0xda,
                                        0x0b) },
};

void secret_table_done(SecretTable *t) {
        FOREACH_ARRAY(e, t->items, t->n_items)
                secret_buf_done(&e->value);
        free(t->items);
        *t = (SecretTable) {};
}

int secret_guid_from_alias(const char *alias, Guid *ret) {
        FOREACH_ARRAY(a, aliases, ELEMENTSOF(aliases))
                if (streq(a->alias, alias)) {
                        *ret = a->guid;
                        return 0;
                }
        return -ENOENT;
}

const SecretEntry *secret_table_find(const SecretTable *t, const Guid *guid) {
        FOREACH_ARRAY(e, t->items, t->n_items)
                if (guid_equal(&e->guid, guid))
                        return e;
        return NULL;
}

int secret_table_add(SecretTable *t, const Guid *guid, SecretBuf *value) {
        SecretEntry *items;

        if (secret_table_find(t, guid))
                return -EEXIST;
        items = reallocarray(t->items, t->n_items + 1, sizeof(*items));
        if (!items)
                return -ENOMEM;
        t->items = items;
        t->items[t->n_items++] =
                        (SecretEntry) { .guid = *guid, .value = TAKE_STRUCT(*value, (SecretBuf) {}) };
        return 0;
}

int secret_table_build(const SecretTable *t, bool pad_always, SecretBuf *ret) {
        _cleanup_(secret_buf_done) SecretBuf table = {};
        uint64_t length = SECRET_TABLE_HEADER_SIZE, padded;
        ByteWriter w;
        int r;

        FOREACH_ARRAY(e, t->items, t->n_items)
                if (!add_u64(length, SECRET_ENTRY_HEADER_SIZE, &length) ||
                                !add_u64(length, e->value.size, &length))
                        return -E2BIG;
        if (length > SECRET_TABLE_SIZE_MAX || !align_u64(length, PACKET_ALIGN, &padded))
                return -E2BIG;
        if (pad_always && padded == length)
                padded += PACKET_ALIGN;

        r = secret_buf_alloc(&table, (size_t) padded);
        if (r < 0)
                return r;
        w = byte_writer(table.data, table.size);
        byte_writer_put(&w, table_guid.bytes, sizeof(table_guid.bytes));
        byte_writer_le32(&w, (uint32_t) length);
        FOREACH_ARRAY(e, t->items, t->n_items) {
                byte_writer_put(&w, e->guid.bytes, sizeof(e->guid.bytes));
                byte_writer_le32(&w, (uint32_t) (SECRET_ENTRY_HEADER_SIZE + e->value.size));
                byte_writer_put(&w, e->value.data, e->value.size);
        }
        byte_writer_pad_to(&w, table.size);
        r = byte_writer_finish(&w, table.size);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(table, (SecretBuf) {});
        return 0;
}

static int parse_entry(ByteReader *reader, SecretTable *t, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf value = {};
        size_t offset = reader->pos;
        const uint8_t *p;
        uint32_t length;
        Guid guid;
        int r;

        if (t->n_items == SECRET_ENTRIES_MAX)
                return error_set(reterr, -EBADMSG, "secret table: more than %u entries", SECRET_ENTRIES_MAX);
        if (byte_reader_copy(reader, guid.bytes, sizeof(guid.bytes)) < 0 ||
                        byte_reader_le32(reader, &length) < 0)
                return error_set(reterr, -EBADMSG,
                                "secret table: the header of the entry at offset %zu is truncated", offset);
        if (length < SECRET_ENTRY_HEADER_SIZE ||
                        byte_reader_take(reader, length - SECRET_ENTRY_HEADER_SIZE, &p) < 0)
                return error_set(reterr, -EBADMSG,
                                "secret table: the entry at offset %zu has the impossible length %u", offset,
                                length);
        r = secret_buf_copy(&value, p, length - SECRET_ENTRY_HEADER_SIZE);
        if (r < 0)
                return r;
        r = secret_table_add(t, &guid, &value);
        if (r == -EEXIST)
                return error_set(reterr, -EBADMSG, "secret table: the GUID at offset %zu is a duplicate",
                                offset);
        return r;
}

int secret_table_parse(const void *data, size_t size, SecretTable *ret, char **reterr) {
        _cleanup_(secret_table_done) SecretTable t = {};
        ByteReader all = byte_reader(data, size), entries;
        uint32_t length;
        Guid guid;

        if (byte_reader_copy(&all, guid.bytes, sizeof(guid.bytes)) < 0 ||
                        byte_reader_le32(&all, &length) < 0)
                return error_set(reterr, -EBADMSG, "secret table: %zu bytes are less than its header", size);
        if (!guid_equal(&guid, &table_guid))
                return error_set(reterr, -EBADMSG,
                                "secret table: does not begin with the GUID of secret tables");
        if (length < SECRET_TABLE_HEADER_SIZE || length > size)
                return error_set(reterr, -EBADMSG,
                                "secret table: impossible length %u in a table of %zu bytes", length, size);
        if (byte_reader_sub(&all, length - SECRET_TABLE_HEADER_SIZE, &entries) < 0)
                return -EBADMSG;
        while (byte_reader_left(&entries) > 0) {
                int r = parse_entry(&entries, &t, reterr);

                if (r < 0)
                        return r;
        }
        if (!bytes_are_zero((const uint8_t *) data + length, size - length))
                return error_set(reterr, -EBADMSG, "secret table: the bytes after offset %u are not zero",
                                length);
        *ret = TAKE_STRUCT(t, (SecretTable) {});
        return 0;
}

static int packet_mac(const SevKeys *keys, const uint8_t measure[static SEV_MEASURE_SIZE],
                const uint8_t *flags_and_iv, const void *payload, size_t size,
                uint8_t ret[static HMAC_SHA256_SIZE]) {
        const uint8_t context = CONTEXT_SECRET;
        uint8_t length[4];

        le32_write(length, (uint32_t) size);
        const struct iovec message[] = {
                HMAC_RANGE(&context, 1),
                HMAC_RANGE(flags_and_iv, 4 + AES128_BLOCK_SIZE),
                HMAC_RANGE(length, sizeof(length)), /* in the guest */
                HMAC_RANGE(length, sizeof(length)), /* in transit: the same, since nothing is compressed */
                HMAC_RANGE(payload, size),
                HMAC_RANGE(measure, SEV_MEASURE_SIZE),
        };
        return crypto_hmac_sha256(keys->tik, SEV_KEY_SIZE, message, ELEMENTSOF(message), ret);
}

int secret_packet_seal(const SevKeys *keys, const uint8_t measure[static SEV_MEASURE_SIZE],
                const SecretBuf *table, RandomFunction random, void *userdata,
                uint8_t ret_header[static SECRET_HEADER_SIZE], uint8_t *ret_payload) {
        uint8_t header[SECRET_HEADER_SIZE] = {};
        int r;

        if (table->size == 0 || table->size % PACKET_ALIGN != 0)
                return -EINVAL;
        r = random(userdata, header + 4, AES128_BLOCK_SIZE);
        if (r < 0)
                return r;
        r = crypto_aes128_ctr(keys->tek, header + 4, table->data, table->size, ret_payload);
        if (r < 0)
                return r;
        r = packet_mac(keys, measure, header, ret_payload, table->size, header + 4 + AES128_BLOCK_SIZE);
        if (r < 0)
                return r;
        memcpy(ret_header, header, sizeof(header));
        return 0;
}

int secret_packet_open(const SevKeys *keys, const uint8_t measure[static SEV_MEASURE_SIZE],
                const uint8_t header[static SECRET_HEADER_SIZE], const void *payload, size_t payload_size,
                SecretBuf *ret, Verdict *ret_verdict) {
        _cleanup_(secret_buf_done) SecretBuf table = {};
        uint8_t mac[HMAC_SHA256_SIZE];
        int r;

        if (payload_size == 0 || payload_size % PACKET_ALIGN != 0 || payload_size > UINT32_MAX ||
                        le32_read(header) != 0) {
                *ret_verdict = VERDICT_NOT_AUTHENTIC; /* no platform takes it, and compression is not spoken here */
                return 0;
        }
        r = packet_mac(keys, measure, header, payload, payload_size, mac);
        if (r < 0)
                return r;
        if (!constant_time_equal(mac, header + 4 + AES128_BLOCK_SIZE, sizeof(mac))) {
                *ret_verdict = VERDICT_NOT_AUTHENTIC;
                return 0;
        }
        r = secret_buf_alloc(&table, payload_size);
        if (r < 0)
                return r;
        r = crypto_aes128_ctr(keys->tek, header + 4, payload, payload_size, table.data);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(table, (SecretBuf) {});
        *ret_verdict = VERDICT_AUTHENTIC;
        return 0;
}
