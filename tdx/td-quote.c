/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "td-quote.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bytes.h"
#include "error.h"

enum {
        HEADER_SIZE = 48,
        TEE_TDX = 0x81,
        KEY_ECDSA_P256 = 2,
        BODY_TD10 = 2,
        BODY_TD15 = 3,
        BODY_TD10_SIZE = 584,
        BODY_TD15_SIZE = 648,
        SIGNATURE_SIZE = 64,
        QE_REPORT_SIZE = 384,
        CERTIFICATION_QE = 6,
        CERTIFICATION_CHAIN = 5,
        REPORT_TYPE_TD = 0x81,
};

static bool is_report(const uint8_t *p, size_t n) {
        return n == TD_REPORT_SIZE && p[0] == REPORT_TYPE_TD && p[1] == 0 && p[2] <= 1 && p[3] == 0;
}

bool td_quote_is(const uint8_t *p, size_t n) {
        if (is_report(p, n))
                return true;
        return n > HEADER_SIZE && (le16_read(p) == 4 || le16_read(p) == 5) &&
                        le16_read(p + 2) == KEY_ECDSA_P256 && le32_read(p + 4) == TEE_TDX;
}

/* The caller has seen that the bytes are there: readers of fixed structures that were taken whole. */
typedef struct Field {
        void *to;
        size_t size;
} Field;

static int read_fields(ByteReader *r, const Field *fields, size_t n) {
        int k = 0;

        for (size_t i = 0; k >= 0 && i < n; i++)
                k = byte_reader_copy(r, fields[i].to, fields[i].size);
        return k;
}

/* TD attributes to RTMR3: the same in TDINFO_STRUCT and in a quote's body. */
static int read_td(ByteReader *r, TdQuote *q) {
        const Field fields[] = {
                { q->mrtd, sizeof(q->mrtd) },
                { q->mrconfigid, sizeof(q->mrconfigid) },
                { q->mrowner, sizeof(q->mrowner) },
                { q->mrownerconfig, sizeof(q->mrownerconfig) },
                { q->rtmr, sizeof(q->rtmr) },
        };

        if (byte_reader_le64(r, &q->attributes) < 0 || byte_reader_le64(r, &q->xfam) < 0)
                return -ENODATA;
        return read_fields(r, fields, ELEMENTSOF(fields));
}

static int read_body(ByteReader *r, TdQuote *q) {
        const Field seam[] = {
                { q->tee_tcb_svn, sizeof(q->tee_tcb_svn) },
                { q->mrseam, sizeof(q->mrseam) },
                { q->mrsignerseam, sizeof(q->mrsignerseam) },
                { q->seam_attributes, sizeof(q->seam_attributes) },
        };
        const Field later[] = { { q->tee_tcb_svn2, sizeof(q->tee_tcb_svn2) },
                { q->mrservicetd, sizeof(q->mrservicetd) } };
        int k = read_fields(r, seam, ELEMENTSOF(seam));

        if (k >= 0)
                k = read_td(r, q);
        if (k >= 0)
                k = byte_reader_copy(r, q->report_data, sizeof(q->report_data));
        return k < 0 || !q->td15 ? k : read_fields(r, later, ELEMENTSOF(later));
}

static int take(ByteReader *r, size_t n, TdSpan *ret) {
        int k = byte_reader_take(r, n, &ret->data);

        if (k >= 0)
                ret->size = n;
        return k;
}

/* u16 type, u32 size, bytes. */
static int take_certification(ByteReader *r, unsigned *ret_type, ByteReader *ret) {
        uint16_t type;
        uint32_t size;

        if (byte_reader_le16(r, &type) < 0 || byte_reader_le32(r, &size) < 0 ||
                        byte_reader_sub(r, size, ret) < 0)
                return -ENODATA;
        *ret_type = type;
        return 0;
}

static int read_signature(ByteReader *r, TdQuote *q, char **reterr) {
        ByteReader certification, inner;
        uint16_t auth;
        unsigned type;

        if (take(r, SIGNATURE_SIZE, &q->signature) < 0 || take(r, SIGNATURE_SIZE, &q->key) < 0 ||
                        take_certification(r, &type, &certification) < 0)
                return error_set(reterr, -EBADMSG, "the quote is truncated in its signature data");
        if (type != CERTIFICATION_QE || byte_reader_left(r) != 0)
                return error_set(reterr, -EBADMSG,
                                "the quote has certification data of type %u, %u expected (the report of a quoting enclave), and nothing after them",
                                type, (unsigned) CERTIFICATION_QE);
        if (take(&certification, QE_REPORT_SIZE, &q->qe_report) < 0 ||
                        take(&certification, SIGNATURE_SIZE, &q->qe_signature) < 0 ||
                        byte_reader_le16(&certification, &auth) < 0 ||
                        take(&certification, auth, &q->qe_auth) < 0 ||
                        take_certification(&certification, &q->chain_type, &inner) < 0 ||
                        byte_reader_left(&certification) != 0)
                return error_set(reterr, -EBADMSG,
                                "the report of the quoting enclave in the quote is truncated");
        return take(&inner, byte_reader_left(&inner), &q->chain);
}

static int parse_quote(const uint8_t *p, size_t n, TdQuote *q, char **reterr) {
        ByteReader r = byte_reader(p, n), body, signature;
        uint32_t size = BODY_TD10_SIZE;
        uint16_t type = BODY_TD10;

        if (byte_reader_skip(&r, HEADER_SIZE) < 0)
                return -EBADMSG; /* cannot happen: td_quote_is() has seen them */
        q->version = le16_read(p);
        if (q->version == 5 && (byte_reader_le16(&r, &type) < 0 || byte_reader_le32(&r, &size) < 0))
                return error_set(reterr, -EBADMSG, "the quote is truncated in its header");
        q->td15 = type == BODY_TD15;
        if ((type != BODY_TD10 && type != BODY_TD15) || size != (q->td15 ? BODY_TD15_SIZE : BODY_TD10_SIZE))
                return error_set(reterr, -EBADMSG,
                                "the quote has a body of type %u with %" PRIu32
                                " bytes; expected type 2 with 584 or 3 with 648",
                                type, size);
        if (byte_reader_sub(&r, size, &body) < 0 || read_body(&body, q) < 0)
                return error_set(reterr, -EBADMSG, "the quote is truncated in its body");
        q->signed_part = (TdSpan) { p, r.pos };
        if (byte_reader_le32(&r, &size) < 0 || byte_reader_sub(&r, size, &signature) < 0)
                return error_set(reterr, -EBADMSG, "the quote is truncated in its signature data");
        q->rest = (TdSpan) { p + r.pos, byte_reader_left(&r) };
        return read_signature(&signature, q, reterr);
}

/* REPORTMACSTRUCT 256 bytes, TEE_TCB_INFO 239, 17 reserved, TDINFO_STRUCT 512. */
static int parse_report(const uint8_t *p, TdQuote *q) {
        ByteReader r = byte_reader(p, TD_REPORT_SIZE);

        memcpy(q->report_data, p + 128, sizeof(q->report_data));
        memcpy(q->tee_tcb_svn, p + 256 + 8, sizeof(q->tee_tcb_svn));
        memcpy(q->mrseam, p + 256 + 24, sizeof(q->mrseam));
        memcpy(q->mrsignerseam, p + 256 + 72, sizeof(q->mrsignerseam));
        memcpy(q->seam_attributes, p + 256 + 120, sizeof(q->seam_attributes));
        q->td15 = p[2] == 1;
        if (q->td15) {
                memcpy(q->tee_tcb_svn2, p + 256 + 128, sizeof(q->tee_tcb_svn2));
                memcpy(q->mrservicetd, p + 512 + 400, sizeof(q->mrservicetd));
        }
        return byte_reader_seek(&r, 512) < 0 ? -EBADMSG : read_td(&r, q);
}

int td_quote_parse(const uint8_t *p, size_t n, TdQuote *ret, char **reterr) {
        TdQuote q = {};
        int r;

        if (n > TD_QUOTE_SIZE_MAX || !td_quote_is(p, n))
                return error_set(reterr, -EBADMSG,
                                "not an Intel TDX quote of version 4 or 5, nor a TDREPORT");
        r = is_report(p, n) ? parse_report(p, &q) : parse_quote(p, n, &q, reterr);
        if (r < 0)
                return r;
        *ret = q;
        return 0;
}
