/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reading DER (X.690): single-byte tags and definite lengths in their shortest form only, which is all that certificates
 * of this trade use. Every function follows the cursor contract of bytes.h: on failure nothing moves. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "macro.h"

enum {
        DER_BOOLEAN = 0x01,
        DER_INTEGER = 0x02,
        DER_BIT_STRING = 0x03,
        DER_OCTET_STRING = 0x04,
        DER_NULL = 0x05,
        DER_OID = 0x06,
        DER_UTF8_STRING = 0x0c,
        DER_PRINTABLE_STRING = 0x13,
        DER_IA5_STRING = 0x16,
        DER_UTC_TIME = 0x17,
        DER_GENERALIZED_TIME = 0x18,
        DER_SEQUENCE = 0x30,
        DER_SET = 0x31,
        DER_CONTEXT = 0xa0, /* constructed, plus the number */
};

/* One element: the content, and the whole with tag and length. Borrowed from the reader's data. */
typedef struct DerValue {
        uint8_t tag;
        const uint8_t *data;
        size_t size;
        const uint8_t *whole;
        size_t whole_size;
} DerValue;

/* The next element: 0, -ENODATA at an early end, -EBADMSG if it is not DER as described above. */
_warn_unused_result_ int der_next(ByteReader *r, DerValue *ret);
/* The same; another tag is -EBADMSG. */
_warn_unused_result_ int der_expect(ByteReader *r, uint8_t tag, DerValue *ret);
/* True if the next element has this tag. */
bool der_peek(const ByteReader *r, uint8_t tag);

static inline ByteReader der_inside(const DerValue *v) {
        return byte_reader(v->data, v->size);
}

/* A non-negative INTEGER in its shortest form: -EBADMSG, -ERANGE over 64 bits. */
_warn_unused_result_ int der_u64(const DerValue *v, uint64_t *ret);
/* A non-negative INTEGER of any length, without its leading zero byte. */
_warn_unused_result_ int der_unsigned(const DerValue *v, const uint8_t **ret, size_t *ret_size);
/* A BIT STRING without unused bits. */
_warn_unused_result_ int der_bits(const DerValue *v, const uint8_t **ret, size_t *ret_size);
/* UTCTime or GeneralizedTime as RFC 5280 4.1.2.5 has them (seconds, Z), in seconds since 1970. */
_warn_unused_result_ int der_time(const DerValue *v, int64_t *ret);
