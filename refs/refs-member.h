/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For refs_bundle_find(): the families of a bundle, searched for a digest. */

#include "refs-bundle.h"

/* 1 and *ret, or 0; then ret->partial says whether some members were not tried. first: as for refs_bundle_find(). */
_warn_unused_result_ int refs_member_find(
                const RefsBundle *b, const uint8_t *digest, size_t size, uint32_t first, RefsMatch *ret);
