/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Small language helpers that every room uses: attributes, cleanup handlers and hand-over macros. */

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#define _cleanup_(f)         __attribute__((cleanup(f)))
#define _unused_             __attribute__((unused))
#define _printf_(fmt, args)  __attribute__((format(printf, fmt, args)))
#define _warn_unused_result_ __attribute__((warn_unused_result))
#define _noreturn_           __attribute__((noreturn))
#define _packed_             __attribute__((packed))
#define _fallthrough_        __attribute__((fallthrough))

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))

/* Iterates over an array of known length: FOREACH_ARRAY(part, plan->parts, plan->n_parts). */
#define FOREACH_ARRAY(item, array, n)                                                                       \
        for (typeof((array)[0]) *item = (array), *_end_##item = (n) > 0 ? (array) + (n) : (array);          \
                        item < _end_##item; item++)

#define STRV_FOREACH(s, strv) for (char *const *s = (char *const *) (strv); s && *s; s++)

/* Hands a pointer, descriptor or structure over to a new owner and leaves the empty value behind. */
#define TAKE_GENERIC(var, type, empty)                                                                      \
        ({                                                                                                  \
                type *_p_ = &(var);                                                                         \
                type _v_ = *_p_;                                                                            \
                *_p_ = (empty);                                                                             \
                _v_;                                                                                        \
        })
#define TAKE_PTR(ptr)         TAKE_GENERIC(ptr, typeof(ptr), NULL)
#define TAKE_FD(fd)           TAKE_GENERIC(fd, int, -EBADF)
#define TAKE_STRUCT(s, empty) TAKE_GENERIC(s, typeof(s), empty)

/* Declares the cleanup handler `func`p for variables of pointer type `type`; func takes NULL. */
#define DEFINE_TRIVIAL_CLEANUP_FUNC(type, func)                                                             \
        static inline void func##p(type *p) {                                                               \
                if (*p)                                                                                     \
                        func(*p);                                                                           \
        }

static inline void freep(void *p) {
        free(*(void **) p);
}
#define _cleanup_free_ _cleanup_(freep)

#define MIN(a, b)                                                                                           \
        ({                                                                                                  \
                const typeof(a) _a_ = (a);                                                                  \
                const typeof(b) _b_ = (b);                                                                  \
                _a_ < _b_ ? _a_ : _b_;                                                                      \
        })
#define MAX(a, b)                                                                                           \
        ({                                                                                                  \
                const typeof(a) _a_ = (a);                                                                  \
                const typeof(b) _b_ = (b);                                                                  \
                _a_ > _b_ ? _a_ : _b_;                                                                      \
        })
