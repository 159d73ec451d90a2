/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sev-cert.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "strutil.h"

#define CERT_VERSION    1u
#define CURVE_P384      2u
#define FIELD_SIZE      72u /* a coordinate or half of a signature in the file */
#define PUBKEY_SIZE     1028u
#define PUBKEY_OFFSET   0x10u
#define SIGNATURE_SIZE  512u
#define AMD_HEADER_SIZE 0x40u

static_assert(PUBKEY_OFFSET + PUBKEY_SIZE == SEV_CERT_SIGNED_SIZE,
                "the public key ends where the signatures begin");
static_assert(SEV_CERT_SIGNED_SIZE + SEV_CERT_SIGNATURES * (8 + SIGNATURE_SIZE) == SEV_CERT_SIZE,
                "AMD 55766");
static_assert(AMD_HEADER_SIZE + 3 * 256 == AMD_CERT_SIZE_2048 &&
                                AMD_HEADER_SIZE + 3 * 512 == AMD_CERT_SIZE_4096 &&
                                AMD_HEADER_SIZE + 2 * 256 == AMD_CERT_SIZE_UNSIGNED,
                "AMD 55766");

const char *sev_usage_to_string(uint32_t usage) {
        switch (usage) {
        case SEV_USAGE_ARK:
                return "ARK";
        case SEV_USAGE_ASK:
                return "ASK";
        case SEV_USAGE_NONE:
                return "none";
        case SEV_USAGE_OCA:
                return "OCA";
        case SEV_USAGE_PEK:
                return "PEK";
        case SEV_USAGE_PDH:
                return "PDH";
        case SEV_USAGE_CEK:
                return "CEK";
        default:
                return "unknown";
        }
}

const char *sev_algorithm_to_string(uint32_t algorithm) {
        switch (algorithm) {
        case SEV_ALGORITHM_NONE:
                return "none";
        case SEV_ALGORITHM_RSA_SHA256:
                return "rsa-sha256";
        case SEV_ALGORITHM_ECDSA_SHA256:
                return "ecdsa-sha256";
        case SEV_ALGORITHM_ECDH_SHA256:
                return "ecdh-sha256";
        case SEV_ALGORITHM_RSA_SHA384:
                return "rsa-sha384";
        case SEV_ALGORITHM_ECDSA_SHA384:
                return "ecdsa-sha384";
        case SEV_ALGORITHM_ECDH_SHA384:
                return "ecdh-sha384";
        default:
                return "unknown";
        }
}

bool sev_algorithm_is_rsa(uint32_t algorithm) {
        return algorithm == SEV_ALGORITHM_RSA_SHA256 || algorithm == SEV_ALGORITHM_RSA_SHA384;
}

bool sev_algorithm_is_ecdsa(uint32_t algorithm) {
        return algorithm == SEV_ALGORITHM_ECDSA_SHA256 || algorithm == SEV_ALGORITHM_ECDSA_SHA384;
}

static void reverse_copy(uint8_t *to, const uint8_t *from, size_t n) {
        for (size_t i = 0; i < n; i++)
                to[i] = from[n - 1 - i];
}

/* A 72-byte little-endian field that holds 48 bytes. */
static int field_get(const uint8_t *field, uint8_t ret[static SEV_CERT_COORDINATE]) {
        if (!bytes_are_zero(field + SEV_CERT_COORDINATE, FIELD_SIZE - SEV_CERT_COORDINATE))
                return -EBADMSG;
        reverse_copy(ret, field, SEV_CERT_COORDINATE);
        return 0;
}

static void field_put(ByteWriter *w, const uint8_t be[static SEV_CERT_COORDINATE]) {
        uint8_t field[FIELD_SIZE] = {};

        reverse_copy(field, be, SEV_CERT_COORDINATE);
        byte_writer_put(w, field, sizeof(field));
}

static int parse_pubkey(const uint8_t *p, SevCert *c, char **reterr) {
        uint32_t curve = le32_read(p);

        if (sev_algorithm_is_rsa(c->algorithm))
                return error_set(reterr, -EOPNOTSUPP,
                                "SEV certificate: an RSA key in a %s; platforms have P-384 keys",
                                sev_usage_to_string(c->usage));
        if (!sev_algorithm_is_ecdsa(c->algorithm) && c->algorithm != SEV_ALGORITHM_ECDH_SHA256 &&
                        c->algorithm != SEV_ALGORITHM_ECDH_SHA384)
                return error_set(reterr, -EBADMSG,
                                "SEV certificate: unknown key algorithm 0x%x at offset 0xc", c->algorithm);
        if (curve != CURVE_P384)
                return error_set(reterr, -EOPNOTSUPP,
                                "SEV certificate: curve %u at offset 0x10, expected %u (P-384)", curve,
                                CURVE_P384);
        if (field_get(p + 4, c->x) < 0 || field_get(p + 4 + FIELD_SIZE, c->y) < 0)
                return error_set(reterr, -EBADMSG, "SEV certificate: a coordinate is longer than 48 bytes");
        if (!bytes_are_zero(p + 4 + 2 * FIELD_SIZE, PUBKEY_SIZE - 4 - 2 * FIELD_SIZE))
                return error_set(reterr, -EBADMSG,
                                "SEV certificate: the bytes after the public key are not zero");
        return 0;
}

static int check_signature(const SevSignature *s, unsigned i, char **reterr) {
        size_t offset = SEV_CERT_SIGNED_SIZE + i * (8 + SIGNATURE_SIZE);

        if (s->usage == SEV_USAGE_NONE) {
                if (s->algorithm != SEV_ALGORITHM_NONE || !bytes_are_zero(s->bytes, sizeof(s->bytes)))
                        return error_set(reterr, -EBADMSG,
                                        "SEV certificate: the empty signature slot at offset 0x%zx is not zero",
                                        offset);
                return 0;
        }
        if (streq(sev_usage_to_string(s->usage), "unknown"))
                return error_set(reterr, -EBADMSG,
                                "SEV certificate: unknown usage 0x%x of a signer at offset 0x%zx", s->usage,
                                offset);
        if (!sev_algorithm_is_rsa(s->algorithm) && !sev_algorithm_is_ecdsa(s->algorithm))
                return error_set(reterr, -EBADMSG,
                                "SEV certificate: unknown signature algorithm 0x%x at offset 0x%zx",
                                s->algorithm, offset + 4);
        if (sev_algorithm_is_ecdsa(s->algorithm)) {
                uint8_t r[SEV_CERT_COORDINATE], t[SEV_CERT_COORDINATE];

                if (sev_signature_ecdsa(s, r, t) < 0)
                        return error_set(reterr, -EBADMSG,
                                        "SEV certificate: the bytes after the signature at offset 0x%zx are not zero",
                                        offset + 8);
        }
        return 0;
}

int sev_cert_parse(const void *data, size_t size, SevCert *ret, char **reterr) {
        const uint8_t *p = data;
        SevCert c = {};
        int r;

        if (size != SEV_CERT_SIZE)
                return error_set(reterr, -EBADMSG, "SEV certificate: expected %u bytes, got %zu",
                                SEV_CERT_SIZE, size);
        if (le32_read(p) != CERT_VERSION)
                return error_set(reterr, -EBADMSG,
                                "SEV certificate: version %u, expected %u; is the file base64 text?",
                                le32_read(p), CERT_VERSION);
        if (le16_read(p + 6) != 0)
                return error_set(reterr, -EBADMSG,
                                "SEV certificate: reserved bytes at offset 6 are not zero");

        memcpy(c.raw, p, SEV_CERT_SIZE);
        c.api_major = p[4];
        c.api_minor = p[5];
        c.usage = le32_read(p + 8);
        c.algorithm = le32_read(p + 12);
        if (c.usage < SEV_USAGE_OCA || c.usage > SEV_USAGE_CEK)
                return error_set(reterr, -EBADMSG, "SEV certificate: unknown usage 0x%x at offset 8",
                                c.usage);
        r = parse_pubkey(p + PUBKEY_OFFSET, &c, reterr);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < SEV_CERT_SIGNATURES; i++) {
                const uint8_t *q = p + SEV_CERT_SIGNED_SIZE + i * (8 + SIGNATURE_SIZE);

                c.signatures[i].usage = le32_read(q);
                c.signatures[i].algorithm = le32_read(q + 4);
                memcpy(c.signatures[i].bytes, q + 8, SIGNATURE_SIZE);
                r = check_signature(&c.signatures[i], i, reterr);
                if (r < 0)
                        return r;
        }
        *ret = c;
        return 0;
}

void sev_cert_format(SevCert *c) {
        ByteWriter w = byte_writer(c->raw, sizeof(c->raw));
        int r;

        byte_writer_le32(&w, CERT_VERSION);
        byte_writer_u8(&w, c->api_major);
        byte_writer_u8(&w, c->api_minor);
        byte_writer_le16(&w, 0);
        byte_writer_le32(&w, c->usage);
        byte_writer_le32(&w, c->algorithm);
        byte_writer_le32(&w, CURVE_P384);
        field_put(&w, c->x);
        field_put(&w, c->y);
        byte_writer_pad_to(&w, SEV_CERT_SIGNED_SIZE);
        FOREACH_ARRAY(s, c->signatures, SEV_CERT_SIGNATURES) {
                byte_writer_le32(&w, s->usage);
                byte_writer_le32(&w, s->algorithm);
                byte_writer_put(&w, s->bytes, sizeof(s->bytes));
        }
        r = byte_writer_finish(&w, SEV_CERT_SIZE);
        assert(r == 0);
        (void) r;
}

int sev_signature_ecdsa(const SevSignature *s, uint8_t ret_r[static SEV_CERT_COORDINATE],
                uint8_t ret_s[static SEV_CERT_COORDINATE]) {
        if (!bytes_are_zero(s->bytes + 2 * FIELD_SIZE, SIGNATURE_SIZE - 2 * FIELD_SIZE) ||
                        field_get(s->bytes, ret_r) < 0 || field_get(s->bytes + FIELD_SIZE, ret_s) < 0)
                return -EBADMSG;
        return 0;
}

void sev_signature_set_ecdsa(SevSignature *s, uint32_t usage, uint32_t algorithm,
                const uint8_t r[static SEV_CERT_COORDINATE],
                const uint8_t s_be[static SEV_CERT_COORDINATE]) {
        *s = (SevSignature) { .usage = usage, .algorithm = algorithm };
        reverse_copy(s->bytes, r, SEV_CERT_COORDINATE);
        reverse_copy(s->bytes + FIELD_SIZE, s_be, SEV_CERT_COORDINATE);
}

int sev_signature_rsa(const SevSignature *s, size_t size, uint8_t *ret) {
        if (size > SIGNATURE_SIZE || !bytes_are_zero(s->bytes + size, SIGNATURE_SIZE - size))
                return -EBADMSG;
        reverse_copy(ret, s->bytes, size);
        return 0;
}

int amd_cert_parse(const void *data, size_t size, bool allow_unsigned, AmdCert *ret, size_t *ret_used,
                char **reterr) {
        const uint8_t *p = data;
        AmdCert c = {};
        uint32_t bits;
        size_t n;

        if (size < AMD_HEADER_SIZE)
                return error_set(reterr, -EBADMSG, "AMD certificate: %zu bytes are less than its header",
                                size);
        if (le32_read(p) != CERT_VERSION)
                return error_set(reterr, -EBADMSG, "AMD certificate: version %u, expected %u", le32_read(p),
                                CERT_VERSION);
        c.usage = le32_read(p + 0x24);
        if (c.usage != SEV_USAGE_ARK && c.usage != SEV_USAGE_ASK)
                return error_set(reterr, -EBADMSG,
                                "AMD certificate: usage 0x%x at offset 0x24, expected 0x0 (ARK) or 0x13 (ASK)",
                                c.usage);
        if (!bytes_are_zero(p + 0x28, 16))
                return error_set(reterr, -EBADMSG,
                                "AMD certificate: reserved bytes at offset 0x28 are not zero");
        bits = le32_read(p + 0x3c);
        if ((bits != 2048 && bits != 4096) || le32_read(p + 0x38) != bits)
                return error_set(reterr, -EBADMSG,
                                "AMD certificate: modulus of %u and exponent of %u bits, expected 2048 or 4096 for both",
                                bits, le32_read(p + 0x38));

        n = c.number_size = bits / 8;
        c.signed_size = AMD_HEADER_SIZE + 2 * n;
        c.has_signature = size >= c.signed_size + n;
        if (!c.has_signature && !(allow_unsigned && size == c.signed_size && size == AMD_CERT_SIZE_UNSIGNED))
                return error_set(reterr, -EBADMSG, "AMD certificate: expected %zu bytes, got %zu",
                                c.signed_size + n, size);

        memcpy(c.key_id, p + 0x04, sizeof(c.key_id));
        memcpy(c.certifying_id, p + 0x14, sizeof(c.certifying_id));
        reverse_copy(c.exponent, p + AMD_HEADER_SIZE, n);
        reverse_copy(c.modulus, p + AMD_HEADER_SIZE + n, n);
        if (c.has_signature)
                reverse_copy(c.signature, p + c.signed_size, n);
        c.raw_size = c.signed_size + (c.has_signature ? n : 0);
        memcpy(c.raw, p, c.raw_size);
        *ret = c;
        *ret_used = c.raw_size;
        return 0;
}

void amd_cert_format(AmdCert *c) {
        uint8_t number[AMD_CERT_NUMBER_MAX];
        ByteWriter w = byte_writer(c->raw, sizeof(c->raw));
        int r;

        assert(c->number_size == 256 || c->number_size == 512);
        c->signed_size = AMD_HEADER_SIZE + 2 * c->number_size;
        c->raw_size = c->signed_size + (c->has_signature ? c->number_size : 0);

        byte_writer_le32(&w, CERT_VERSION);
        byte_writer_put(&w, c->key_id, sizeof(c->key_id));
        byte_writer_put(&w, c->certifying_id, sizeof(c->certifying_id));
        byte_writer_le32(&w, c->usage);
        byte_writer_zero(&w, 16);
        byte_writer_le32(&w, (uint32_t) c->number_size * 8);
        byte_writer_le32(&w, (uint32_t) c->number_size * 8);
        const uint8_t *const numbers[] = { c->exponent, c->modulus, c->has_signature ? c->signature : NULL };
        for (size_t i = 0; i < ELEMENTSOF(numbers) && numbers[i]; i++) {
                reverse_copy(number, numbers[i], c->number_size);
                byte_writer_put(&w, number, c->number_size);
        }
        r = byte_writer_finish(&w, c->raw_size);
        assert(r == 0);
        (void) r;
}
