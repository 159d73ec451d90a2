/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-leaf.h"

#include <errno.h>
#include <string.h>

#include "crypto-der.h"
#include "error.h"
#include "strutil.h"

/* 1.3.6.1.4.1.3704.1, then one or two more arcs. */
#define AMD_ARC 0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x01

static const uint8_t amd_arc[] = { AMD_ARC };
static const uint8_t oid_struct_version[] = { AMD_ARC, 1 };
static const uint8_t oid_product[] = { AMD_ARC, 2 };
static const uint8_t oid_hwid[] = { AMD_ARC, 4 };
static const uint8_t oid_csp_id[] = { AMD_ARC, 5 };
static const uint8_t oid_spl[] = { AMD_ARC, 3 }; /* then the number of the part */

/* Numbers below .3: which part they are. 4 to 7 are reserved and 0 where present (Turin leaves .4 out). */
static const SnpTcbPart spl_parts[] = {
        [1] = SNP_TCB_BOOTLOADER,
        [2] = SNP_TCB_TEE,
        [3] = SNP_TCB_SNP,
        [4] = _SNP_TCB_PART_INVALID,
        [5] = _SNP_TCB_PART_INVALID,
        [6] = _SNP_TCB_PART_INVALID,
        [7] = _SNP_TCB_PART_INVALID,
        [8] = SNP_TCB_MICROCODE,
        [9] = SNP_TCB_FMC,
};

static const char *const role_names[] = {
        [SNP_ROLE_ARK] = "ARK",
        [SNP_ROLE_ASK] = "ASK",
        [SNP_ROLE_ASVK] = "ASVK",
        [SNP_ROLE_VCEK] = "VCEK",
        [SNP_ROLE_VLEK] = "VLEK",
};
static_assert(ELEMENTSOF(role_names) == _SNP_ROLE_MAX, "every role has a name");

const char *snp_role_to_string(SnpRole r) {
        return r >= 0 && r < _SNP_ROLE_MAX ? role_names[r] : NULL;
}

static SnpGeneration product_exact(const char *s) {
        for (int g = 0; g < _SNP_GENERATION_MAX; g++)
                if (streq(s, snp_generation_product((SnpGeneration) g)))
                        return (SnpGeneration) g;
        return _SNP_GENERATION_INVALID;
}

/* "ARK-Milan", "SEV-Milan", "SEV-VLEK-Milan"; exact, so that SEV-VCEK is not taken for an intermediate. */
static SnpRole ca_role(const char *name, SnpGeneration *ret) {
        static const struct {
                const char *prefix;
                SnpRole role;
        } prefixes[] = {
                { "ARK-", SNP_ROLE_ARK },
                { "SEV-VLEK-", SNP_ROLE_ASVK },
                { "SEV-", SNP_ROLE_ASK },
        };

        for (size_t i = 0; i < ELEMENTSOF(prefixes); i++) {
                const char *rest = startswith(name, prefixes[i].prefix);
                SnpGeneration g = rest ? product_exact(rest) : _SNP_GENERATION_INVALID;

                if (g >= 0) {
                        *ret = g;
                        return prefixes[i].role;
                }
        }
        return _SNP_ROLE_INVALID;
}

SnpRole snp_certificate_role(const Certificate *c) {
        SnpGeneration g;

        if (streq(c->common_name, "SEV-VCEK"))
                return SNP_ROLE_VCEK;
        if (streq(c->common_name, "SEV-VLEK"))
                return SNP_ROLE_VLEK;
        return ca_role(c->common_name, &g);
}

SnpGeneration snp_certificate_generation(const Certificate *c) {
        SnpRole role = snp_certificate_role(c);
        SnpGeneration g = _SNP_GENERATION_INVALID;

        if (role < 0)
                return g;
        if (role == SNP_ROLE_VCEK)
                return ca_role(c->issuer_common_name, &g) == SNP_ROLE_ASK ? g : _SNP_GENERATION_INVALID;
        if (role == SNP_ROLE_VLEK)
                return ca_role(c->issuer_common_name, &g) == SNP_ROLE_ASVK ? g : _SNP_GENERATION_INVALID;
        (void) ca_role(c->common_name, &g);
        return g;
}

bool snp_certificate_is_issuer(const Certificate *c) {
        return c->is_ca && c->has_key_usage && c->key_usage & CERTIFICATE_CERT_SIGN && c->has_path_length &&
                        c->path_length == 0;
}

static int read_number(const CertificateExtension *e, uint8_t *ret) {
        ByteReader r = byte_reader(e->value, e->value_size);
        uint64_t number;
        DerValue v;

        if (der_expect(&r, DER_INTEGER, &v) < 0 || byte_reader_left(&r) > 0 || der_u64(&v, &number) < 0 ||
                        number > UINT8_MAX)
                return -EBADMSG;
        *ret = (uint8_t) number;
        return 0;
}

/* An IA5String of printable characters. */
static int read_text(const CertificateExtension *e, char *ret, size_t size) {
        ByteReader r = byte_reader(e->value, e->value_size);
        DerValue v;

        if (der_expect(&r, DER_IA5_STRING, &v) < 0 || byte_reader_left(&r) > 0 || v.size == 0 ||
                        v.size >= size)
                return -EBADMSG;
        for (size_t i = 0; i < v.size; i++)
                if (v.data[i] < 0x20 || v.data[i] > 0x7e)
                        return -EBADMSG;
        memcpy(ret, v.data, v.size);
        ret[v.size] = 0;
        return 0;
}

/* Real VCEKs carry the bare bytes, some test chains an OCTET STRING around them. The total length decides: the first byte of a
 * bare id can be anything. */
static int read_hwid(const CertificateExtension *e, SnpLeaf *leaf) {
        size_t n = snp_generation_chip_id_size(leaf->generation), skip = 0;

        if (e->value_size == n + 2) {
                if (e->value[0] != DER_OCTET_STRING || e->value[1] != n)
                        return -EBADMSG;
                skip = 2;
        } else if (e->value_size != n)
                return -EBADMSG;
        memcpy(leaf->hwid, e->value + skip, n);
        leaf->hwid_size = n;
        return 0;
}

static int read_product(const CertificateExtension *e, SnpLeaf *leaf) {
        char name[sizeof(leaf->product)];
        int r;

        r = read_text(e, leaf->product, sizeof(leaf->product));
        if (r < 0)
                return r;
        memcpy(name, leaf->product, sizeof(name));
        name[strcspn(name, "-")] = 0; /* the stepping: Milan-B0 */
        return product_exact(name) == leaf->generation ? 0 : -EBADMSG;
}

static bool is_oid(const CertificateExtension *e, const uint8_t *oid, size_t n) {
        return e->oid_size == n && memcmp(e->oid, oid, n) == 0;
}

/* One extension; *seen collects bits: 0 to 9 the numbers below .3, then the others. */
enum {
        SEEN_STRUCT_VERSION = 1 << 10,
        SEEN_PRODUCT = 1 << 11,
        SEEN_HWID = 1 << 12,
        SEEN_CSP_ID = 1 << 13,
};

static int read_extension(const CertificateExtension *e, SnpLeaf *leaf, unsigned *seen, char **reterr) {
        uint8_t number;

        if (e->oid_size < sizeof(amd_arc) || memcmp(e->oid, amd_arc, sizeof(amd_arc)) != 0)
                return 0; /* an ordinary X.509 extension; critical ones were refused when the certificate was read */

        if (is_oid(e, oid_struct_version, sizeof(oid_struct_version))) {
                *seen |= SEEN_STRUCT_VERSION;
                return read_number(e, &number) < 0 ? error_set(reterr, -EBADMSG, "bad structVersion") : 0;
        }
        if (is_oid(e, oid_product, sizeof(oid_product))) {
                *seen |= SEEN_PRODUCT;
                if (read_product(e, leaf) < 0)
                        return error_set(reterr, -EBADMSG,
                                        "productName '%s' does not fit the issuer, a %s key", leaf->product,
                                        snp_generation_product(leaf->generation));
                return 0;
        }
        if (is_oid(e, oid_hwid, sizeof(oid_hwid))) {
                *seen |= SEEN_HWID;
                return read_hwid(e, leaf) < 0
                                ? error_set(reterr, -EBADMSG, "a hwID of %zu bytes", e->value_size)
                                : 0;
        }
        if (is_oid(e, oid_csp_id, sizeof(oid_csp_id))) {
                *seen |= SEEN_CSP_ID;
                return read_text(e, leaf->csp_id, sizeof(leaf->csp_id)) < 0
                                ? error_set(reterr, -EBADMSG, "bad cspID")
                                : 0;
        }
        if (e->oid_size == sizeof(oid_spl) + 1 && memcmp(e->oid, oid_spl, sizeof(oid_spl)) == 0) {
                uint8_t k = e->oid[sizeof(oid_spl)];

                if (k >= 1 && k < ELEMENTSOF(spl_parts)) {
                        if (read_number(e, &number) < 0)
                                return error_set(reterr, -EBADMSG,
                                                "extension 1.3.6.1.4.1.3704.1.3.%u is not a number from 0 to 255",
                                                k);
                        if (spl_parts[k] < 0 && number != 0)
                                return error_set(reterr, -EBADMSG,
                                                "reserved extension 1.3.6.1.4.1.3704.1.3.%u is not 0", k);
                        if (spl_parts[k] >= 0)
                                leaf->tcb.part[spl_parts[k]] = number;
                        *seen |= 1u << k;
                        return 0;
                }
        }
        return error_set(reterr, -EBADMSG, "an unknown AMD extension");
}

int snp_leaf_read(const Certificate *c, SnpLeaf *ret, char **reterr) {
        SnpLeaf leaf = { .role = snp_certificate_role(c), .generation = snp_certificate_generation(c) };
        unsigned required = SEEN_STRUCT_VERSION | SEEN_PRODUCT, forbidden, seen = 0;
        int r;

        if (leaf.role != SNP_ROLE_VCEK && leaf.role != SNP_ROLE_VLEK)
                return error_set(reterr, -EBADMSG, "'%s' is not the name of a VCEK or VLEK", c->common_name);
        if (leaf.generation < 0)
                return error_set(reterr, -EBADMSG, "issuer '%s' does not sign a %s", c->issuer_common_name,
                                snp_role_to_string(leaf.role));
        if (!c->ec)
                return error_set(reterr, -EBADMSG, "the %s has no P-384 key", snp_role_to_string(leaf.role));

        FOREACH_ARRAY(e, c->extensions, c->n_extensions) {
                r = read_extension(e, &leaf, &seen, reterr);
                if (r < 0)
                        return r;
        }
        required |= leaf.role == SNP_ROLE_VCEK ? SEEN_HWID : SEEN_CSP_ID;
        forbidden = leaf.role == SNP_ROLE_VCEK ? SEEN_CSP_ID : SEEN_HWID;
        for (unsigned k = 1; k < ELEMENTSOF(spl_parts); k++) {
                if (spl_parts[k] < 0)
                        continue;
                if (snp_generation_has_tcb_part(leaf.generation, spl_parts[k]))
                        required |= 1u << k;
                else
                        forbidden |= 1u << k;
        }
        for (unsigned k = 1; k <= 13; k++) {
                static const char *const names[] = {
                        [10] = "structVersion", "productName", "hwID", "cspID"
                };
                const char *name =
                                k < ELEMENTSOF(spl_parts) ? snp_tcb_part_to_string(spl_parts[k]) : names[k];

                if (required & ~seen & 1u << k)
                        return error_set(reterr, -EBADMSG, "extension %s is missing", name);
                if (forbidden & seen & 1u << k)
                        return error_set(reterr, -EBADMSG, "extension %s is not allowed in a %s %s", name,
                                        snp_generation_product(leaf.generation),
                                        snp_role_to_string(leaf.role));
        }
        *ret = leaf;
        return 0;
}
