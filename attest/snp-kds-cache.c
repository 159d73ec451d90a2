/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-kds-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "encode.h"
#include "fd.h"
#include "strutil.h"

static const char *const fixed[] = {
        [SNP_KDS_VCEK_CHAIN] = "vcek-chain.pem",
        [SNP_KDS_VLEK_CHAIN] = "vlek-chain.pem",
        [SNP_KDS_VCEK_CRL] = "vcek-crl.der",
        [SNP_KDS_VLEK_CRL] = "vlek-crl.der",
};

static int leaf_name(SnpGeneration g, const char *hwid, const SnpTcb *tcb, char **ret) {
        _cleanup_(text_done) Text t = {};
        uint8_t raw[SNP_TCB_SIZE];

        snp_tcb_encode(tcb, g, raw);
        text_putf(&t, "%s-vcek-%s-", snp_generation_to_string(g), hwid);
        for (size_t i = 0; i < sizeof(raw); i++)
                text_putf(&t, "%02x", raw[i]);
        text_put(&t, ".der");
        return text_finish(&t, ret);
}

int snp_kds_file(const SnpKdsItem *item, char **ret, char **reterr) {
        _cleanup_free_ char *hwid = NULL;
        SnpTcb tcb;
        int r;

        if (item->kind != SNP_KDS_VCEK)
                return asprintf(ret, "%s-%s", snp_generation_to_string(item->generation),
                                       fixed[item->kind]) < 0
                                ? -ENOMEM
                                : 0;
        r = snp_kds_identity(item, &hwid, &tcb, reterr);
        return r < 0 ? r : leaf_name(item->generation, hwid, &tcb, ret);
}

/* The reverse of snp_kds_file(), as far as the cache needs it. */
static SnpKdsKind parse_name(const char *name, SnpGeneration *ret) {
        for (int g = 0; g < _SNP_GENERATION_MAX; g++) {
                const char *rest = startswith(name, snp_generation_to_string((SnpGeneration) g));

                if (!rest || *rest++ != '-')
                        continue;
                *ret = (SnpGeneration) g;
                for (size_t k = 0; k < ELEMENTSOF(fixed); k++)
                        if (fixed[k] && streq(rest, fixed[k]))
                                return (SnpKdsKind) k;
                return startswith(rest, "vcek-") ? SNP_KDS_VCEK : _SNP_KDS_KIND_INVALID;
        }
        return _SNP_KDS_KIND_INVALID;
}

static SnpCertificate *find_role(const SnpCollateral *c, SnpRole role, SnpGeneration g) {
        for (size_t i = 0; c && i < c->n_certificates; i++)
                if (c->certificates[i]->role == role && c->certificates[i]->generation == g)
                        return c->certificates[i];
        return NULL;
}

/* The pinned root's certificate, from what was seen before or from the pool. NULL and 0: there is none. */
static int find_root(SnpTrust *t, const SnpCollateral *c, SnpGeneration g, const Certificate **ret) {
        for (size_t i = 0; c && i < c->n_certificates && !t->roots[g].certificate; i++)
                if (c->certificates[i]->role == SNP_ROLE_ARK && c->certificates[i]->generation == g) {
                        int r = snp_trust_offer(t, c->certificates[i]->certificate, NULL);

                        if (r < 0 && r != -EBADMSG)
                                return r;
                }
        *ret = t->roots[g].certificate;
        return 0;
}

/* 1, 0 or -errno, as snp_kds_cache_judge(). */
static int is_signed(const Certificate *c, const Certificate *issuer) {
        int r = certificate_verify(c, issuer);

        return r == -EKEYREJECTED ? 0 : r < 0 ? r : 1;
}

/* The intermediate with this role in the pool that the root signed. */
static int find_issuer(const SnpKds *k, const SnpCollateral *c, SnpRole role, SnpGeneration g,
                const Certificate **ret) {
        const Certificate *root = NULL;
        int r = find_root(k->trust, c, g, &root);

        *ret = NULL;
        if (r < 0 || !root)
                return r;
        for (size_t i = 0; c && i < c->n_certificates; i++) {
                const SnpCertificate *x = c->certificates[i];

                if (x->role != role || x->generation != g)
                        continue;
                r = is_signed(x->certificate, root);
                if (r < 0)
                        return r;
                if (r > 0 && snp_certificate_is_issuer(x->certificate)) {
                        *ret = x->certificate;
                        return 0;
                }
        }
        return 0;
}

int snp_kds_has_chain(const SnpKds *k, const SnpKdsItem *chain, const SnpCollateral *pool) {
        const Certificate *issuer = NULL;
        int r = find_issuer(k, pool, chain->kind == SNP_KDS_VLEK_CHAIN ? SNP_ROLE_ASVK : SNP_ROLE_ASK,
                        chain->generation, &issuer);

        return r < 0 ? r : issuer != NULL;
}

static int judge_chain(const SnpKds *k, const SnpCollateral *c, SnpRole role, SnpGeneration g) {
        const Certificate *issuer = NULL;
        int r;

        if (!find_role(c, SNP_ROLE_ARK, g) || !find_role(c, role, g))
                return 0;
        if (!k->trust->roots[g].pinned)
                return -ENODATA;
        r = find_issuer(k, c, role, g, &issuer);
        return r < 0 ? r : issuer != NULL;
}

static int judge_leaf(const SnpKds *k, const SnpCollateral *c, const char *name, const SnpCollateral *pool,
                const SnpCollateral *chain) {
        _cleanup_free_ char *hwid = NULL, *expected = NULL;
        const Certificate *issuer = NULL;
        const SnpCertificate *leaf;
        int r;

        if (c->n_certificates != 1 || c->n_crls != 0)
                return 0;
        leaf = c->certificates[0];
        if (leaf->role != SNP_ROLE_VCEK || !leaf->leaf_valid)
                return 0;
        hwid = hex_encode(leaf->leaf.hwid, leaf->leaf.hwid_size);
        if (!hwid)
                return -ENOMEM;
        r = leaf_name(leaf->generation, hwid, &leaf->leaf.tcb, &expected);
        if (r < 0)
                return r;
        if (!streq(name, expected))
                return 0;
        r = find_issuer(k, pool, SNP_ROLE_ASK, leaf->generation, &issuer);
        if (r == 0 && !issuer)
                r = find_issuer(k, chain, SNP_ROLE_ASK, leaf->generation, &issuer);
        if (r < 0)
                return r;
        return issuer ? is_signed(leaf->certificate, issuer) : -ENODATA;
}

static int judge_list(const SnpKds *k, const SnpCollateral *c, SnpGeneration g, const SnpCollateral *pool,
                const SnpCollateral *chain) {
        const Certificate *root = NULL;
        int r;

        if (c->n_crls != 1 || c->n_certificates != 0)
                return 0;
        r = find_root(k->trust, pool, g, &root);
        if (r == 0 && !root)
                r = find_root(k->trust, chain, g, &root);
        if (r < 0)
                return r;
        if (!root)
                return -ENODATA;
        r = crl_verify(c->crls[0].crl, root);
        return r == -EKEYREJECTED ? 0 : r < 0 ? r : 1;
}

static int read_file(int dir, const char *name, char **ret, size_t *ret_size) {
        _cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        return fd < 0 ? -errno : fd_read_all(fd, SNP_KDS_ANSWER_MAX, ret, ret_size);
}

/* The cache's own chain helps to judge leaf and list, if it is genuine itself, which is checked on the way. */
static int read_chain(int dir, SnpKdsKind kind, SnpGeneration g, SnpCollateral *ret) {
        bool vlek = kind == SNP_KDS_VLEK_CRL;
        _cleanup_free_ char *data = NULL;
        char name[64];
        size_t n;
        int r;

        if (dir < 0 || kind == SNP_KDS_VCEK_CHAIN || kind == SNP_KDS_VLEK_CHAIN)
                return 0;
        (void) snprintf(name, sizeof(name), "%s-%s", snp_generation_to_string(g),
                        fixed[vlek ? SNP_KDS_VLEK_CHAIN : SNP_KDS_VCEK_CHAIN]);
        r = read_file(dir, name, &data, &n);
        if (r == 0)
                r = snp_collateral_add(ret, data, n, name, /* named= */ false, NULL);
        return r == -ENOMEM ? r : 0;
}

int snp_kds_cache_judge(const SnpKds *k, int dir, const char *name, const void *p, size_t n,
                const SnpCollateral *pool) {
        _cleanup_(snp_collateral_done) SnpCollateral c = {}, chain = {};
        SnpGeneration g = _SNP_GENERATION_INVALID;
        SnpKdsKind kind = parse_name(name, &g);
        int r;

        if (kind < 0)
                return 0;
        r = snp_collateral_add(&c, p, n, name, /* named= */ false, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        r = read_chain(dir, kind, g, &chain);
        if (r < 0)
                return r;
        switch (kind) {
        case SNP_KDS_VCEK:
                return judge_leaf(k, &c, name, pool, &chain);
        case SNP_KDS_VCEK_CHAIN:
                return judge_chain(k, &c, SNP_ROLE_ASK, g);
        case SNP_KDS_VLEK_CHAIN:
                return judge_chain(k, &c, SNP_ROLE_ASVK, g);
        case SNP_KDS_VCEK_CRL:
        case SNP_KDS_VLEK_CRL:
                return judge_list(k, &c, g, pool, &chain);
        case _SNP_KDS_KIND_MAX:
        case _SNP_KDS_KIND_INVALID:
        default:
                return 0;
        }
}

static bool is_outdated(const SnpKds *k, const char *p, size_t n) {
        _cleanup_(snp_collateral_done) SnpCollateral c = {};

        return snp_collateral_add(&c, p, n, "", /* named= */ false, NULL) == 0 && c.n_crls > 0 &&
                        k->now > c.crls[0].crl->next_update;
}

int snp_kds_cache_read(const SnpKds *k, int dir, const char *name, const SnpCollateral *pool, uint8_t **ret,
                size_t *ret_size, bool *ret_outdated) {
        _cleanup_free_ char *p = NULL;
        size_t n;
        int r;

        r = read_file(dir, name, &p, &n);
        if (r < 0)
                return r == -ENOMEM ? r : -ENOENT;
        r = snp_kds_cache_judge(k, dir, name, p, n, pool);
        /* Without the chain that it was verified by when it was stored, it is verified when it is used. */
        if (r < 0 && r != -ENODATA)
                return r;
        if (r == 0) {
                /* Where it cannot be removed it is detected each time. */
                (void) unlinkat(dir, name, 0);
                return -ENOENT;
        }
        *ret_outdated = is_outdated(k, p, n);
        *ret = (uint8_t *) TAKE_PTR(p);
        *ret_size = n;
        return 0;
}
