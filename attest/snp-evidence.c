/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-evidence.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "snp-report.h"

/* Azure's header, from Microsoft's description of the HCL report in the vTPM's NV index 0x01400001: signature, version (1 and 2
 * seen), size, request type (2: SNP), 16 bytes of status; behind the report a header of five numbers, then
 * the runtime data. The NV index is larger than what it holds: the rest is zero. */
#define HCL_HEADER_SIZE  32u
#define HCL_TYPE_SNP     2u
#define HCL_RUNTIME_SIZE 20u
#define HCL_HASH_MAX     3u /* SHA-256, -384, -512 */

static const uint8_t hcl_magic[4] = { 'H', 'C', 'L', 'A' };

static const char *const names[] = {
        [SNP_WRAPPING_NONE] = "report",
        [SNP_WRAPPING_TABLE] = "report with certificate table",
        [SNP_WRAPPING_HCL] = "Azure HCL report",
        [SNP_WRAPPING_HCL_TAIL] = "report with Azure runtime data",
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
                /* Cut off behind its header: the report is whole all the same. */
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
        /* Runtime data is a hint for whoever checks the binding to a TPM; the report does not depend on it. */
        (void) !!read_runtime(&r, &e);
        *ret = e;
        return 0;
}

int snp_evidence_read(const void *p, size_t n, SnpEvidence *ret, char **reterr) {
        SnpEvidence e = { .report = p, .report_size = SNP_REPORT_SIZE };
        ByteReader r = byte_reader(p, n);
        int k;

        if (n >= sizeof(hcl_magic) && memcmp(p, hcl_magic, sizeof(hcl_magic)) == 0)
                return read_hcl(p, n, ret, reterr);
        if (n < SNP_REPORT_SIZE)
                return error_set(
                                reterr, -EBADMSG, "a report has %u bytes, this has %zu", SNP_REPORT_SIZE, n);
        k = byte_reader_seek(&r, SNP_REPORT_SIZE);
        if (k < 0)
                return k;

        if (byte_reader_left(&r) > 0) {
                if (read_runtime(&r, &e) == 0)
                        e.wrapping = SNP_WRAPPING_HCL_TAIL;
                else {
                        k = snp_cert_table_decode(r.data + r.pos, byte_reader_left(&r), &e.table, reterr);
                        if (k < 0)
                                return error_prefix(reterr, k,
                                                "%zu bytes behind the report's %u, which are no certificate "
                                                "table",
                                                byte_reader_left(&r), SNP_REPORT_SIZE);
                        if (e.table.n_entries == 0)
                                return error_set(reterr, -EBADMSG, "%zu bytes behind the report's %u",
                                                byte_reader_left(&r), SNP_REPORT_SIZE);
                        e.wrapping = SNP_WRAPPING_TABLE;
                }
        }
        *ret = e;
        return 0;
}
