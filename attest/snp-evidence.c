/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-evidence.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "evidence-form.h"
#include "snp-report.h"
#include "strutil.h"

/* Azure's header, from Microsoft's description of the HCL report in the vTPM's NV index 0x01400001: signature, version (1 and 2
 * seen), size, request type (2: SNP), 16 bytes of status; after the report a header of five numbers, then
 * the runtime data. The NV index is larger than what it holds: the rest is zero. */
#define HCL_HEADER_SIZE  32u
#define HCL_TYPE_SNP     2u
#define HCL_RUNTIME_SIZE 20u
#define HCL_HASH_MAX     3u /* SHA-256, -384, -512 */

#define RESPONSE_HEADER_SIZE 32u
#define RESPONSE_SIZE_MAX    4096u

#define NOT_A_REPORT "it does not begin with the version number of a report"

static const uint8_t hcl_magic[4] = { 'H', 'C', 'L', 'A' };

static const char *const names[] = {
        [SNP_WRAPPING_NONE] = "report",
        [SNP_WRAPPING_TABLE] = "report with certificate table",
        [SNP_WRAPPING_HCL] = "Azure HCL report",
        [SNP_WRAPPING_HCL_TAIL] = "report with Azure runtime data",
        [SNP_WRAPPING_PADDED] = "report with padding",
        [SNP_WRAPPING_RESPONSE] = "answer of SNP_GET_REPORT",
};
static_assert(ELEMENTSOF(names) == _SNP_WRAPPING_MAX, "every wrapping has a name");

const char *snp_wrapping_to_string(SnpWrapping w) {
        return w >= 0 && w < _SNP_WRAPPING_MAX ? names[w] : NULL;
}

/* {u32 size of data and header, u32 version, u32 type, u32 hash, u32 size of the data}, the data, zeros. */
static int read_runtime(ByteReader *r, SnpEvidence *e) {
        uint32_t size, version, type, hash, data_size;
        ByteReader c = *r;
        const uint8_t *data;

        if (byte_reader_le32(&c, &size) < 0 || byte_reader_le32(&c, &version) < 0 ||
                        byte_reader_le32(&c, &type) < 0 || byte_reader_le32(&c, &hash) < 0 ||
                        byte_reader_le32(&c, &data_size) < 0)
                return -EBADMSG;
        if (version == 0 || version > 0xff || type != HCL_TYPE_SNP || hash == 0 || hash > HCL_HASH_MAX)
                return -EBADMSG;
        if (data_size > byte_reader_left(&c)) {
                /* Cut off after its header: the report is whole all the same. */
                if (byte_reader_left(&c) > 0)
                        return -EBADMSG;
                data_size = 0;
        }
        if (byte_reader_take(&c, data_size, &data) < 0 ||
                        !bytes_are_zero(c.data + c.pos, byte_reader_left(&c)))
                return -EBADMSG;
        if (data_size > 0) {
                e->runtime_data = data;
                e->runtime_data_size = data_size;
        }
        return 0;
}

static int read_hcl(const void *p, size_t n, SnpEvidence *ret, char **reterr) {
        SnpEvidence e = { .wrapping = SNP_WRAPPING_HCL };
        ByteReader r = byte_reader(p, n);
        uint32_t version, size, type;

        if (byte_reader_skip(&r, sizeof(hcl_magic)) < 0 || byte_reader_le32(&r, &version) < 0 ||
                        byte_reader_le32(&r, &size) < 0 || byte_reader_le32(&r, &type) < 0 ||
                        byte_reader_seek(&r, HCL_HEADER_SIZE) < 0 ||
                        byte_reader_take(&r, SNP_REPORT_SIZE, &e.report) < 0)
                return error_set(reterr, -EBADMSG, "an Azure HCL report of %zu bytes is too short", n);
        if (type != HCL_TYPE_SNP)
                return error_set(reterr, -EBADMSG, "an Azure HCL report of type %u; 2 is SEV-SNP", type);
        e.report_size = SNP_REPORT_SIZE;
        /* Runtime data helps a verifier to check the binding to a TPM; the report does not depend on it. */
        (void) !!read_runtime(&r, &e);
        *ret = e;
        return 0;
}

/* Only zeros, or only blanks: padding without meaning. */
static bool is_padding(const uint8_t *p, size_t n) {
        size_t blanks = 0;

        for (; blanks < n && memchr(" \t\r\n", p[blanks], 4); blanks++)
                ;
        return blanks == n || bytes_are_zero(p, n);
}

/* 1: the firmware's answer, with the report in *e; 0: something else. */
static int read_response(const uint8_t *p, size_t n, SnpEvidence *e, char **reterr) {
        if (n < RESPONSE_HEADER_SIZE || n > RESPONSE_SIZE_MAX ||
                        !bytes_are_zero(p + 8, RESPONSE_HEADER_SIZE - 8))
                return 0;
        if (le32_read(p) != 0 && le32_read(p + 4) == 0 && bytes_are_zero(p + 4, n - 4))
                return error_set(reterr, -EBADMSG,
                                "the firmware's answer to SNP_GET_REPORT is an error: status 0x%x, no report",
                                le32_read(p));
        if (le32_read(p) != 0 || le32_read(p + 4) != SNP_REPORT_SIZE ||
                        n < RESPONSE_HEADER_SIZE + SNP_REPORT_SIZE ||
                        !is_padding(p + RESPONSE_HEADER_SIZE + SNP_REPORT_SIZE,
                                        n - RESPONSE_HEADER_SIZE - SNP_REPORT_SIZE))
                return 0;
        e->report = p + RESPONSE_HEADER_SIZE;
        e->wrapping = SNP_WRAPPING_RESPONSE;
        return 1;
}

/* What has neither the version of a report nor its signature algorithm was never one: a wrong file, not a forgery. */
static bool is_plausible(const uint8_t *p) {
        return (le32_read(p) >= SNP_REPORT_VERSION_MIN && le32_read(p) <= SNP_REPORT_VERSION_MAX + 8) ||
                        le32_read(p + offsetof(SnpReportAbi, signature_algorithm)) ==
                        SNP_SIGNATURE_ALGORITHM_P384;
}

static int read_tail(ByteReader *r, SnpEvidence *e, char **reterr) {
        const uint8_t *tail = r->data + r->pos;
        size_t n = byte_reader_left(r);

        if (evidence_is_report(tail, n))
                return error_set(reterr, -EBADMSG,
                                "another report follows (%zu bytes follow the %u of the first); pass one of them",
                                n, SNP_REPORT_SIZE);
        if (is_padding(tail, n))
                e->wrapping = SNP_WRAPPING_PADDED;
        else if (read_runtime(r, e) == 0)
                e->wrapping = SNP_WRAPPING_HCL_TAIL;
        else {
                _cleanup_free_ char *why = NULL;
                int k = snp_cert_table_decode(tail, n, &e->table, &why);

                /* What follows something that is not a report is of no interest. */
                if (k < 0 && k != -ENOMEM)
                        return is_plausible(r->data)
                                        ? error_set(reterr, k,
                                                          "%zu bytes follow the %u of the report, and they are not a certificate table: %s",
                                                          n, SNP_REPORT_SIZE, why ?: "unknown")
                                        : error_set(reterr, k, NOT_A_REPORT);
                if (k < 0)
                        return k;
                e->wrapping = SNP_WRAPPING_TABLE;
        }
        return 0;
}

int snp_evidence_read(const void *p, size_t n, SnpEvidence *ret, char **reterr) {
        SnpEvidence e = { .report = p, .report_size = SNP_REPORT_SIZE };
        ByteReader r = byte_reader(p, n);
        int k;

        if (n >= sizeof(hcl_magic) && memcmp(p, hcl_magic, sizeof(hcl_magic)) == 0)
                return read_hcl(p, n, ret, reterr);
        k = read_response(p, n, &e, reterr);
        if (k < 0)
                return k;
        if (k == 0) {
                if (n < SNP_REPORT_SIZE)
                        return error_set(reterr, -EBADMSG, "a report has %u bytes, but the input has %zu",
                                        SNP_REPORT_SIZE, n);
                k = byte_reader_seek(&r, SNP_REPORT_SIZE);
                if (k == 0 && byte_reader_left(&r) > 0)
                        k = read_tail(&r, &e, reterr);
                if (k < 0)
                        return k;
        }
        *ret = e;
        return 0;
}

void snp_evidence_done(SnpEvidence *e) {
        free(e->decoded);
        free(e->note);
        *e = (SnpEvidence) {};
}

static int check_plausible(const SnpEvidence *e, const void *p, size_t n, char **reterr) {
        const char *name = evidence_looks_like(p, n);

        if (bytes_are_zero(e->report, e->report_size) || evidence_is_damaged(p, n))
                return error_set(reterr, -EBADMSG, "it looks like %s", name ?: "a report of zeros");
        if (is_plausible(e->report))
                return 0;
        return error_set(reterr, -EBADMSG, name ? "it looks like %s" : "%s", name ?: NOT_A_REPORT);
}

static int read_any(const void *p, size_t n, SnpEvidence *ret, char **reterr) {
        SnpEvidence e = { .report = p, .report_size = SNP_REPORT_SIZE };
        _cleanup_free_ char *why = NULL;
        const char *name;
        int r = n == SNP_REPORT_SIZE ? 0 : snp_evidence_read(p, n, &e, &why);

        if (r == 0)
                r = check_plausible(&e, p, n, &why);
        if (r == 0) {
                *ret = e;
                return 0;
        }
        if (r == -ENOMEM)
                return r;
        /* What follows a report says more than that one is there. */
        name = n > SNP_REPORT_SIZE && e.report == p && evidence_is_report(p, n) && !evidence_is_damaged(p, n)
                        ? NULL
                        : evidence_looks_like(p, n);
        return name ? error_set(reterr, -EBADMSG, "it looks like %s", name)
                    : error_set(reterr, -EBADMSG, "%s", why ?: "unknown form");
}

/* Reads bytes that were decoded, and takes them, also on failure. */
static int read_decoded(uint8_t *data, size_t n, char *note, SnpEvidence *ret, char **reterr) {
        int r = note ? read_any(data, n, ret, reterr) : -ENOMEM;

        if (r < 0) {
                free(data);
                free(note);
                return r;
        }
        ret->decoded = data;
        ret->note = note;
        return 0;
}

typedef struct Search {
        SnpEvidence found;
        unsigned n;
} Search;

static int try_string(void *userdata, const char *name, const void *value, size_t size, bool binary) {
        _cleanup_(snp_evidence_done) SnpEvidence e = {};
        Search *s = userdata;
        _cleanup_free_ char *note = NULL;
        uint8_t *data = NULL;
        char *whole = NULL;
        size_t n = size;
        int r;

        if (binary) {
                data = malloc(size);
                if (!data)
                        return -ENOMEM;
                memcpy(data, value, size);
        } else {
                r = evidence_decode(value, size, &data, &n, &note);
                if (r <= 0)
                        return r;
        }
        if (asprintf(&whole, "%s in %s%s%sa JSON document", note ?: "the numbers of an array",
                            name ? "the member '" : "", name ?: "", name ? "' of " : "") < 0) {
                free(data);
                return -ENOMEM;
        }
        r = read_decoded(data, n, whole, &e, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        if (s->n++ == 0)
                s->found = TAKE_STRUCT(e, (SnpEvidence) {});
        return 0;
}

static int open_json(const void *p, size_t n, SnpEvidence *ret, char **reterr) {
        Search s = {};
        int r = evidence_each_string(p, n, try_string, &s, reterr);

        if (r == 0 && s.n != 1)
                r = error_set(reterr, -EBADMSG,
                                s.n == 0 ? "JSON in which no member holds a report in base64, hexadecimal or numbers"
                                         : "%u members of the JSON document hold reports; pass one of them",
                                s.n);
        if (r < 0) {
                snp_evidence_done(&s.found);
                return r;
        }
        *ret = s.found;
        return 0;
}

int snp_evidence_open(const void *p, size_t n, SnpEvidence *ret, char **reterr) {
        _cleanup_free_ char *why = NULL, *note = NULL;
        _cleanup_free_ uint8_t *data = NULL;
        size_t size = n;
        int r = evidence_decode(p, n, &data, &size, &note);

        if (r < 0)
                return r;
        if (evidence_is_json(data ?: p, size))
                r = open_json(data ?: p, size, ret, &why);
        else if (data)
                r = read_decoded(TAKE_PTR(data), size, TAKE_PTR(note), ret, &why);
        else
                r = read_any(p, n, ret, &why);
        return r < 0 && r != -ENOMEM
                        ? error_set(reterr, -EBADMSG, "not a SEV-SNP report: %s", why ?: "unknown form")
                        : r;
}
