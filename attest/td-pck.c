/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "td-pck.h"

#include <errno.h>
#include <string.h>

#include "crypto-der.h"
#include "error.h"

/* 1.2.840.113741.1.13.1; its members have one or two numbers more. */
static const uint8_t oid_sgx[] = { 0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01 };

enum {
        MEMBER_TCB = 2,
        MEMBER_PCEID = 3,
        MEMBER_FMSPC = 4,
        TCB_PCESVN = 17,
        SEEN_MAX = 32,
};

/* The next { OID, value } whose OID is that of the extension, `path` and one number more, which comes out. */
static int next_member(
                ByteReader *list, const uint8_t *path, size_t n_path, unsigned *ret, DerValue *ret_value) {
        DerValue pair, oid;
        ByteReader inside;

        if (der_expect(list, DER_SEQUENCE, &pair) < 0)
                return -EBADMSG;
        inside = der_inside(&pair);
        if (der_expect(&inside, DER_OID, &oid) < 0 || der_next(&inside, ret_value) < 0 ||
                        byte_reader_left(&inside) > 0 || oid.size != sizeof(oid_sgx) + n_path + 1 ||
                        memcmp(oid.data, oid_sgx, sizeof(oid_sgx)) != 0 ||
                        (n_path > 0 && memcmp(oid.data + sizeof(oid_sgx), path, n_path) != 0) ||
                        oid.data[oid.size - 1] >= SEEN_MAX)
                return -EBADMSG;
        *ret = oid.data[oid.size - 1];
        return 0;
}

/* Twice the same is as bad as a number that is not known here. */
static int mark(uint32_t *seen, unsigned number) {
        if (*seen >> number & 1)
                return -EBADMSG;
        *seen |= UINT32_C(1) << number;
        return 0;
}

static int read_tcb(const DerValue *v, TdPck *pck) {
        const uint8_t path[] = { MEMBER_TCB };
        const uint32_t all = ((UINT32_C(1) << (TCB_PCESVN + 1)) - 1) & ~UINT32_C(1); /* 1 to 17 */
        ByteReader r = der_inside(v);
        uint32_t seen = 0;

        if (v->tag != DER_SEQUENCE)
                return -EBADMSG;
        while (byte_reader_left(&r) > 0) {
                DerValue value;
                unsigned i;

                if (next_member(&r, path, sizeof(path), &i, &value) < 0 || mark(&seen, i) < 0)
                        return -EBADMSG;
                if (i < 1 || i > TCB_PCESVN)
                        continue; /* CPUSVN: the same once more */
                if (value.tag != DER_INTEGER ||
                                der_u64(&value, i == TCB_PCESVN ? &pck->pcesvn : &pck->svn[i - 1]) < 0)
                        return -EBADMSG;
        }
        return (seen & all) == all ? 0 : -EBADMSG;
}

static int read_bytes(const DerValue *v, uint8_t *ret, size_t n) {
        if (v->tag != DER_OCTET_STRING || v->size != n)
                return -EBADMSG;
        memcpy(ret, v->data, n);
        return 0;
}

static int read_members(const DerValue *list, TdPck *pck) {
        const uint32_t all = 1u << MEMBER_TCB | 1u << MEMBER_PCEID | 1u << MEMBER_FMSPC;
        ByteReader r = der_inside(list);
        uint32_t seen = 0;

        while (byte_reader_left(&r) > 0) {
                DerValue value;
                unsigned i;
                int k = 0;

                if (next_member(&r, NULL, 0, &i, &value) < 0 || mark(&seen, i) < 0)
                        return -EBADMSG;
                if (i == MEMBER_TCB)
                        k = read_tcb(&value, pck);
                else if (i == MEMBER_PCEID)
                        k = read_bytes(&value, pck->pceid, sizeof(pck->pceid));
                else if (i == MEMBER_FMSPC)
                        k = read_bytes(&value, pck->fmspc, sizeof(pck->fmspc));
                if (k < 0)
                        return k;
        }
        return (seen & all) == all ? 0 : -EBADMSG;
}

int td_pck_read(const Certificate *c, TdPck *ret, char **reterr) {
        const CertificateExtension *e = certificate_extension(c, oid_sgx, sizeof(oid_sgx));
        TdPck pck = {};
        DerValue list;
        ByteReader r;

        if (!e)
                return error_set(reterr, -EBADMSG,
                                "the certificate '%s' lacks Intel's SGX extension (1.2.840.113741.1.13.1)",
                                c->common_name);
        r = byte_reader(e->value, e->value_size);
        if (der_expect(&r, DER_SEQUENCE, &list) < 0 || byte_reader_left(&r) > 0 ||
                        read_members(&list, &pck) < 0)
                return error_set(reterr, -EBADMSG,
                                "Intel's SGX extension of the certificate '%s' is malformed",
                                c->common_name);
        *ret = pck;
        return 0;
}
