/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the key service share: the cache. A file in it has the name of what it is, and is there only if it verified up to a
 * pinned root under that name. */

#include "remote.h"
#include "snp-kds.h"

/* 1: the bytes verify up to a pinned root and are what the name says; 0: they are not; -ENODATA: nothing could be decided, because the
 * chain is not there; -ENOMEM. pool: certificates that may help, or NULL. */
_warn_unused_result_ int snp_kds_cache_judge(const SnpKds *k, int dir, const char *name, const void *p,
                size_t n, const SnpCollateral *pool);
/* What the cache has: 0, -ENOENT, -ENOMEM. What does not verify is removed. *ret_outdated: a revocation list whose time is over. */
_warn_unused_result_ int snp_kds_cache_read(const SnpKds *k, int dir, const char *name,
                const SnpCollateral *pool, uint8_t **ret, size_t *ret_size, bool *ret_outdated);

/* 1 if the bytes are a revocation list that is older than the one in the cache; 0, or -errno. */
_warn_unused_result_ int snp_kds_cache_is_older(
                const SnpKds *k, int dir, const char *name, const void *p, size_t n);

/* Chip and TCB of the report: the identity of the VCEK. */
_warn_unused_result_ int snp_kds_identity(
                const SnpKdsItem *item, char **ret_hwid, SnpTcb *ret_tcb, char **reterr);

/* True if the pool holds the chain that the item belongs to, up to the pinned root. 1, 0 or -errno. */
_warn_unused_result_ int snp_kds_has_chain(
                const SnpKds *k, const SnpKdsItem *chain, const SnpCollateral *pool);
