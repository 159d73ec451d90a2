/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-trust.h"

#include <errno.h>
#include <string.h>

#include "attest-anchors.h"
#include "error.h"
#include "snp-leaf.h"

void snp_trust_init(SnpTrust *t) {
        const TrustAnchors *amd = trust_anchors_amd();

        *t = (SnpTrust) {};
        FOREACH_ARRAY(anchor, amd->items, amd->n_items) {
                SnpGeneration g = snp_generation_from_string(anchor->generation);

                if (g < 0)
                        continue; /* a generation without SEV-SNP */
                static_assert(sizeof(t->roots[g].fingerprint) == sizeof(anchor->fingerprint), "same size");
                memcpy(t->roots[g].fingerprint, anchor->fingerprint, sizeof(anchor->fingerprint));
                t->roots[g].pinned = true;
        }
}

void snp_trust_done(SnpTrust *t) {
        FOREACH_ARRAY(root, t->roots, ELEMENTSOF(t->roots))
                root->certificate = certificate_free(root->certificate);
}

/* Everything that must hold for a root beside its key. */
static int check_root(const Certificate *c, char **reterr) {
        int r;

        if (!c->is_ca || !c->has_key_usage || !(c->key_usage & CERTIFICATE_CERT_SIGN))
                return error_set(reterr, -EBADMSG, "root certificate '%s' is not marked as a CA",
                                c->common_name);
        r = certificate_verify(c, c);
        if (r == -EKEYREJECTED)
                return error_set(reterr, -EBADMSG,
                                "root certificate '%s' has AMD's key, but is not self-signed",
                                c->common_name);
        return r;
}

int snp_trust_offer(SnpTrust *t, const Certificate *c, char **reterr) {
        SnpGeneration g = snp_certificate_generation(c);
        uint8_t fingerprint[SHA256_SIZE];
        int r;

        if (snp_certificate_role(c) != SNP_ROLE_ARK || g < 0 || !t->roots[g].pinned)
                return 0;
        r = certificate_fingerprint(c, fingerprint);
        if (r < 0)
                return r;
        if (memcmp(fingerprint, t->roots[g].fingerprint, SHA256_SIZE) != 0)
                return 0;
        if (t->roots[g].certificate)
                return 1;
        r = check_root(c, reterr);
        if (r < 0)
                return r;
        r = hash_digest(HASH_SHA256, c->der, c->size, t->roots[g].digest);
        if (r < 0)
                return r;
        r = certificate_new(c->der, c->size, &t->roots[g].certificate, reterr);
        return r < 0 ? r : 1;
}

int snp_trust_insecure_acknowledging_forgery(SnpTrust *t, const Certificate *c, char **reterr) {
        SnpGeneration g = snp_certificate_generation(c);
        int r;

        if (snp_certificate_role(c) != SNP_ROLE_ARK || g < 0)
                return error_set(reterr, -EINVAL,
                                "the subject's common name is '%s'; expected ARK-%s or the like",
                                c->common_name, snp_generation_product(0));
        r = certificate_fingerprint(c, t->roots[g].fingerprint);
        if (r < 0)
                return r;
        t->roots[g].pinned = t->roots[g].insecure = true;
        t->roots[g].certificate = certificate_free(t->roots[g].certificate);
        return 0;
}
