/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What many launches share is read once: firmware images with the beginnings of their digests, kernels, and initrds as hash states
 * that can go on with what is appended (a set of credentials). Files are known by their names: while a batch runs they must not
 * change. */

#include "measure-context.h"

/* Images and states are held in memory. */
#define CACHE_ITEMS_MAX 4096u

typedef struct MeasureCache MeasureCache;

_warn_unused_result_ int measure_cache_new(MeasureCache **ret);
MeasureCache *measure_cache_free(MeasureCache *c); /* takes NULL; returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(MeasureCache *, measure_cache_free);

/* As measure_context_load(); the context borrows from the cache, which must outlive it. Only the hashes of the inputs are set, not the
 * list of their parts. */
_warn_unused_result_ int measure_context_load_cached(
                MeasureCache *cache, const MeasureRequest *request, MeasureContext *ret, char **reterr);
