/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names for error messages, by what a file begins with or holds. Nothing here decides about a verdict. */

#include "evidence-form.h"

#include <string.h>

#include "bytes.h"
#include "strutil.h"

#define REPORT_VERSION_MAX 15u /* what is still taken for a report */
#define REPORT_SIZE        1184u
#define DAMAGES_MIN        4u  /* replacement characters that do not come by chance */
#define RECODED_MIN        16u /* bytes from 0x80, of which a report has hundreds */

static bool begins_with(const uint8_t *p, size_t n, const char *s) {
        return n >= strlen(s) && memcmp(p, s, strlen(s)) == 0;
}

static bool holds(const uint8_t *p, size_t n, const char *s) {
        return p && memmem(p, n, s, strlen(s)) != NULL;
}

/* What begins a file of another kind. */
static const struct {
        const char *magic;
        size_t size;
        const char *name;
} magics[] = {
        { "\x1f\x8b", 2, "gzip data; decompress it first (gunzip)" },
        { "\x28\xb5\x2f\xfd", 4, "zstd data; decompress it first (zstd -d)" },
        { "\xfd"
          "7zXZ",
                        5, "xz data; decompress it first (unxz)" },
        { "BZh", 3, "bzip2 data; decompress it first (bunzip2)" },
        { "\x04\x22\x4d\x18", 4, "lz4 data; decompress it first (unlz4)" },
        { "PK\x03\x04", 4, "a ZIP archive; unpack it first" },
        { "\x78\x9c", 2, "zlib data; decompress it first" },
        { "\x78\x01", 2, "zlib data; decompress it first" },
        { "\x78\xda", 2, "zlib data; decompress it first" },
        { "\x89PNG", 4, "a picture (PNG)" },
        { "%PDF-", 5, "a PDF document" },
        { "\xffTCG", 4, "a TPM's quote" },
        { "begin 6", 7, "uuencoded text; decode it first (uudecode)" },
        { "Attestation Report:", 19, "a report printed as text; pass the binary report" },
        { "              Version:", 22, "a report printed as text; pass the binary report" },
        { "HCLA", 4, "an Azure HCL report; give it to 'cvmspawn report'" },
        { "SQLite format", 13, "an SQLite database" },
        { "ssh-", 4, "an OpenSSH public key" },
        { "eyJ", 3, "a JSON web token; its payload holds a verifier's statement, not the evidence" },
        { "\x7f"
          "ELF",
                        4, "an ELF program" },
};

static const struct {
        const char *mark, *name;
} pem_kinds[] = {
        { "-----BEGIN CERTIFICATE REQUEST", "a certificate signing request" },
        { "-----BEGIN CERTIFICATE", "a certificate in PEM" },
        { "-----BEGIN X509 CRL", "a revocation list in PEM" },
        { "-----BEGIN PKCS7", "a PKCS#7 bundle; extract its certificates (openssl pkcs7 -print_certs)" },
        { "-----BEGIN CMS", "a PKCS#7 bundle; extract its certificates (openssl pkcs7 -print_certs)" },
        { "PRIVATE KEY-----", "a private key" },
        { "-----BEGIN PUBLIC KEY", "a public key" },
        { "-----BEGIN", "another kind of PEM" },
};

/* The first element inside the outer SEQUENCE tells the structures apart. */
static const char *name_der(const uint8_t *p, size_t n) {
        static const uint8_t signed_data[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07,
                0x02 };
        size_t head = n > 1 && p[1] > 0x80 && p[1] <= 0x84 ? 2u + (p[1] & 0x7f) : 2;

        if (n < head + 4 || p[0] != 0x30 || p[1] <= 0x80)
                return NULL;
        p += head;
        n -= head;
        if (n >= sizeof(signed_data) && memcmp(p, signed_data, sizeof(signed_data)) == 0)
                return "a PKCS#7 bundle; extract its certificates (openssl pkcs7 -inform DER -print_certs)";
        if (p[0] == 0x02 && p[1] == 1 && p[2] == 3)
                return "a PKCS#12 file; extract its certificates (openssl pkcs12 -nokeys)";
        if (p[0] == 0x02 && p[1] == 1)
                return "a private key in DER";
        return p[0] == 0x30 ? "a certificate or another X.509 structure in DER" : NULL;
}

/* Intel's quote: version 3 to 5, key type 2 or 3, TEE type 0 or 0x81 (Intel TDX DCAP quoting library, "quote header"). */
static const char *name_quote(const uint8_t *p, size_t n) {
        if (n < 48 || p[0] < 3 || p[0] > 5 || p[1] != 0 || p[2] < 2 || p[2] > 3 || p[3] != 0)
                return NULL;
        if (p[4] == 0x81 && p[5] == 0)
                return "an Intel TDX quote";
        return p[4] == 0 && p[5] == 0 && p[0] == 3 ? "an Intel SGX quote" : NULL;
}

/* Report layout (56860): version, and the algorithm of the signature. */
bool evidence_is_report(const uint8_t *p, size_t n) {
        return n >= REPORT_SIZE && le32_read(p) >= 2 && le32_read(p) <= REPORT_VERSION_MAX &&
                        le32_read(p + 0x34) == 1;
}

static bool is_hex_dump(const uint8_t *p, size_t n) {
        return n > 16 &&
                        (begins_with(p, n, "00000000: ") || begins_with(p, n, "00000000  ") ||
                                        begins_with(p, n, "0000000 "));
}

static bool has_replacements(const uint8_t *p, size_t n) {
        const uint8_t *at = p, *end = at + n;
        unsigned found = 0;

        while (found < DAMAGES_MIN && (at = memmem(at, (size_t) (end - at), "\xef\xbf\xbd", 3))) {
                found++;
                at += 3;
        }
        return found == DAMAGES_MIN;
}

/* Each byte from 0x80 became two of UTF-8. */
static bool is_latin1_as_utf8(const uint8_t *p, size_t n) {
        size_t found = 0;

        for (size_t i = 0; i < n; i++) {
                if (p[i] < 0x80)
                        continue;
                if ((p[i] & 0xfe) != 0xc2 || n - i < 2 || (p[i + 1] & 0xc0) != 0x80)
                        return false;
                found++;
                i++;
        }
        return found >= RECODED_MIN && memchr(p, 0, n);
}

/* Each LF became CR LF, so that a report got longer by their number. */
static bool has_line_breaks_of_dos(const uint8_t *p, size_t n) {
        size_t found = 0;

        for (size_t i = 0; i < n; i++)
                if (p[i] == '\n') {
                        if (i == 0 || p[i - 1] != '\r')
                                return false;
                        found++;
                }
        return found > 0 && n - found == REPORT_SIZE;
}

const char *evidence_is_damaged(const void *p, size_t n) {
        if (has_replacements(p, n))
                return "binary data that was copied as text and is damaged; copy it as a file or as base64";
        if (is_latin1_as_utf8(p, n))
                return "binary data that was converted from Latin-1 to UTF-8; copy it as a file or as base64";
        if (has_line_breaks_of_dos(p, n))
                return "a report whose line breaks were converted (LF to CR LF); copy it as a binary file";
        return NULL;
}

static bool is_odd_hex(const uint8_t *p, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (!strchr("0123456789abcdefABCDEFxX: \t\r\n", p[i]) || p[i] == 0)
                        return false;
        return n > 1;
}

static uint32_t swapped(const uint8_t *p) {
        return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static bool is_swapped_report(const uint8_t *p, size_t n) {
        return n >= REPORT_SIZE && swapped(p) >= 2 && swapped(p) <= REPORT_VERSION_MAX &&
                        swapped(p + 0x34) == 1;
}

/* Attestation { Report report = 1 { uint32 version = 1 ... } }: what go-sev-guest's tools write as "proto". */
static bool is_protocol_buffer(const uint8_t *p, size_t n) {
        size_t i = 1;

        if (n < 16 || p[0] != 0x0a)
                return false;
        while (i < 4 && p[i] & 0x80)
                i++;
        return p[i + 1] == 0x08 && p[i + 2] >= 2 && p[i + 2] <= REPORT_VERSION_MAX;
}

/* Printable ASCII, line breaks and colours, and a few letters of other scripts. */
static bool is_text(const uint8_t *p, size_t n) {
        size_t foreign = 0;

        for (size_t i = 0; i < n; i++) {
                if ((p[i] < ' ' && !strchr("\t\n\v\f\r\33", p[i] ?: 1)) || p[i] == 0x7f)
                        return false;
                foreign += p[i] >= 0x80;
        }
        return foreign <= n / 8;
}

/* What is told by more than its first bytes. */
static const char *name_content(const uint8_t *p, size_t n) {
        size_t head = MIN(n, (size_t) 512);
        const char *name;

        FOREACH_ARRAY(k, pem_kinds, ELEMENTSOF(pem_kinds))
                if (holds(p, n, k->mark))
                        return k->name;
        if (holds(p, head, "<html") || holds(p, head, "<!DOCTYPE") || holds(p, head, "<HTML"))
                return "an HTML page, perhaps the answer of a proxy";
        if (evidence_is_json(p, n))
                return "JSON";
        if (is_odd_hex(p, n))
                return "hexadecimal text that is cut off or too short";
        if (n > 262 && memcmp(p + 257, "ustar", 5) == 0)
                return "a tar archive; unpack it first";
        if (is_swapped_report(p, n))
                return "a report whose bytes were swapped in words of 4; copy it as a binary file";
        if (is_protocol_buffer(p, n))
                return "a protocol buffer of go-sev-guest; write the report in its form 'bin'";
        name = evidence_is_damaged(p, n);
        return name ? name : is_text(p, n) ? "text that is not hexadecimal, base64, PEM or JSON" : NULL;
}

const char *evidence_looks_like(const void *data, size_t n) {
        const uint8_t *p = data;
        const char *name;

        if (n == 0)
                return "an empty file";
        if (bytes_are_zero(p, n))
                return "a file of zeros: nothing was written into it";
        FOREACH_ARRAY(m, magics, ELEMENTSOF(magics))
                if (n >= m->size && memcmp(p, m->magic, m->size) == 0)
                        return m->name;
        if (evidence_is_report(p, n) && !evidence_is_damaged(p, n))
                return "a SEV-SNP attestation report";
        if (is_hex_dump(p, n))
                return "a hex dump with offsets; make plain hexadecimal (xxd -r, then xxd -p)";
        name = name_quote(p, n) ?: name_der(p, n);
        if (name)
                return name;
        return name_content(p, n);
}
