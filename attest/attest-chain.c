/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attest-chain.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "encode.h"
#include "error.h"

#define FILE_SIZE_MAX (64u * 1024u) /* as base64 text, with line ends, a full chain has 16 KiB */

static bool has_ask_signature(const SevCert *c) {
        FOREACH_ARRAY(s, c->signatures, SEV_CERT_SIGNATURES)
                if (s->usage == SEV_USAGE_ASK)
                        return true;
        return false;
}

static int add_sev_cert(SevChain *chain, const SevCert *c, char **reterr) {
        struct {
                bool *has;
                SevCert *cert;
        } slot = {};

        switch (c->usage) {
        case SEV_USAGE_PDH:
                slot.has = &chain->has_pdh;
                slot.cert = &chain->pdh;
                break;
        case SEV_USAGE_PEK:
                slot.has = &chain->has_pek;
                slot.cert = &chain->pek;
                break;
        case SEV_USAGE_OCA:
                slot.has = &chain->has_oca;
                slot.cert = &chain->oca;
                break;
        default:
                assert(c->usage == SEV_USAGE_CEK);
                slot.has = &chain->has_cek;
                slot.cert = &chain->cek;
        }

        if (*slot.has && memcmp(slot.cert->raw, c->raw, SEV_CERT_SIZE) != 0) {
                /* A chip exports its CEK without AMD's signature; the service signs it on request. */
                if (c->usage != SEV_USAGE_CEK || memcmp(slot.cert->raw, c->raw, SEV_CERT_SIGNED_SIZE) != 0)
                        return error_set(reterr, -EEXIST,
                                        "two different %s certificates were given: do they belong to one platform?",
                                        sev_usage_to_string(c->usage));
                if (has_ask_signature(slot.cert))
                        return 0;
        }
        *slot.cert = *c;
        *slot.has = true;
        return 0;
}

static int add_amd_cert(SevChain *chain, const AmdCert *c, char **reterr) {
        bool *has = c->usage == SEV_USAGE_ARK ? &chain->has_ark : &chain->has_ask;
        AmdCert *cert = c->usage == SEV_USAGE_ARK ? &chain->ark : &chain->ask;

        if (*has && (cert->signed_size != c->signed_size || memcmp(cert->raw, c->raw, c->signed_size) != 0))
                return error_set(reterr, -EEXIST, "two different %s certificates were given",
                                sev_usage_to_string(c->usage));
        if (*has && cert->has_signature)
                return 0;
        *cert = *c;
        *has = true;
        return 0;
}

/* What kind of certificate begins here is told by the two places of the usage, of which only one can make sense. */
static bool looks_like_sev_cert(const uint8_t *p, size_t size) {
        uint32_t usage = size >= 12 ? le32_read(p + 8) : 0;

        return usage >= SEV_USAGE_OCA && usage <= SEV_USAGE_CEK && bytes_are_zero(p + 6, 2);
}

static int add_binary(
                SevChain *chain, const uint8_t *p, size_t size, bool allow_unsigned_ark, char **reterr) {
        size_t offset = 0;

        while (offset < size) {
                size_t used;
                int r;

                if (looks_like_sev_cert(p + offset, size - offset)) {
                        SevCert c;

                        used = MIN(size - offset, (size_t) SEV_CERT_SIZE);
                        r = sev_cert_parse(p + offset, used, &c, reterr);
                        if (r >= 0)
                                r = add_sev_cert(chain, &c, reterr);
                } else {
                        AmdCert c;

                        r = amd_cert_parse(p + offset, size - offset, allow_unsigned_ark, &c, &used, reterr);
                        if (r >= 0)
                                r = add_amd_cert(chain, &c, reterr);
                }
                if (r < 0)
                        return error_prefix(reterr, r, "at offset %zu", offset);
                offset += used;
        }
        return 0;
}

int sev_chain_add(SevChain *chain, const void *data, size_t size, bool allow_unsigned_ark, char **reterr) {
        _cleanup_free_ char *text = NULL;
        _cleanup_free_ uint8_t *binary = NULL;
        const uint8_t *p = data;
        size_t n = 0, binary_size;

        if (size > FILE_SIZE_MAX)
                return error_set(reterr, -EBADMSG, "%zu bytes are too many for a certificate chain", size);
        if (size == 0)
                return error_set(reterr, -EBADMSG, "empty, expected certificates");

        /* A certificate begins with the bytes 01 00 00 00, which no base64 text does. */
        if (size >= 4 && le32_read(p) == 1)
                return add_binary(chain, p, size, allow_unsigned_ark, reterr);
        if (size >= 11 && memcmp(p, "-----BEGIN ", 11) == 0)
                return error_set(reterr, -EBADMSG,
                                "PEM, as certificates of SEV-SNP have it; SEV and SEV-ES use their own binary format");
        text = malloc(size);
        if (!text)
                return -ENOMEM;
        for (size_t i = 0; i < size; i++)
                if (!isspace(p[i]))
                        text[n++] = (char) p[i];
        if (base64_decode(text, n, &binary, &binary_size) < 0 || binary_size == 0)
                return error_set(reterr, -EBADMSG, "neither SEV certificates nor base64 text of them");
        return add_binary(chain, binary, binary_size, allow_unsigned_ark, reterr);
}
