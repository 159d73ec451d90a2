/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-cert-table.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "overflow.h"

#define ENTRY_SIZE 24u
#define PAGE_SIZE  4096u

/* In the byte order of the text form, first byte first. */
static const struct {
        const char *name;
        uint8_t guid[16];
} kinds[] = {
        [SNP_CERT_VCEK] = { "vcek",
                        { 0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8,
                                        0xac, 0xcd } },
        [SNP_CERT_VLEK] = { "vlek",
                        { 0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e, 0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0,
                                        0xb8, 0xa1 } },
        [SNP_CERT_ASK] = { "ask",
                        { 0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27,
                                        0xc7, 0x82 } },
        [SNP_CERT_ARK] = { "ark",
                        { 0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c,
                                        0xd0, 0xae } },
        [SNP_CERT_CRL] = { "crl",
                        { 0x92, 0xf8, 0x1b, 0xc3, 0x58, 0x11, 0x4d, 0x3d, 0x97, 0xff, 0xd1, 0x9f, 0x88, 0xdc,
                                        0x67, 0xea } },
        [SNP_CERT_OTHER] = { "other", {} },
};
static_assert(ELEMENTSOF(kinds) == _SNP_CERT_KIND_MAX, "every kind has a row");

const char *snp_cert_kind_to_string(SnpCertKind k) {
        return k >= 0 && k < _SNP_CERT_KIND_MAX ? kinds[k].name : NULL;
}

static SnpCertKind kind_of(const uint8_t guid[static 16]) {
        for (int k = 0; k < SNP_CERT_OTHER; k++)
                if (memcmp(kinds[k].guid, guid, 16) == 0)
                        return (SnpCertKind) k;
        return SNP_CERT_OTHER;
}

int snp_cert_table_decode(const void *p, size_t n, SnpCertTable *ret, char **reterr) {
        ByteReader r = byte_reader(p, n);
        const uint8_t *base = p, *header_end;
        SnpCertTable t = {};

        if (n > SNP_CERT_TABLE_SIZE_MAX)
                return error_set(reterr, -E2BIG, "a certificate table of %zu bytes; expected at most %u", n,
                                SNP_CERT_TABLE_SIZE_MAX);
        for (;;) {
                uint32_t offset, length;
                const uint8_t *guid;
                uint64_t end;

                if (byte_reader_left(&r) < ENTRY_SIZE || byte_reader_take(&r, 16, &guid) < 0 ||
                                byte_reader_le32(&r, &offset) < 0 || byte_reader_le32(&r, &length) < 0)
                        return error_set(reterr, -EBADMSG,
                                        "the certificate table has no terminating entry within its %zu bytes",
                                        n);
                if (bytes_are_zero(guid, 16) && offset == 0 && length == 0)
                        break;
                if (t.n_entries == SNP_CERT_ENTRIES_MAX)
                        return error_set(reterr, -E2BIG, "more than %u entries in the certificate table",
                                        SNP_CERT_ENTRIES_MAX);
                if (!add_u64(offset, length, &end) || end > n)
                        return error_set(reterr, -EBADMSG,
                                        "entry %zu of the certificate table (offset 0x%x, length 0x%x) extends beyond its %zu bytes",
                                        t.n_entries, offset, length, n);
                t.entries[t.n_entries] = (SnpCertEntry) { kind_of(guid), {}, base + offset, length };
                memcpy(t.entries[t.n_entries++].guid, guid, 16);
        }

        header_end = base + r.pos;
        for (size_t i = 0; i < t.n_entries; i++) {
                const SnpCertEntry *e = t.entries + i;

                if (e->data < header_end)
                        return error_set(reterr, -EBADMSG,
                                        "entry %zu of the certificate table overlaps its header", i);
                for (size_t k = 0; k < i; k++)
                        if (e->data < t.entries[k].data + t.entries[k].size &&
                                        t.entries[k].data < e->data + e->size)
                                return error_set(reterr, -EBADMSG,
                                                "entries %zu and %zu of the certificate table overlap", k,
                                                i);
        }
        *ret = t;
        return 0;
}

int snp_cert_table_encode(const SnpCertTable *t, uint8_t **ret, size_t *ret_size) {
        uint64_t offset = (t->n_entries + 1) * ENTRY_SIZE, size = offset;
        _cleanup_free_ uint8_t *buf = NULL;
        ByteWriter w;
        int r;

        for (size_t i = 0; i < t->n_entries; i++)
                if (!add_u64(size, t->entries[i].size, &size))
                        return -EOVERFLOW;
        if (!align_u64(size, PAGE_SIZE, &size) || size > SNP_CERT_TABLE_SIZE_MAX)
                return -E2BIG;
        buf = calloc(1, size);
        if (!buf)
                return -ENOMEM;

        w = byte_writer(buf, size);
        for (size_t i = 0; i < t->n_entries; i++) {
                const SnpCertEntry *e = t->entries + i;

                byte_writer_put(&w, e->kind == SNP_CERT_OTHER ? e->guid : kinds[e->kind].guid, 16);
                byte_writer_le32(&w, (uint32_t) offset);
                byte_writer_le32(&w, (uint32_t) e->size);
                offset += e->size;
        }
        byte_writer_zero(&w, ENTRY_SIZE);
        for (size_t i = 0; i < t->n_entries; i++)
                byte_writer_put(&w, t->entries[i].data, t->entries[i].size);
        byte_writer_pad_to(&w, size);
        r = byte_writer_finish(&w, size);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(buf);
        *ret_size = size;
        return 0;
}
