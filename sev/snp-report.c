/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-report.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "error.h"

#define AT(field) offsetof(SnpReportAbi, field)

static void reverse(const uint8_t *from, uint8_t *to, size_t n) {
        for (size_t i = 0; i < n; i++)
                to[i] = from[n - 1 - i];
}

int snp_signature_decode(const SnpSignatureAbi *sig, uint8_t ret_r[static 48], uint8_t ret_s[static 48]) {
        if (!bytes_are_zero(sig->r + 48, sizeof(sig->r) - 48) ||
                        !bytes_are_zero(sig->s + 48, sizeof(sig->s) - 48) ||
                        !bytes_are_zero(sig->reserved, sizeof(sig->reserved)))
                return -EBADMSG;
        reverse(sig->r, ret_r, 48);
        reverse(sig->s, ret_s, 48);
        return 0;
}

void snp_signature_encode(const uint8_t r[static 48], const uint8_t s[static 48], SnpSignatureAbi *ret) {
        memset(ret, 0, sizeof(*ret));
        reverse(r, ret->r, 48);
        reverse(s, ret->s, 48);
}

/* The first byte of [from, to) that is not zero is named. */
static int check_zero(const uint8_t *p, size_t from, size_t to, char **reterr) {
        for (size_t i = from; i < to; i++)
                if (p[i] != 0)
                        return error_set(reterr, -EBADMSG,
                                        "reserved byte at offset 0x%03zx is 0x%02x, expected 0", i, p[i]);
        return 0;
}

static int check_reserved(const uint8_t *p, uint32_t version, char **reterr) {
        const struct {
                size_t from, to;
                bool applies;
        } ranges[] = {
                { AT(reserved_4c), AT(report_data), true },
                { AT(cpuid_family), AT(reserved_18b), version < 3 },
                { AT(reserved_18b), AT(chip_id), true },
                { AT(reserved_1eb), AT(reserved_1eb) + 1, true },
                { AT(reserved_1ef), AT(reserved_1ef) + 1, true },
                /* What version 4 puts there is not documented where we could read it: not judged. */
                { AT(launch_mit_vector), AT(reserved_208), version < 4 },
                { AT(reserved_208), AT(signature), true },
        };
        uint32_t key_info = le32_read(p + AT(key_info));
        int r;

        FOREACH_ARRAY(range, ranges, ELEMENTSOF(ranges)) {
                r = range->applies ? check_zero(p, range->from, range->to, reterr) : 0;
                if (r < 0)
                        return r;
        }
        if (key_info >> 5 != 0)
                return error_set(reterr, -EBADMSG, "reserved bits of KEY_INFO at offset 0x048 are set: 0x%x",
                                key_info);
        return 0;
}

static SnpVersion read_version(const uint8_t p[static 3]) {
        return (SnpVersion) { .build = p[0], .minor = p[1], .major = p[2] };
}

#define COPY(to, from)                                                                                      \
        ({                                                                                                  \
                static_assert(sizeof(to) == sizeof(from), "same size");                                     \
                memcpy(to, from, sizeof(to));                                                               \
        })

static void read_fields(const SnpReportAbi *a, SnpReport *r) {
        uint32_t key_info = le32_read(a->key_info);

        r->version = le32_read(a->version);
        r->guest_svn = le32_read(a->guest_svn);
        r->policy = le64_read(a->policy);
        COPY(r->family_id, a->family_id);
        COPY(r->image_id, a->image_id);
        r->vmpl = le32_read(a->vmpl);
        r->signature_algorithm = le32_read(a->signature_algorithm);
        COPY(r->current_tcb, a->current_tcb);
        r->platform_info = le64_read(a->platform_info);
        r->author_key_enabled = key_info & 1;
        r->mask_chip_key = key_info & 2;
        r->signing_key = key_info >> 2 & 7;
        COPY(r->report_data, a->report_data);
        COPY(r->measurement, a->measurement);
        COPY(r->host_data, a->host_data);
        COPY(r->id_key_digest, a->id_key_digest);
        COPY(r->author_key_digest, a->author_key_digest);
        COPY(r->report_id, a->report_id);
        COPY(r->report_id_ma, a->report_id_ma);
        COPY(r->reported_tcb, a->reported_tcb);
        if (r->version >= 3) {
                r->cpuid_family = a->cpuid_family;
                r->cpuid_model = a->cpuid_model;
                r->cpuid_stepping = a->cpuid_stepping;
        }
        COPY(r->chip_id, a->chip_id);
        COPY(r->committed_tcb, a->committed_tcb);
        r->current_version = read_version(a->current_version);
        r->committed_version = read_version(a->committed_version);
        COPY(r->launch_tcb, a->launch_tcb);
        if (r->version >= 5) {
                r->launch_mit_vector = le64_read(a->launch_mit_vector);
                r->current_mit_vector = le64_read(a->current_mit_vector);
        }
}

int snp_report_decode(const void *p, size_t n, SnpReport *ret, char **reterr) {
        SnpReportAbi a;
        SnpReport r = {};
        uint32_t version;
        int k;

        if (n != SNP_REPORT_SIZE)
                return error_set(reterr, -EBADMSG, "a report has %u bytes, but the input has %zu",
                                SNP_REPORT_SIZE, n);
        memcpy(&a, p, sizeof(a));
        version = le32_read(a.version);
        if (version < SNP_REPORT_VERSION_MIN)
                return error_set(reterr, -EBADMSG, "report version %u at offset 0x000; expected %u to %u",
                                version, SNP_REPORT_VERSION_MIN, SNP_REPORT_VERSION_MAX);
        if (version <= SNP_REPORT_VERSION_MAX) {
                k = check_reserved(p, version, reterr);
                if (k < 0)
                        return k;
        }
        if (snp_signature_decode(&a.signature, r.signature_r, r.signature_s) < 0)
                return error_set(reterr, -EBADMSG,
                                "the signature at offset 0x%03zx has non-zero bytes after r and s",
                                AT(signature));
        read_fields(&a, &r);
        *ret = r;
        return 0;
}

static void write_version(SnpVersion v, uint8_t p[static 3]) {
        p[0] = v.build;
        p[1] = v.minor;
        p[2] = v.major;
}

void snp_report_encode(const SnpReport *r, uint8_t ret[static SNP_REPORT_SIZE]) {
        SnpReportAbi a = {};

        le32_write(a.version, r->version);
        le32_write(a.guest_svn, r->guest_svn);
        le64_write(a.policy, r->policy);
        COPY(a.family_id, r->family_id);
        COPY(a.image_id, r->image_id);
        le32_write(a.vmpl, r->vmpl);
        le32_write(a.signature_algorithm, r->signature_algorithm);
        COPY(a.current_tcb, r->current_tcb);
        le64_write(a.platform_info, r->platform_info);
        le32_write(a.key_info,
                        (uint32_t) (r->author_key_enabled | r->mask_chip_key << 1 | r->signing_key << 2));
        COPY(a.report_data, r->report_data);
        COPY(a.measurement, r->measurement);
        COPY(a.host_data, r->host_data);
        COPY(a.id_key_digest, r->id_key_digest);
        COPY(a.author_key_digest, r->author_key_digest);
        COPY(a.report_id, r->report_id);
        COPY(a.report_id_ma, r->report_id_ma);
        COPY(a.reported_tcb, r->reported_tcb);
        if (r->version >= 3) {
                a.cpuid_family = r->cpuid_family;
                a.cpuid_model = r->cpuid_model;
                a.cpuid_stepping = r->cpuid_stepping;
        }
        COPY(a.chip_id, r->chip_id);
        COPY(a.committed_tcb, r->committed_tcb);
        write_version(r->current_version, a.current_version);
        write_version(r->committed_version, a.committed_version);
        COPY(a.launch_tcb, r->launch_tcb);
        if (r->version >= 5) {
                le64_write(a.launch_mit_vector, r->launch_mit_vector);
                le64_write(a.current_mit_vector, r->current_mit_vector);
        }
        snp_signature_encode(r->signature_r, r->signature_s, &a.signature);
        memcpy(ret, &a, sizeof(a));
}

SnpGeneration snp_report_tcb_layout(const SnpReport *r, SnpGeneration g) {
        if (g >= 0)
                return g;
        if (r->version >= 3 || bytes_are_zero(r->chip_id, sizeof(r->chip_id)))
                return _SNP_GENERATION_INVALID;
        return bytes_are_zero(r->chip_id + 8, sizeof(r->chip_id) - 8) ? SNP_TURIN : SNP_MILAN;
}

SnpGeneration snp_report_generation(const SnpReport *r) {
        return r->version < 3 ? _SNP_GENERATION_INVALID
                              : snp_generation_from_cpuid(r->cpuid_family, r->cpuid_model);
}
