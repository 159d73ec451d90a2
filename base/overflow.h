/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The only place where sums and products of untrusted numbers are checked. Unsigned 64 bit throughout: callers widen.
 * On overflow the function returns false and *ret is untouched. */

#include <stdbool.h>
#include <stdint.h>

#include "macro.h"

_warn_unused_result_ static inline bool add_u64(uint64_t a, uint64_t b, uint64_t *ret) {
        uint64_t x;

        if (__builtin_add_overflow(a, b, &x))
                return false;
        *ret = x;
        return true;
}

_warn_unused_result_ static inline bool sub_u64(uint64_t a, uint64_t b, uint64_t *ret) {
        uint64_t x;

        if (__builtin_sub_overflow(a, b, &x))
                return false;
        *ret = x;
        return true;
}

_warn_unused_result_ static inline bool mul_u64(uint64_t a, uint64_t b, uint64_t *ret) {
        uint64_t x;

        if (__builtin_mul_overflow(a, b, &x))
                return false;
        *ret = x;
        return true;
}

/* Rounds x up to a multiple of `to`, a power of two. */
_warn_unused_result_ static inline bool align_u64(uint64_t x, uint64_t to, uint64_t *ret) {
        assert(to > 0 && (to & (to - 1)) == 0);

        if (!add_u64(x, to - 1, &x))
                return false;
        *ret = x & ~(to - 1);
        return true;
}
