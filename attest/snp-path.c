/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-path.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"

bool snp_leaf_fits_chip(const SnpLeaf *leaf, const SnpReport *p) {
        return memcmp(leaf->hwid, p->chip_id, leaf->hwid_size) == 0 &&
                        bytes_are_zero(p->chip_id + leaf->hwid_size, sizeof(p->chip_id) - leaf->hwid_size);
}

static bool tcb_fits(const SnpLeaf *leaf, const SnpReport *p) {
        SnpTcb reported;

        return snp_tcb_decode(p->reported_tcb, leaf->generation, &reported) == 0 &&
                        snp_tcb_equal(&reported, &leaf->tcb);
}

/* 2: chip and TCB fit; 1: some key of the right kind; 0: no candidate. */
static int rate_leaf(const SnpCertificate *c, const SnpReport *p, SnpGeneration g) {
        SnpRole role = p->signing_key == SNP_SIGNING_KEY_VLEK ? SNP_ROLE_VLEK : SNP_ROLE_VCEK;

        if (c->role != role || c->generation < 0 || (g >= 0 && c->generation != g))
                return 0;
        if (!c->leaf_valid || !tcb_fits(&c->leaf, p))
                return 1;
        if (role == SNP_ROLE_VCEK && !bytes_are_zero(p->chip_id, sizeof(p->chip_id)) &&
                        !snp_leaf_fits_chip(&c->leaf, p))
                return 1;
        return 2;
}

/* 1 if `issuer`, whose whole bytes have this digest, signed c, 0 if not; remembers the answer. */
static int signed_by(
                SnpCertificate *c, const Certificate *issuer, const uint8_t digest[static SHA256_SIZE]) {
        int k;

        if (c->verified && memcmp(c->verified_by, digest, SHA256_SIZE) == 0)
                return 1;
        k = certificate_verify(c->certificate, issuer);
        if (k == -EKEYREJECTED)
                return 0;
        if (k < 0)
                return k;
        c->verified = true;
        memcpy(c->verified_by, digest, SHA256_SIZE);
        return 1;
}

static int find_root(const SnpVerifyInput *in, SnpGeneration g, SnpPath *path) {
        const SnpRoot *root = in->trust->roots + g;

        for (size_t i = 0; i < in->collateral->n_certificates && !root->certificate; i++) {
                const SnpCertificate *c = in->collateral->certificates[i];
                int k;

                if (c->role != SNP_ROLE_ARK || c->generation != g)
                        continue;
                k = snp_trust_offer(in->trust, c->certificate, NULL);
                if (k == -EBADMSG)
                        path->bad_root = c->origin;
                else if (k < 0)
                        return k;
                else if (k == 0)
                        path->foreign_root = c->origin;
        }
        path->has_root = root->certificate;
        return 0;
}

/* From the leaf up to the pinned root. What else is in the pool, genuine or not, is not in the way. */
int snp_path_find(const SnpVerifyInput *in, SnpCertificate *leaf, SnpPath *path) {
        const SnpRoot *root = in->trust->roots + leaf->generation;
        SnpRole role = leaf->role == SNP_ROLE_VLEK ? SNP_ROLE_ASVK : SNP_ROLE_ASK;
        int k = find_root(in, leaf->generation, path);

        if (k < 0 || !path->has_root)
                return k;
        for (size_t i = 0; i < in->collateral->n_certificates; i++) {
                SnpCertificate *c = in->collateral->certificates[i];

                if (c->role != role || c->generation != leaf->generation)
                        continue;
                k = signed_by(c, root->certificate, root->digest);
                if (k < 0)
                        return k;
                if (k == 0 || !snp_certificate_is_issuer(c->certificate)) {
                        path->bad_intermediate = c->origin;
                        continue;
                }
                path->has_intermediate = true;
                k = signed_by(leaf, c->certificate, c->digest);
                if (k < 0)
                        return k;
                if (k > 0) {
                        path->intermediate = c;
                        return 0;
                }
        }
        return 0;
}

/* Of several that fit equally well the first genuine one: 1 if this one is. */
static int is_genuine(const SnpVerifyInput *in, SnpCertificate *c) {
        SnpPath path = {};
        int k = c->generation < 0 ? 0 : snp_path_find(in, c, &path);

        return k < 0 ? k : path.intermediate != NULL;
}

static int consider(const SnpVerifyInput *in, SnpCertificate *c, int rating, SnpChoice *choice) {
        choice->n += rating > 0;
        if (rating < choice->rating || (rating == choice->rating && choice->genuine == 1))
                return 0;
        if (rating > choice->rating || !choice->best) {
                choice->best = c;
                choice->rating = rating;
                choice->genuine = -1;
                return 0;
        }
        /* The same rating: now it matters. */
        if (choice->genuine < 0)
                choice->genuine = is_genuine(in, choice->best);
        if (choice->genuine < 0)
                return choice->genuine;
        if (choice->genuine == 0) {
                int k = is_genuine(in, c);

                if (k < 0)
                        return k;
                if (k > 0) {
                        choice->best = c;
                        choice->genuine = 1;
                }
        }
        return 0;
}

int snp_leaf_choose(const SnpVerifyInput *in, const SnpReport *report, SnpGeneration g, SnpChoice *ret_all,
                SnpChoice *ret_named) {
        SnpChoice all = { .rating = 1 }, named = {};

        for (size_t i = 0; i < in->collateral->n_certificates; i++) {
                SnpCertificate *c = in->collateral->certificates[i];
                int rating = rate_leaf(c, report, g), k = rating > 0 ? consider(in, c, rating, &all) : 0;

                if (k == 0 && c->named)
                        k = consider(in, c, rating, &named);
                if (k < 0)
                        return k;
        }
        *ret_all = all;
        *ret_named = named;
        return 0;
}
